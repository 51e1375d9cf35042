"""Declaring is acceptance; the queue is bounded; nothing declared is lost on the way to the spool."""

from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import (
    BackpressureError,
    EncodeError,
    IncompleteRunError,
    Kind,
    RecordTooLargeError,
    Resource,
    RunError,
    Settings,
    SinglePage,
)
from secoda_async.counters import Counters
from secoda_async.findings import Findings
from secoda_async.pipeline.intake import Intake
from secoda_async.spool import Batch
from secoda_async.testing.virtual_time import run_virtually
from tests.integrations import MemorySink, StreamSink, edge, integration, table
from tests.server import serve


def ids(lines: list[bytes]) -> list[str]:
    return [orjson.loads(line)["databuilder_id"] for line in lines]


def small(**more: int) -> Settings:
    return Settings(**{"batch_bytes": 1_000, "queue_bytes": 4_000, "max_undelivered": 20_000, **more})


async def drain(intake: Intake) -> list[Batch]:
    """Take what has crossed so far, as the pump does."""
    taken = []
    while intake.statistics()["queued_items"]:
        item = intake.items.receive_nowait()
        if isinstance(item, Batch):
            taken.append(item)
            intake.delivered(item)
    return taken


async def test_a_forgotten_await_loses_nothing() -> None:
    async def extract(self: Any) -> None:
        for number in range(5_000):
            self.declare_resource(table(number))
        self.declare_lineage(edge(1, 2))

    sink = MemorySink()
    report = await integration(extract).run(sink)
    assert ids(sink.lines[Kind.RESOURCES]) == [str(number) for number in range(5_000)]
    assert len(sink.lines[Kind.LINEAGE]) == 1
    assert (report.resources, report.lineage) == ({"table": 5_000}, 1)


async def test_a_record_changed_after_it_was_declared_changes_nothing() -> None:
    async def extract(self: Any) -> None:
        record = table("a")
        await self.declare_resource(record)
        record.databuilder_id = "b"

    sink = MemorySink()
    await integration(extract).run(sink)
    assert ids(sink.lines[Kind.RESOURCES]) == ["a"]


@settings(max_examples=60)
@given(
    records=st.lists(st.tuples(st.sampled_from(list(Kind)), st.integers(0, 3_000)), max_size=80),
)
def test_batches_hold_every_line_once_and_in_order(records: list[tuple[Kind, int]]) -> None:
    async def scenario() -> None:
        with Intake(small(max_undelivered=10**9), Counters(), Findings()) as intake:
            expected: dict[Kind, list[str]] = {Kind.RESOURCES: [], Kind.LINEAGE: []}
            for number, (kind, size) in enumerate(records):
                name = f"{number}-{'x' * size}"
                if kind is Kind.RESOURCES:
                    intake.declare_resource(table(name))
                else:
                    intake.declare_lineage(edge(name, "end"))
                expected[kind].append(name)
            intake.close()
            found: dict[Kind, list[str]] = {Kind.RESOURCES: [], Kind.LINEAGE: []}
            batches = await drain(intake)
            for batch in batches:
                lines = bytes(batch.lines).splitlines(keepends=True)
                assert len(lines) == batch.records
                assert all(line.endswith(b"\n") for line in lines)
                for line in map(orjson.loads, lines):
                    found[batch.kind].append(
                        line["databuilder_id"]
                        if batch.kind is Kind.RESOURCES
                        else line["from_identifier"]["databuilder_id"]
                    )
            assert found == expected
            # A batch crosses as soon as it is full: without its last line it was not.
            for batch in batches:
                last = bytes(batch.lines).splitlines(keepends=True)[-1]
                assert len(batch.lines) - len(last) < 1_000
            nothing = {"undelivered_bytes": 0, "scopes_bytes": 0, "open_scopes": 0, "queued_items": 0}
            assert intake.statistics() == nothing

    run_virtually(scenario())


