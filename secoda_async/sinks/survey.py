"""Finds out what a workspace holds of an integration, through its catalog; or why that cannot be said.

One query gives 10,000 resources at most, so what is more is asked for by type, and then by parent: the schemas of a
database, the tables of a schema, the columns of a table. The catalog's documents leave open what is in an entry and
what a filter means, so nothing is taken for granted: what was listed must add up with what was counted, at every step.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import orjson
from anyio import AsyncFile

from secoda_async.dataset import Dataset
from secoda_async.errors import SpoolError, UploadError
from secoda_async.models import EntityType
from secoda_async.pipeline.sink import Survey
from secoda_async.rules.table import PARENTS
from secoda_async.shielding import opened
from secoda_async.sinks.workspace_api import WorkspaceApi
from secoda_async.spool_index import Kind

CAP: Final = 10_000
"""The most resources over all pages of one query."""
MOST_QUERIES: Final = 5_000
"""Queries of one survey; a catalog that needs more is not surveyed."""
AT_ONCE: Final = 4


class _NoPreviewError(Exception):
    """Raised when it cannot be said what the workspace holds."""


async def survey(
    api: WorkspaceApi,
    catalog: str,
    integration_id: str,
    work: Path,
    *,
    cap: int = CAP,
    most_queries: int = MOST_QUERIES,
) -> Survey:
    """Write the resources that a workspace holds of an integration to a folder ``workspace`` in ``work``.

    ``catalog`` is the catalog's URL, ``cap`` the most resources of one query, ``most_queries`` those of the survey.
    Raises SpoolError where the files cannot be written.
    """
    folder = anyio.Path(work / "workspace")
    found = Dataset(*(Path(folder / kind.filename) for kind in Kind))
    try:
        await folder.mkdir(exist_ok=True)
        await anyio.Path(found.lineage).write_bytes(b"")
        async with opened(found.resources, "wb") as file:
            held = await _Surveyor(api, catalog, integration_id, file, cap=cap, most_queries=most_queries).run()
    except OSError as exc:
        raise SpoolError(f"what the workspace holds cannot be kept in {work}: {exc.strerror or exc}") from exc
    except (_NoPreviewError, UploadError) as error:
        return Survey(None, why_not=str(error))
    return Survey(found, held)


class _Listed(NamedTuple):
    counted: int
    """As the catalog counts, what is removed already included."""
    held: int
    whole: bool = True
    """False: they are more than one query lists."""


class _Surveyor:
    def __init__(
        self,
        api: WorkspaceApi,
        catalog: str,
        integration_id: str,
        file: AsyncFile[bytes],
        *,
        cap: int,
        most_queries: int,
    ) -> None:
        self._api = api
        self._catalog = catalog
        self._integration_id = integration_id
        self._file = file
        self._cap = cap
        self._most_queries = most_queries
        self._queries = 0
        self._ids: dict[EntityType, list[str]] = {}
        """What may be parents; no more of a type than there may be queries."""

    async def run(self) -> int:
        """How many resources are held; they are in the file then. Raises _NoPreviewError."""
        total = _count_of(await self._first({"integration_id": self._integration_id}))
        if not total:
            await self._make_sure_of_nothing()
            return 0
        held = counted = 0
        for type_ in PARENTS:
            found = await self._type(type_)
            held += found.held
            counted += found.counted
        if counted != total:
            raise _NoPreviewError(
                f"the catalog counts {total:,} resources of this integration, and {counted:,} of the known types; "
                "there are others, or it counts otherwise than is documented"
            )
        return held

    async def _type(self, type_: EntityType) -> _Listed:
        """What there is of a type."""
        query = {"integration_id": self._integration_id, "type": type_.value}
        found = await self._list(type_, query)
        return found if found.whole else await self._by_parent(type_, query, found.counted)

    async def _by_parent(self, type_: EntityType, query: dict[str, str], count: int) -> _Listed:
        held = listed = 0
        for parent_type in PARENTS[type_]:
            if listed == count:
                break
            parents = tuple(self._ids.get(parent_type, ()))
            if len(parents) + self._queries > self._most_queries:
                raise _NoPreviewError(
                    f"the workspace holds {count:,} resources of type {type_.value}, which took more than "
                    f"{self._most_queries:,} queries to list"
                )
            for found in await _all(partial(self._children, type_, query, parent) for parent in parents):
                held += found.held
                listed += found.counted
        if listed != count:
            raise _NoPreviewError(
                f"the catalog counts {count:,} resources of type {type_.value}, more than the {self._cap:,} that one "
                f"query lists, and {listed:,} of them below their parents"
            )
        return _Listed(count, held)

    async def _children(self, type_: EntityType, query: dict[str, str], parent: str) -> _Listed:
        found = await self._list(type_, {**query, "parent_id": parent})
        if not found.whole:
            raise _NoPreviewError(
                f"{found.counted:,} resources of type {type_.value} have the parent {parent[:100]!r}, more than the "
                f"{self._cap:,} that one query lists"
            )
        return found

    async def _list(self, type_: EntityType, query: dict[str, str]) -> _Listed:
        """Write a query's resources to the file, unless they are more than one query lists."""
        seen: set[str] = set()
        count = held = 0
        first = True
        async with aclosing(self._pages(query)) as pages:
            async for page in pages:
                if first:
                    first, count = False, _count_of(page)
                    if count >= self._cap:
                        return _Listed(count, 0, whole=False)
                lines = bytearray()
                for entry in _entries_of(page):
                    record = self._record(type_, entry)
                    id_ = record["databuilder_id"]
                    if id_ in seen:
                        raise _NoPreviewError(f"the catalog lists {id_[:100]!r} twice; perhaps it changed meanwhile")
                    seen.add(id_)
                    if len(ids := self._ids.setdefault(type_, [])) <= self._most_queries:
                        ids.append(id_)
                    if entry.get("archived") is not True and entry.get("stale") is not True:  # else removed already
                        held += 1
                        lines += orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
                await self._file.write(lines)
                if len(seen) > count:
                    break
        if len(seen) != count:
            raise _NoPreviewError(
                f"the catalog counts {count:,} resources of type {type_.value} and lists "
                f"{len(seen):,}{' or more' if len(seen) > count else ''}"
            )
        return _Listed(count, held)

    def _pages(self, query: dict[str, str]) -> AsyncGenerator[dict[str, Any]]:
        self._queries += 1
        params = {"filter": orjson.dumps(query).decode()} if query else None
        return self._api.pages(self._catalog, params)

    async def _first(self, query: dict[str, str]) -> dict[str, Any]:
        async with aclosing(self._pages(query)) as pages:
            return await anext(pages)

    def _record(self, type_: EntityType, entry: dict[str, Any]) -> dict[str, str]:
        """A line of the dataset. Raises _NoPreviewError where the entry is none that was asked for."""
        id_ = entry.get("databuilder_id")
        if not isinstance(id_, str) or not id_:
            raise _NoPreviewError("an entry of the catalog has no databuilder_id")
        if entry.get("entity_type") not in (None, type_.value):
            raise _NoPreviewError(f"the catalog lists another type where {type_.value} was asked for")
        if _integration_of(entry) not in (None, self._integration_id):
            raise _NoPreviewError("the catalog lists resources of other integrations too")
        record = {"entity_type": type_.value, "databuilder_id": id_}
        for name in ("parent_databuilder_id", "title"):
            if isinstance(entry.get(name), str):
                record[name] = entry[name]
        return record

    async def _make_sure_of_nothing(self) -> None:
        """None of this integration may also mean that the filter is not understood: try it where there must be some."""
        page = await self._first({})
        entries = _entries_of(page)
        if not entries and not _count_of(page):
            return  # the whole workspace is empty
        other = _integration_of(entries[0]) if entries else None
        if other is None:
            raise _NoPreviewError(
                "the catalog lists nothing of this integration, and does not say of which ones it does"
            )
        if other == self._integration_id or not _count_of(await self._first({"integration_id": other})):
            raise _NoPreviewError("the catalog's filter does not do what is documented")


def _count_of(page: dict[str, Any]) -> int:
    count = page.get("count")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise _NoPreviewError("the catalog's answer has no count")
    return count


def _entries_of(page: dict[str, Any]) -> list[dict[str, Any]]:
    entries = page.get("results")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _NoPreviewError("the catalog's answer has no list of results")
    return entries


def _integration_of(entry: dict[str, Any]) -> str | None:
    """The id of the integration that an entry belongs to, in each of the forms that are documented; None: not told."""
    for name in ("integration", "integration_id"):
        value = entry.get(name)
        if isinstance(value, dict):
            value = value.get("id")
        if isinstance(value, str):
            return value
    return None


async def _all(calls: Iterable[Callable[[], Awaitable[_Listed]]]) -> list[_Listed]:
    """What the calls return, a few of them at once. The first error ends the others, and is raised as itself."""
    found: list[_Listed] = []
    errors: list[Exception] = []
    ahead = iter(calls)

    async def work() -> None:
        for call in ahead:
            try:
                found.append(await call())
            except (_NoPreviewError, UploadError, OSError) as error:
                errors.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(work)
    if errors:
        raise errors[0]
    return found
