"""What a run has done and does, and how long each phase took."""

from pathlib import Path

import pytest
from typing_extensions import override

from secoda_async import DeliveryError, SecodaIntegration, SecodaSink, Settings, Spool
from secoda_async.cli.progress_rows import RunRows, UploadRows, phases_text
from secoda_async.phases import Phases
from secoda_async.redact import Redactor
from secoda_async.resend import Resend
from secoda_async.runner import Run
from secoda_async.testing import FakeWorkspace
from tests.integrations import MemorySink, integration, table

KEY = "the-key-of-this-test"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_phase_ends_where_the_next_begins_and_may_go_on_later() -> None:
    clock = Clock()
    phases = Phases(clock)
    assert phases_text(phases) == ""
    phases.begin("extract")
    clock.now += 12
    phases.begin("rules")
    phases.tell(7, 21)
    clock.now += 3
    assert phases_text(phases) == "extract 12 s ✓, rules 3 s (7 of 21)"
    phases.begin("diff")
    clock.now += 0.05
    phases.begin("rules")
    assert phases_text(phases) == "extract 12 s ✓, rules 3 s"  # what took no time is not told
    clock.now += 2
    phases.begin("rules")
    clock.now += 200
    phases.end()
    clock.now += 50
    phases.end()
    assert phases_text(phases) == "extract 12 s ✓, rules 3 min ✓"
    assert [(one.name, one.is_under_way) for one in phases] == [("extract", False), ("rules", False), ("diff", False)]


class Watched:
    """An extract that keeps its run."""

    run: Run

    async def extract(self, integration: SecodaIntegration) -> None:
        assert integration.current_run is not None
        self.run = integration.current_run
        await integration.declare_resource(table("t"))

    @property
    def names(self) -> list[str]:
        return [one.name for one in self.run.phases]


async def test_a_run_says_what_it_does_until_it_has_ended() -> None:
    watched = Watched()
    await integration(watched.extract).run(MemorySink())
    assert watched.names == ["prepare", "extract", "deliver", "keep"]
    assert not any(one.is_under_way for one in watched.run.phases)


async def test_a_run_that_fails_ends_its_phase(tmp_path: Path) -> None:
    class Refuses(MemorySink):
        @override
        async def commit(self, spool: Spool) -> None:
            raise DeliveryError("no")

    watched = Watched()
    with pytest.raises(DeliveryError):
        await integration(watched.extract).run(Refuses())
    assert [(one.name, one.is_under_way) for one in watched.run.phases][-1] == ("deliver", False)


async def test_a_sync_is_judged_compared_and_uploaded_and_the_first_is_surveyed(tmp_path: Path) -> None:
    watched = Watched()
    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("Made")
        sink = SecodaSink(api_key=KEY, integration_id=id_, base_url=workspace.url)
        made = integration(watched.extract, state_dir=tmp_path / "state")
        await made.run(sink)
        assert watched.names == ["prepare", "extract", "rules", "survey", "diff", "SQL", "upload", "keep"]
        await made.run(sink)
        assert watched.names == ["prepare", "extract", "rules", "diff", "SQL", "upload", "keep"]


async def test_an_upload_of_others_files_is_read_first(tmp_path: Path) -> None:
    (tmp_path / "resources.jsonl").write_text('{"entity_type": "table", "databuilder_id": "t", "title": "T"}\n')
    (tmp_path / "lineage.jsonl").touch()
    async with FakeWorkspace(api_key=KEY) as workspace:
        id_ = workspace.create_integration("Made")
        sink = SecodaSink(api_key=KEY, integration_id=id_, base_url=workspace.url)
        resend = Resend(tmp_path, sink, settings=Settings(state_dir=tmp_path / "state"), redact=Redactor())
        await resend.execute()
    assert [one.name for one in resend.phases] == [
        "prepare",
        "read",
        "rules",
        "survey",
        "diff",
        "SQL",
        "upload",
        "keep",
    ]
    assert UploadRows(resend).rows(0.0)[0] == ("phases", phases_text(resend.phases))


def showing(run: Run) -> SecodaIntegration:
    """An integration that is at this run."""

    class Showing(SecodaIntegration):
        async def extract(self) -> None:
            return

        @property
        @override
        def current_run(self) -> Run:
            return run

    return Showing(credentials={})


def test_a_process_that_has_no_time_for_answers_is_told_while_they_come() -> None:
    run = Run("Made", Settings(), redact=Redactor())
    rows, source = RunRows(showing(run)), run.counters.source
    run.phases.begin("extract")
    assert "waiting" not in dict(rows.rows(0.0))
    source.overdue, source.requests = True, 10
    assert dict(rows.rows(1.0))["waiting"] == "this process: answers have come that it had no time to read"
    assert "waiting" not in dict(rows.rows(2.0))  # since then none has come


@pytest.mark.parametrize(
    ("sent", "now", "said"),
    [
        ([(0.0, 0)], "0.0 of 340.0 MiB", None),
        ([(0.0, 0), (5.0, 100)], "100.0 of 340.0 MiB, 20.0 MiB/s, about 12 s left", None),
        ([(0.0, 0), (5.0, 100), (6.0, 0)], "0.0 of 340.0 MiB", None),
        ([(0.0, 0), (5.0, 100), (6.0, 340)], "340.0 MiB, all sent", "for the workspace's answer"),
    ],
)
def test_an_upload_tells_its_pace_and_the_time_left_and_then_whom_it_waits_for(
    sent: list[tuple[float, int]], now: str, said: str | None
) -> None:
    run = Run("Made", Settings(), redact=Redactor())
    rows = RunRows(showing(run))
    run.phases.begin("upload")
    upload = run.counters.upload
    upload.body_size, upload.in_flight = 340 * 2**20, 1
    for at, mib in sent:
        upload.body_sent = mib * 2**20
        told = dict(rows.rows(at))
    assert told["uploading"] == now
    assert told.get("waiting") == said
