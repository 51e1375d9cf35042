"""Recorded, replayed, killed and continued: equal output, nothing asked for twice, no credential in any file."""

import base64
import os
import random
import signal
import sqlite3
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import quote, quote_plus

import anyio
import orjson
import pytest
from aiohttp import web

from examples.datasette_server import serve_datasette
from examples.demo_data import make_databases
from tests.processes import started
from tests.server import serve
from tests.test_cli import COMMAND

EXAMPLE = Path(__file__).parent.parent / "examples" / "datasette.py"
ITEMS = 120
SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 20))]


async def run(*arguments: object) -> None:
    done = await anyio.run_process([COMMAND, "run", *map(str, arguments), "--quiet"], check=False)
    assert done.returncode == 0, done.stderr.decode()


def output(folder: Path) -> dict[str, list[bytes]]:
    """The lines of both files; the order is that in which answers came."""
    return {name: sorted((folder / f"{name}.jsonl").read_bytes().splitlines()) for name in ("resources", "lineage")}


async def test_a_recorded_datasette_crawl_replays_byte_for_byte_with_the_server_stopped(tmp_path: Path) -> None:
    files = make_databases(tmp_path, areas=1)[-2:]
    state = ("--state-dir", tmp_path / "state")
    with serve_datasette(files) as url:
        arguments = (f"{EXAMPLE}:Datasette", "--credential", f"base_url={url}", *state)
        for name, concurrency in (("one", 1), ("many", 16)):
            more = ("--concurrency", concurrency, "--out", tmp_path / name, "--record", tmp_path / f"{name}.journal")
            await run(*arguments, *more)
    for name, concurrency in (("one", 1), ("many", 16)):
        more = (
            "--concurrency",
            concurrency,
            "--out",
            tmp_path / f"{name} again",
            "--replay",
            tmp_path / f"{name}.journal",
        )
        await run(*arguments, *more)
        assert output(tmp_path / f"{name} again") == output(tmp_path / name)
    assert len(output(tmp_path / "one")["resources"]) > 200
    assert output(tmp_path / "one") == output(tmp_path / "many")
    for file in ("resources.jsonl", "lineage.jsonl"):  # one at a time, the order is the same too
        assert (tmp_path / "one again" / file).read_bytes() == (tmp_path / "one" / file).read_bytes()


class Source:
    """A source with a sign-in: a token is good for some requests, then it expires. Counts what it has answered."""

    PASSWORD = "p@ss w0rd/of+the ünit"
    KEY = "the-k3y-in-the-query"

    def __init__(self, *, requests_a_token: int) -> None:
        self.url = ""
        self.answered: Counter[str] = Counter()
        self.tokens: list[str] = []
        self.left: Counter[str] = Counter()
        self.requests_a_token = requests_a_token
        self.requests = 0
        self.at_request: Callable[[int], None] = lambda _: None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.at_request(self.requests)
        await anyio.sleep(random.uniform(0, 0.01))
        if request.path == "/sign_in":
            body = await request.json()
            assert body["user"]["password"] == self.PASSWORD
            token = f"T0ken+{len(self.tokens)}/{random.randbytes(12).hex()}=="
            self.tokens.append(token)
            self.left[token] = self.requests_a_token
            return web.json_response(
                {"token": token, "user": {"id": 5}}, headers={"Set-Cookie": f"sid={token}; Path=/"}
            )
        token = request.headers.get("token") or request.query.get("token", "")
        assert request.query["api_key"] == self.KEY
        if self.left[token] <= 0:
            return web.json_response({"error": f"the token {token} has expired"}, status=401)
        self.left[token] -= 1
        self.answered[request.path] += 1
        if request.path == "/items":
            return web.json_response({"items": list(range(ITEMS))})
        return web.json_response({"path": request.path, "n": self.answered[request.path], "text": "x" * 300})


EXTRACT = """
import asyncio
import os
from secoda_async import Input, Resource, SecodaIntegration


class Signed(SecodaIntegration):
    inputs = {"base_url": Input(secret=False), "password": Input(), "key": Input(), "way": Input(secret=False)}
    token = None

    async def sign_in(self, expired):
        async with self.lock:
            if self.token == expired:
                user = {"user": {"name": "u", "password": self.credentials["password"]}}
                reply = await self.http_post("/sign_in", json=user, idempotent=True)
                self.token = reply.json()["token"]

    async def get(self, path):
        while True:
            token = self.token
            if token is None:
                await self.sign_in(None)
                continue
            params = {"api_key": self.credentials["key"]}
            if self.credentials["way"] == "query":
                reply = await self.http_get(path, params={**params, "token": token})
            else:
                reply = await self.http_get(path, params=params, headers={"token": token})
            if reply.status_code != 401:
                break
            await self.sign_in(token)
        value = reply.json()
        if "n" in value:
            with open(os.environ["GOT"], "a") as file:
                file.write(f"{path} {value['n']}\\n")
        return value

    async def extract(self):
        self.lock = asyncio.Lock()
        listed = await self.get("/items")
        await self.for_each(listed["items"], self.extract_item)

    async def extract_item(self, item):
        value = await self.get(f"/items/{item}")
        again = await self.get(f"/details/{item}")
        await self.declare_resource(
            Resource(entity_type="table", databuilder_id=value["path"], title=again["path"], description=value["text"])
        )
"""


