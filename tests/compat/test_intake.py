"""Records from threads: bounded memory, nothing lost on the way, and nothing taken after the end."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import pytest
from anyio import to_thread

from secoda_async import Kind, Resource, Settings
from secoda_async.compat.crossing import Crossing
from secoda_async.compat.intake import AHEAD, ThreadIntake
from secoda_async.counters import Counters
from secoda_async.findings import Findings
from secoda_async.pipeline.intake import Intake
from secoda_async.spool import Batch
from tests.integrations import table

SIZE = 100_000


class Made(NamedTuple):
    threads: ThreadIntake
    intake: Intake
    counters: Counters
    findings: Findings


@asynccontextmanager
async def made() -> AsyncIterator[Made]:
    """Both intakes of a run, and nothing that empties them."""
    settings = Settings(batch_bytes=SIZE, queue_bytes=4 * SIZE)
    counters, findings = Counters(), Findings()
    async with asyncio.TaskGroup() as group:
        with Intake(settings, counters, findings) as intake:
            crossing = Crossing(group)
            yield Made(
                ThreadIntake(intake, crossing, settings, counters=counters, findings=findings),
                intake,
                counters,
                findings,
            )
            crossing.close()


def declare(threads: ThreadIntake, name: object, size: int = 0) -> None:
    threads.declare(Kind.RESOURCES, table(name, description="x" * size), (Resource,))


def records(intake: Intake) -> int:
    """How many have crossed so far."""
    items = [intake.items.receive_nowait() for _ in range(intake.statistics()["queued_items"])]
    return sum(item.records for item in items if isinstance(item, Batch))


@pytest.mark.filterwarnings("ignore:Exception in thread")  # pytest is
async def test_a_thread_waits_where_a_mebibyte_of_batches_is_not_taken() -> None:
    declared = 0

    def fill(threads: ThreadIntake) -> None:
        nonlocal declared
        while True:  # a SystemExit ends the thread, and nobody is told
            declare(threads, declared, SIZE)
            declared += 1

    async with made() as (threads, intake, counters, _):
        thread = threading.Thread(target=fill, args=(threads,))
        thread.start()
        with anyio.fail_after(20):
            while declared < AHEAD // SIZE:  # noqa: ASYNC110 # another thread's number
                await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        assert declared == AHEAD // SIZE  # the next one waits
        threads.close(has_returned=False)
        await to_thread.run_sync(thread.join)
        await threads.finish()
        # It was taken all the same.
        assert records(intake) == counters.resources["table"] == declared + 1


async def test_what_lies_there_for_a_second_is_handed_on() -> None:
    async with made() as (threads, intake, _, _), asyncio.TaskGroup() as group:
        feeding = group.create_task(threads.feed())
        await to_thread.run_sync(declare, threads, 1)
        with anyio.fail_after(20):
            item = await intake.items.receive()
        feeding.cancel()
        assert isinstance(item, Batch)
        assert item.records == 1


@pytest.mark.parametrize("has_returned", [True, False])
async def test_a_record_that_comes_too_late_ends_its_thread_and_is_a_loss_where_extract_returned(
    has_returned: bool,
) -> None:
    def late(threads: ThreadIntake) -> None:
        with pytest.raises(SystemExit):
            declare(threads, "late")

    async with made() as (threads, _, counters, findings):
        threads.close(has_returned=has_returned)
        await to_thread.run_sync(late, threads)
        await threads.finish()
        assert counters.resources == {}
        told = [loss.message for loss in findings.losses]
    if has_returned:
        assert told == ["Resource 'late' was declared after extract() had returned; join the thread it is in"]
    else:
        assert told == []
