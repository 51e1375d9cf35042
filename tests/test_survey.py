"""What a workspace holds is found out whole, or it is said why it cannot be; it is never guessed."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from secoda_async import RetryPolicy, SecodaSink, Settings, SpoolError, StaleGuardError
from secoda_async.counters import Traffic
from secoda_async.diff import diff_datasets
from secoda_async.network.auth import BearerAuth
from secoda_async.pipeline.sink import GuardedSink, Survey
from secoda_async.redact import Redactor
from secoda_async.sinks.address import catalog_url
from secoda_async.sinks.survey import survey
from secoda_async.sinks.workspace_api import WorkspaceApi
from secoda_async.stale_guard import guard
from secoda_async.testing import FakeWorkspace
from tests.server import serve
from tests.test_diff import Record, dataset, resource

KEY = "key-of-the-workspace"
Page = dict[str, Any]


def warehouse(schemas: int = 2, tables: int = 3, columns: int = 4) -> list[Record]:
    """A database and all below it, each with its parent."""
    found = [resource("db", "database", title="DB")]
    for s in range(schemas):
        found.append(resource(f"s{s}", "schema", parent_databuilder_id="db"))
        for t in range(tables):
            found.append(resource(f"s{s}.t{t}", "table", parent_databuilder_id=f"s{s}", schema="s", database="db"))
            found += [resource(f"s{s}.t{t}.c{c}", "column", parent_databuilder_id=f"s{s}.t{t}") for c in range(columns)]
    return found


class Workspace:
    """A fake workspace with one integration that holds some records, and a client without limits."""

    def __init__(self, work: Path, **options: Any) -> None:
        self.work = work
        self.fake = FakeWorkspace(api_key=KEY, **options)
        self.traffic = Traffic()

    async def survey(self, records: list[Record], **options: Any) -> Survey:
        async with self.fake:
            id_ = self.fake.create_integration("ours")
            await self.fill(id_, records)
            return await self.ask(self.fake.url, id_, **options)

    async def fill(self, id_: str, records: list[Record]) -> None:
        folder = self.work / f"upload{len(list(self.work.iterdir()))}"
        sink = SecodaSink(api_key=KEY, integration_id=id_, base_url=self.fake.url)
        await sink.upload(dataset(folder, records))

    async def ask(self, url: str, id_: str, **options: Any) -> Survey:
        chosen = Settings(base_url=url, concurrency=4, retry=RetryPolicy(attempts=1))
        api = WorkspaceApi(chosen, auth=BearerAuth(KEY), traffic=self.traffic, redact=Redactor([KEY]))
        async with api:
            return await survey(api, catalog_url(URL(url)), id_, self.work, **options)


def lines(found: Survey) -> list[Record]:
    assert found.dataset is not None, found.why_not
    assert found.dataset.lineage.read_bytes() == b""
    records = [orjson.loads(line) for line in found.dataset.resources.read_bytes().splitlines()]
    assert len(records) == found.resources
    return records


def held(found: Survey) -> list[tuple[str, str]]:
    return sorted((record["entity_type"], record["databuilder_id"]) for record in lines(found))


def expected(records: list[Record]) -> list[tuple[str, str]]:
    return sorted((record["entity_type"], record["databuilder_id"]) for record in records)


async def test_every_resource_of_the_integration_is_found_with_its_type(tmp_path: Path) -> None:
    records = warehouse()
    found = await Workspace(tmp_path, page_size=3).survey(records)
    assert held(found) == expected(records)
    assert {record["title"] for record in lines(found) if record["entity_type"] == "database"} == {"DB"}


async def test_a_type_that_passes_the_cap_is_asked_for_by_parent(tmp_path: Path) -> None:
    records = warehouse(schemas=5, tables=5, columns=5)
    workspace = Workspace(tmp_path, catalog_cap=20)
    assert held(await workspace.survey(records, cap=20)) == expected(records)
    assert workspace.traffic.requests < 60, "one query for each schema, table and type, and one for all"


async def test_nested_columns_are_found_below_their_columns(tmp_path: Path) -> None:
    nested = [resource(f"s0.t0.c0.n{n}", "column", parent_databuilder_id="s0.t0.c0") for n in range(5)]
    records = [*warehouse(schemas=1, tables=3, columns=4), *nested]
    assert held(await Workspace(tmp_path, catalog_cap=15).survey(records, cap=15)) == expected(records)


async def test_resources_of_another_integration_are_left_out(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    async with workspace.fake as fake:
        ours, theirs = fake.create_integration("ours"), fake.create_integration("theirs")
        await workspace.fill(ours, warehouse(schemas=1))
        await workspace.fill(theirs, [resource("t")])
        assert ("table", "t") not in held(await workspace.ask(fake.url, ours))


@pytest.mark.parametrize("others", [0, 1])
async def test_a_workspace_that_holds_nothing_of_the_integration_is_known_to(tmp_path: Path, others: int) -> None:
    workspace = Workspace(tmp_path)
    async with workspace.fake as fake:
        await workspace.fill(fake.create_integration("theirs"), [resource("t")] * others)
        found = await workspace.ask(fake.url, fake.create_integration("ours"))
    assert lines(found) == []


async def test_what_is_removed_already_is_not_held(tmp_path: Path) -> None:
    def mark(page: Page) -> Page:
        for entry in page["results"]:
            entry["archived"] = entry["databuilder_id"] == "s0"
            entry["stale"] = entry["databuilder_id"] == "s1"
        return page

    records = warehouse()
    left = [record for record in records if record["databuilder_id"] not in ("s0", "s1")]
    assert held(await Workspace(tmp_path, distort=mark).survey(records)) == expected(left)


def without(*names: str) -> Callable[[Page], Page]:
    def distort(page: Page) -> Page:
        return {
            **{name: value for name, value in page.items() if name not in names},
            "results": [{k: v for k, v in entry.items() if k not in names} for entry in page.get("results", [])],
        }

    return distort


def the_end(mark: object) -> Callable[[Page], Page]:
    def distort(page: Page) -> Page:
        links = page["links"]
        return {**page, "links": {**links, "next": links["next"] or mark}}

    return distort


@pytest.mark.parametrize("distort", [the_end("None"), the_end(""), without("entity_type", "integration", "title")])
async def test_other_documented_forms_of_an_answer_are_understood(
    tmp_path: Path, distort: Callable[[Page], Page]
) -> None:
    records = warehouse()
    assert held(await Workspace(tmp_path, page_size=5, distort=distort).survey(records)) == expected(records)


def next_page(link: object) -> Callable[[Page], Page]:
    return lambda page: {**page, "links": {"next": link}}


def off_by(number: int) -> Callable[[Page], Page]:
    return lambda page: {**page, "count": page["count"] + number}


def with_results(results: object) -> Callable[[Page], Page]:
    return lambda page: {**page, "results": results}


@pytest.mark.parametrize(
    ("distort", "said"),
    [
        (without("databuilder_id"), "no databuilder_id"),
        (without("count"), "no count"),
        (off_by(1), "counts"),
        (off_by(-1), "counts"),
        (lambda page: {**page, "count": "3"}, "no count"),
        (with_results(None), "no list of results"),
        (with_results([1]), "no list of results"),
        (without("links"), "links.next"),
        (next_page(5), "links.next"),
        (next_page("http://evil.example/next"), "another host, evil.example"),
        (lambda page: [page], "no JSON object"),
        (lambda page: with_results([{**one, "integration": "x"} for one in page["results"]])(page), "other integr"),
        (lambda page: with_results([{**one, "entity_type": "x"} for one in page["results"]])(page), "another type"),
    ],
)
async def test_an_answer_that_is_not_as_documented_is_no_preview(
    tmp_path: Path, distort: Callable[[Page], Any], said: str
) -> None:
    found = await Workspace(tmp_path, distort=distort).survey(warehouse(schemas=1, tables=1, columns=1))
    assert found.dataset is None
    assert said in found.why_not


async def test_a_type_that_is_not_known_is_no_preview(tmp_path: Path) -> None:
    found = await Workspace(tmp_path).survey([*warehouse(), resource("j", "job")])
    assert found.dataset is None
    assert "counts 34 resources" in found.why_not
    assert "33 of the known types" in found.why_not


async def test_resources_over_the_cap_without_a_parent_are_no_preview(tmp_path: Path) -> None:
    found = await Workspace(tmp_path, catalog_cap=20).survey([resource(f"t{n}") for n in range(21)], cap=20)
    assert found.dataset is None
    assert "21 resources of type table" in found.why_not


async def test_a_parent_with_more_than_the_cap_is_no_preview(tmp_path: Path) -> None:
    found = await Workspace(tmp_path, catalog_cap=20).survey(warehouse(1, 1, 25), cap=20)
    assert found.dataset is None
    assert "25 resources of type column have the parent 's0.t0'" in found.why_not


async def test_a_catalog_that_takes_countless_queries_is_no_preview(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, catalog_cap=20)
    found = await workspace.survey(warehouse(schemas=3, tables=5, columns=2), cap=20, most_queries=15)
    assert found.dataset is None
    assert "more than 15 queries" in found.why_not
    assert workspace.traffic.requests < 20


async def test_a_filter_that_finds_nothing_anywhere_is_no_proof_of_nothing(tmp_path: Path) -> None:
    async def ignorant(request: web.Request) -> web.StreamResponse:
        results = [] if "filter" in request.query else [{"databuilder_id": "t", "integration": "theirs"}]
        return web.json_response({"links": {"next": None}, "count": len(results), "results": results})

    async with serve(ignorant) as url:
        found = await Workspace(tmp_path).ask(url, "ours")
    assert found.dataset is None
    assert "filter does not do what is documented" in found.why_not


async def test_nothing_listed_of_nobody_knows_whom_is_no_proof_of_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, distort=without("integration"))
    async with workspace.fake as fake:
        await workspace.fill(fake.create_integration("theirs"), [resource("t")])
        found = await workspace.ask(fake.url, fake.create_integration("ours"))
    assert found.dataset is None
    assert "does not say" in found.why_not


@pytest.mark.parametrize("status", [401, 403, 404, 500, 302])
async def test_a_catalog_that_refuses_is_no_preview(tmp_path: Path, status: int) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=f"Bearer {KEY}", headers={"Location": "http://evil.example/"})

    async with serve(refuse) as url:
        found = await Workspace(tmp_path).ask(url, "ours")
    assert found.dataset is None
    assert str(status) in found.why_not
    assert KEY not in found.why_not


async def test_a_workspace_that_is_gone_is_no_preview(tmp_path: Path) -> None:
    async with FakeWorkspace(api_key=KEY) as fake:
        url = fake.url
    found = await Workspace(tmp_path).ask(url, "ours")
    assert found.dataset is None
    assert "was not reached" in found.why_not


async def test_the_first_page_that_fails_below_a_parent_ends_the_survey(tmp_path: Path) -> None:
    def fail(page: Page) -> Page:
        ids = {entry["databuilder_id"] for entry in page["results"]}
        return {} if ids == {f"s1.t0.c{n}" for n in range(4)} else page

    found = await Workspace(tmp_path, catalog_cap=20, distort=fail).survey(warehouse(), cap=20)
    assert found.dataset is None
    assert "no count" in found.why_not


async def test_a_listing_in_a_circle_is_no_preview(tmp_path: Path) -> None:
    async def circle(request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"links": {"next": str(request.url)}, "count": 2, "results": [{"databuilder_id": "t"}]}
        )

    async with serve(circle) as url:
        found = await Workspace(tmp_path).ask(url, "ours")
    assert found.dataset is None
    assert "one that came before" in found.why_not


TYPES = ["database", "schema", "table", "column", "dashboard_group", "dashboard", "chart", "job"]


@settings(max_examples=25)
@given(
    records=st.lists(
        st.builds(
            lambda n, type_, parent: resource(f"r{n}", type_, parent_databuilder_id=parent and f"r{parent}"),
            st.integers(1, 30),
            st.sampled_from(TYPES),
            st.none() | st.integers(1, 30),
        ),
        max_size=30,
        unique_by=lambda record: record["databuilder_id"],
    ),
    cap=st.integers(2, 12),
)
@example(records=warehouse(schemas=2, tables=4, columns=1), cap=6)
def test_whatever_a_workspace_holds_a_survey_is_whole_or_none(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], cap: int
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("survey"), catalog_cap=cap)
    found = asyncio.run(workspace.survey(records, cap=cap))
    if found.dataset is not None:
        assert held(found) == expected(records)
    else:
        sizes = Counter(record["entity_type"] for record in records)
        assert max(sizes.values()) >= cap or "job" in sizes, found.why_not


async def test_a_cancelled_survey_ends_at_once(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        reached.set()
        await asyncio.Event().wait()
        return web.Response()

    async with serve(hang) as url, asyncio.TaskGroup() as group:
        asked = group.create_task(Workspace(tmp_path).ask(url, "ours"))
        await reached.wait()
        asked.cancel()
    assert asked.cancelled()


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "workspace").touch()
    with pytest.raises(SpoolError, match="cannot be kept"):
        await Workspace(tmp_path).survey([])


@pytest.mark.long
async def test_more_than_ten_thousand_columns_are_found_by_table(tmp_path: Path) -> None:
    records = warehouse(schemas=4, tables=13, columns=200)
    async with FakeWorkspace(api_key=KEY) as fake:
        id_ = fake.create_integration("ours")
        sink = SecodaSink(api_key=KEY, integration_id=id_, base_url=fake.url)
        await sink.upload(dataset(tmp_path / "a", records))
        assert held(await sink.survey(tmp_path)) == expected(records)


async def test_a_sync_of_a_twentieth_is_refused_against_what_the_workspace_holds(tmp_path: Path) -> None:
    records = warehouse(schemas=2, tables=20, columns=2)
    found = await Workspace(tmp_path).survey(records)
    assert found.dataset is not None
    now = dataset(tmp_path / "now", records[: len(records) // 20])
    diff = await diff_datasets(found.dataset, now, tmp_path, ids_only=True, against="the workspace")
    with pytest.raises(StaleGuardError) as caught:
        guard(diff, Settings())
    assert [reason.split("--allow-stale ")[1].split()[0] for reason in caught.value.reasons] == ["'column'", "'table'"]
    guard(diff, Settings(allow_stale=["column", "table"]))


async def test_the_sink_surveys_what_it_uploads_to(tmp_path: Path) -> None:
    async with FakeWorkspace(api_key=KEY) as fake:
        id_ = fake.create_integration("ours")
        sink = SecodaSink(api_key=KEY, integration_id=id_, base_url=fake.url)
        assert isinstance(sink, GuardedSink)
        await sink.upload(dataset(tmp_path / "a", [resource("t")]))
        assert held(await sink.survey(tmp_path)) == [("table", "t")]
        assert sink.target() == (f"127.0.0.1:{URL(fake.url).port}", id_)
        assert sink.removes_absent