class Crawl:
    """The crawl of a `Source` as a command."""

    def __init__(self, folder: Path, source: Source, way: str) -> None:
        self.folder = folder
        self.source = source
        (folder / "signed.py").write_text(EXTRACT)
        credentials = {"base_url": source.url, "password": source.PASSWORD, "key": source.KEY, "way": way}
        (folder / "credentials").mkdir()
        (folder / "credentials" / "all.json").write_bytes(orjson.dumps(credentials))
        self.got = folder / "got"
        self.got.touch()

    def command(self, *more: object) -> list[str]:
        arguments = [
            *(COMMAND, "run", self.folder / "signed.py:Signed", "--out", self.folder / "out", "--debug"),
            *("--credentials-file", self.folder / "credentials" / "all.json"),
            *("--state-dir", self.folder / "state", "--concurrency", 8, *more),
        ]
        return [*map(str, arguments)]

    async def until_killed(self, requests: int, *more: object) -> bool:
        """Start it, and kill it -9 at so many requests; false where it ended before that."""
        env = {**os.environ, "GOT": str(self.got)}
        with (
            (self.folder / "log").open("ab") as log,
            started(self.command(*more), env=env, stdout=log, stderr=log) as process,
        ):
            first = self.source.requests

            def kill(now: int) -> None:
                if now == first + requests:
                    process.send_signal(signal.SIGKILL)

            self.source.at_request = kill
            await anyio.to_thread.run_sync(process.wait)
            return process.returncode == -signal.SIGKILL

    async def to_the_end(self, *more: object) -> None:
        self.source.at_request = lambda _: None
        env = {**os.environ, "GOT": str(self.got)}
        done = await anyio.run_process(self.command(*more), env=env, check=False)
        (self.folder / "log.end").write_bytes(done.stdout + done.stderr)
        assert done.returncode == 0, done.stderr.decode()

    def assert_nothing_was_asked_for_again_that_extract_had(self) -> None:
        given: dict[str, set[int]] = {}
        for line in self.got.read_text().splitlines():
            path, number = line.split()
            given.setdefault(path, set()).add(int(number))
        for path, numbers in given.items():
            # Each answer says how many there were: one number is one answer, and the last is the server's own count.
            assert numbers == {self.source.answered[path]}, path

    def assert_the_output_is_whole(self) -> None:
        lines = [orjson.loads(line) for line in (self.folder / "out" / "resources.jsonl").read_bytes().splitlines()]
        assert {line["databuilder_id"]: line["title"] for line in lines} == {
            f"/items/{item}": f"/details/{item}" for item in range(ITEMS)
        }
        assert len(lines) == ITEMS

    def assert_no_file_holds_a_credential(self) -> None:
        content = b"\n".join(everything(self.folder, besides="credentials"))
        assert len(content) > 50_000
        for secret in (self.source.PASSWORD, self.source.KEY, *self.source.tokens):
            for form in spellings(secret):
                assert form.encode() not in content, form


def spellings(secret: str) -> Iterable[str]:
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    yield orjson.dumps(secret).decode()[1:-1]
    yield ascii(secret)[1:-1]


def everything(folder: Path, besides: str) -> Iterable[bytes]:
    """The content of every file; journals also decompressed."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or besides in path.parts:
            continue
        yield path.read_bytes()
        if path.name.endswith("journal"):
            with closing(sqlite3.connect(path)) as connection:
                for table in ("entries", "pieces"):
                    yield from (zlib.decompress(row[0]) for row in connection.execute(f"select data from {table}"))


@asynccontextmanager
async def crawl(folder: Path, way: str, requests_a_token: int) -> AsyncIterator[Crawl]:
    source = Source(requests_a_token=requests_a_token)
    async with serve(source.handle) as source.url:
        yield await anyio.to_thread.run_sync(Crawl, folder, source, way)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("way", "requests_a_token"), [("header", 10**9), ("header", 60), ("query", 60)])
async def test_a_crawl_that_is_killed_goes_on_where_it_was(
    way: str, requests_a_token: int, seed: int, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    async with crawl(tmp_path, way, requests_a_token) as made:
        killed = await made.until_killed(rng.randrange(1, 2 * ITEMS + 1), "--resumable")
        assert killed
        if rng.random() < 0.5:
            killed = await made.until_killed(rng.randrange(1, ITEMS), "--resume", "last")
        if killed:
            await made.to_the_end("--resume", "last", "--record", tmp_path / "end.journal")
        made.assert_nothing_was_asked_for_again_that_extract_had()
        made.assert_the_output_is_whole()
        made.assert_no_file_holds_a_credential()
        before = output(tmp_path / "out")
    if killed:
        await made.to_the_end("--replay", tmp_path / "end.journal")
        assert output(tmp_path / "out") == before


async def test_a_crawl_that_fails_leaves_no_credential_and_can_be_continued(tmp_path: Path) -> None:
    async with crawl(tmp_path, "query", 40) as made:

        def refuse(now: int) -> None:
            if now == 100:
                raise web.HTTPInternalServerError(text=f"{made.source.tokens[-1]} {made.source.KEY}")

        made.source.at_request = refuse
        await anyio.Path(tmp_path / "signed.py").write_text(
            EXTRACT.replace("    token = None", "    token = retry = None")
        )
        env = {**os.environ, "GOT": str(made.got)}
        command = made.command("--resumable", "--record", tmp_path / "failed.journal")
        done = await anyio.run_process(command, env=env, check=False)
        await anyio.Path(tmp_path / "log.failed").write_bytes(done.stdout + done.stderr)
        assert done.returncode == 1, done.stderr.decode()
        made.assert_no_file_holds_a_credential()
        await made.to_the_end("--resume", "last")
        made.assert_the_output_is_whole()
        made.assert_nothing_was_asked_for_again_that_extract_had()
