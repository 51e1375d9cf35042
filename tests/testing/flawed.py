"""Sample integrations of one source: one that is well, and each with a bug that loses data without a word."""

from typing import Any

import anyio
import orjson
from typing_extensions import override

from secoda_async import BearerAuth, Cursor, PageNumber, RequestError, Resource, SecodaIntegration, Transport
from secoda_async.testing import FakeSource

TABLES = [f"table {number}" for number in range(7)]
BASE = "https://catalog.test"
LISTING = Cursor("cursor", next="next")
NUMBERED = PageNumber(size_param="size", size=3, total="total")


def source() -> FakeSource:
    made = FakeSource()
    rows = [{"id": name} for name in TABLES]
    made.listing("/tables", rows, LISTING, size=3)
    made.listing("/numbered", rows, NUMBERED)
    made.get("/tables/{name}", lambda request, name: {"id": name, "columns": [{"name": "id"}, {"name": "at"}]})
    return made


class Mended(SecodaIntegration):
    """As it should be written."""

    base_url = BASE

    @override
    async def extract(self) -> None:
        async for row in self.paginate("/tables", LISTING, items="items"):
            await self.extract_table(row["id"])

    async def extract_table(self, name: str) -> None:
        table = (await self.http_get(f"/tables/{name}")).raise_for_status().json()
        await self.declare_table(name, f"{len(table['columns'])} columns")

    async def declare_table(self, name: str, text: str = "") -> None:
        await self.declare_resource(
            Resource(entity_type="table", databuilder_id=name, title=name, schema="s", database="d", description=text)
        )


class MendedNumbers(Mended):
    """A listing by numbers, whose total is compared."""

    @override
    async def extract(self) -> None:
        rows = self.paginate("/numbered", NUMBERED, items="items")
        async for name in self.map(rows, self.name_of):
            await self.extract_table(name)

    async def name_of(self, row: Any) -> str:
        return row["id"]


class SwallowedStatus(Mended):
    """A 500 is taken for a table that is not there."""

    @override
    async def extract_table(self, name: str) -> None:
        reply = await self.http_get(f"/tables/{name}", retry=None)
        if reply.status_code != 200:
            return
        await self.declare_table(name)


class SwallowedError(Mended):
    """Whatever goes wrong is taken for what may be missing."""

    @override
    async def extract_table(self, name: str) -> None:
        try:
            await self.http_get(f"/tables/{name}", optional=True)
        except RequestError:
            return
        await self.declare_table(name)


class SwallowedRefusal(Mended):
    """A refused credential is taken for a table that may not be seen."""

    @override
    def default_auth(self) -> BearerAuth:
        return BearerAuth("t0ken")

    @override
    async def extract_table(self, name: str) -> None:
        if (await self.http_get(f"/tables/{name}")).status_code == 401:
            return
        await self.declare_table(name)


class PageLoop(Mended):
    """Follows the next page wherever it leads."""

    @override
    async def extract(self) -> None:
        cursor = ""
        while cursor is not None:
            page = (await self.http_get(f"/tables?cursor={cursor}")).raise_for_status().json()
            for row in page["items"]:
                await self.extract_table(row["id"])
            cursor = page["next"]


class StopsAtShortPage(Mended):
    """A page that is not full is taken for the last."""

    @override
    async def extract(self) -> None:
        number, rows = 0, [None] * 3
        while len(rows) == 3:
            number += 1
            page = (await self.http_get(f"/numbered?page={number}&size=3")).raise_for_status().json()
            rows = page["items"]
            for row in rows:
                await self.extract_table(row["id"])


class StopsAtMissingPage(Mended):
    """A page that is not found is taken for the end."""

    @override
    async def extract(self) -> None:
        number = 1
        while (reply := await self.http_get(f"/numbered?page={number}&size=3")).status_code == 200:
            rows = reply.json()["items"]
            for row in rows:
                await self.extract_table(row["id"])
            if number * 3 >= reply.json()["total"]:
                return
            number += 1


class SwallowedParseError(Mended):
    """A body that cannot be read is taken for one that holds nothing."""

    @override
    async def extract_table(self, name: str) -> None:
        reply = (await self.http_get(f"/tables/{name}")).raise_for_status()
        try:
            table = orjson.loads(reply.content)
        except orjson.JSONDecodeError:
            return
        await self.declare_table(name, f"{len(table['columns'])} columns")


class LosesItsPlace(Mended):
    """Notes on disk what it has begun, and takes that for done when it is run again."""

    def __init__(self, *, notes: anyio.Path, transport: Transport, credentials: Any) -> None:
        super().__init__(credentials=credentials, transport=transport)
        self.notes = notes

    @override
    async def extract(self) -> None:
        done = (await self.notes.read_text()).splitlines() if await self.notes.exists() else []
        for name in TABLES:
            if name not in done:
                async with await self.notes.open("a") as file:
                    await file.write(f"{name}\n")
                await self.extract_table(name)
        await self.notes.unlink()