async def test_an_awaited_declare_waits_while_the_queue_is_full_and_goes_on_when_there_is_room() -> None:
    with Intake(small(), Counters(), Findings()) as intake:
        declared = 0

        async def declare() -> None:
            nonlocal declared
            for number in range(40):
                await intake.declare_resource(table(number))
                declared += 1

        async with anyio.create_task_group() as group:
            group.start_soon(declare)
            await anyio.wait_all_tasks_blocked()
            assert intake.is_full
            stopped_at = declared
            assert 0 < stopped_at < 40
            while declared < 40:
                assert await drain(intake)
                await anyio.wait_all_tasks_blocked()
            assert declared == 40


async def test_cancelling_one_declare_that_waits_leaves_the_others_waiting() -> None:
    with Intake(small(), Counters(), Findings()) as intake:
        while not intake.is_full:
            intake.declare_resource(table("x"))
        ended: list[str] = []

        async def wait(name: str) -> None:
            try:
                await intake.declare_resource(table(name))
                ended.append(name)
            except BaseException:
                ended.append(f"{name} cancelled")
                raise

        async with anyio.create_task_group() as group:
            scope = anyio.CancelScope()

            async def cancellable() -> None:
                with scope:
                    await wait("one")

            group.start_soon(cancellable)
            group.start_soon(wait, "two")
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            assert ended == ["one cancelled"]
            await drain(intake)
        assert ended == ["one cancelled", "two"]


async def test_records_that_nobody_awaits_end_in_an_error_that_names_await_before_the_record_is_taken() -> None:
    findings = Findings()
    with Intake(small(), Counters(), findings) as intake:
        taken = 0

        def declare_forever() -> None:
            nonlocal taken
            while True:
                intake.declare_resource(table(taken))
                taken += 1

        with pytest.raises(BackpressureError, match=r"await self\.declare_resource"):
            declare_forever()
        assert findings.loss_count == 1
        assert intake.statistics()["undelivered_bytes"] <= 20_000
        intake.close()
        assert sum(batch.records for batch in await drain(intake)) == taken


async def test_a_swallowed_backpressure_error_still_fails_the_run() -> None:
    async def extract(self: Any) -> None:
        try:
            while True:
                self.declare_resource(table("x"))
        except BackpressureError:
            pass

    sink = MemorySink()
    made = integration(extract, batch_bytes=1_000, queue_bytes=4_000, max_undelivered=20_000)
    with pytest.raises(IncompleteRunError, match="await"):
        await made.run(sink)
    assert sink.calls == ["open", "abort"]


async def test_a_record_over_the_cap_is_refused_by_its_id_and_is_a_loss() -> None:
    findings = Findings()
    with Intake(small(max_record=500), Counters(), findings) as intake:
        with pytest.raises(RecordTooLargeError, match=r"'big'.*over max_record \(500 bytes\)"):
            intake.declare_resource(table("big", description="x" * 600))
        intake.close()
        assert await drain(intake) == []
        assert findings.loss_count == 1


@pytest.mark.parametrize("what", [{"entity_type": "table"}, None, edge("a", "b")])
async def test_what_is_no_resource_is_refused_where_it_is_declared(what: object) -> None:
    findings = Findings()
    with Intake(small(), Counters(), findings) as intake:
        with pytest.raises(EncodeError, match="declare_resource takes a Resource"):
            intake.declare_resource(what)
        assert findings.loss_count == 1


async def test_a_record_declared_after_the_end_is_an_error_and_a_loss() -> None:
    findings = Findings()
    with Intake(small(), Counters(), findings) as intake:
        intake.close()
        with pytest.raises(RunError, match="after extract"):
            intake.declare_resource(table("late"))
        assert findings.loss_count == 1


async def test_unknown_keywords_are_counted_at_declare_once_per_class_and_name() -> None:
    async def extract(self: Any) -> None:
        for number in range(3):
            await self.declare_resource(table(number, tabel="x"))
        Resource(entity_type="table", databuilder_id="never declared", other=1)
        lineage = edge("a", "b")
        await self.declare_lineage(
            type(lineage)(
                from_identifier={"type": "external_table", "table": "t", "shcema": "s"},
                to_identifier=lineage.to_identifier,
                note=1,
            )
        )

    report = await integration(extract).run(MemorySink())
    assert {(finding.subject, finding.count) for finding in report.findings} == {
        ("Resource.tabel", 3),
        ("ExternalTable.shcema", 1),
        ("DeclaredLineage.note", 1),
    }
    first = next(finding for finding in report.findings if finding.subject == "Resource.tabel")
    assert "'0'" in first.message


async def test_a_streaming_sink_is_given_a_batch_that_is_not_full_once_it_has_aged() -> None:
    sink = StreamSink()

    async def extract(self: Any) -> None:
        await self.declare_resource(table("lonely"))
        with anyio.fail_after(30):
            await sink.written.wait()

    await integration(extract).run(sink)
    assert ids(bytes(sink.batches[0].lines).splitlines()) == ["lonely"]


async def test_the_spool_keeps_every_declared_record_in_order_duplicates_included(state_dir: Path) -> None:
    names = ["a", "b", "a", "a", "c"]

    async def extract(self: Any) -> None:
        for name in names:
            await self.declare_resource(table(name))

    await integration(extract).run(MemorySink())
    [run] = (state_dir / "runs").iterdir()
    assert ids((run / "resources.jsonl").read_bytes().splitlines()) == names


async def test_a_full_queue_with_many_who_wait_is_still_written_in_full_batches(state_dir: Path) -> None:
    async def extract(self: Any) -> None:
        async def declare(number: int) -> None:
            for part in range(20):
                await self.declare_resource(table(f"{number}-{part}", description="x" * 100))

        await self.for_each(range(200), declare, concurrency=50)

    await integration(extract, batch_bytes=2_000, queue_bytes=8_000, max_undelivered=100_000).run(MemorySink())
    [run] = (state_dir / "runs").iterdir()
    rows = [orjson.loads(line) for line in (await anyio.Path(run / "index.jsonl").read_bytes()).splitlines()]
    assert sum(row["records"] for row in rows) == 4_000
    assert all(row["length"] >= 2_000 for row in rows[:-1])  # only the last one was not full


async def test_a_record_that_cannot_be_taken_is_kept_with_the_reason_and_the_request_it_came_from(
    state_dir: Path,
) -> None:
    async def pages(request: web.Request) -> web.Response:
        return web.json_response({"items": [{"id": "bad"}], "next": None})

    async def extract(self: Any) -> None:
        async def keep(item: dict[str, Any]) -> None:
            await self.declare_resource(table(item["id"] + "\ud800"))

        reply = await self.http_get("/list", params={"token": "t0ken"})
        with pytest.raises(EncodeError):
            await self.declare_resource(table("\ud800"))
        for item in reply.json()["items"]:
            with pytest.raises(EncodeError):
                await keep(item)
        async for item in self.paginate("/paged", items="items", pager=SinglePage()):
            with pytest.raises(EncodeError):
                await keep(item)

    async with serve(pages) as url:
        made = integration(extract, base_url=url, credentials={"token": "t0ken"})
        with pytest.raises(IncompleteRunError, match="lone surrogate"):
            await made.run(MemorySink())
    assert made.report is not None
    assert made.report.rejected == 3
    path = state_dir / "runs" / made.report.run / "rejected.jsonl"
    told = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [one["request"].removeprefix(f"GET {url}") for one in told] == ["/list?token=[redacted]"] * 2 + ["/paged"]
    assert all("lone surrogate" in one["reason"] for one in told)
    assert told[1]["record"]["databuilder_id"] == "'bad\\ud800'"
