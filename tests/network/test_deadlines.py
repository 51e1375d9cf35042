"""An attempt that takes too long is cancelled, and nothing else is."""

from __future__ import annotations

import asyncio

import pytest

from secoda_async.network.deadlines import Deadlines
from secoda_async.testing.virtual_time import VirtualTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def attempt(deadlines: Deadlines, seconds: float, takes: float) -> str:
    """What became of a task that does something for so long, under a deadline."""
    attempt = deadlines.begin(seconds)
    assert attempt is not None
    try:
        await asyncio.sleep(takes)
    except asyncio.CancelledError:
        if not attempt.was_late():
            raise
        return f"late at {now():.1f}"
    finally:
        attempt.end()
    return f"done at {now():.1f}"


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_each_attempt_has_its_own_time_whatever_the_others_do() -> None:
    deadlines = Deadlines()

    async def later(begins: float, seconds: float, takes: float) -> str:
        await asyncio.sleep(begins)
        return await attempt(deadlines, seconds, takes)

    began = [later(0, 10, 99), later(1, 10, 2), later(2, 10, 99), later(2, 3, 99), later(30, 10, 99), later(31, 3, 2)]
    assert await asyncio.gather(*began) == [
        "late at 10.0",
        "done at 3.0",
        "late at 12.0",
        "late at 5.0",
        "late at 40.0",
        "done at 33.0",
    ]


async def test_what_follows_an_attempt_that_was_late_is_not_cancelled() -> None:
    deadlines = Deadlines()
    assert await attempt(deadlines, 1, 5) == "late at 1.0"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await attempt(deadlines, 9, 5) == "done at 6.0"
    await asyncio.sleep(100)


async def test_a_task_that_somebody_else_cancels_ends_as_cancelled() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(attempt(deadlines, 10, 99))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert now() == pytest.approx(1, abs=0.1)


async def test_a_task_that_is_cancelled_at_the_moment_of_its_deadline_ends_as_cancelled() -> None:
    deadlines = Deadlines()
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(attempt(deadlines, 10, 99))
    await asyncio.sleep(0)
    loop.call_at(next(iter(deadlines._timers.values())).when(), task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_attempt_that_fails_at_the_moment_of_its_deadline_leaves_no_cancellation_behind() -> None:
    deadlines = Deadlines()

    async def fail() -> int:
        begun = deadlines.begin(1)
        assert begun is not None
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise OSError("gone") from None
        finally:
            begun.end()
        return 0

    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(OSError, match="gone"):
        await fail()
    assert task.cancelling() == 0
    await asyncio.sleep(1)


async def test_nothing_is_cancelled_once_it_is_closed() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(attempt(deadlines, 1, 5))
    await asyncio.sleep(0)
    deadlines.close()
    assert await task == "done at 5.0"


async def test_nothing_is_kept_of_lengths_that_are_over() -> None:
    deadlines = Deadlines()
    for seconds in range(1, 50):
        assert (await attempt(deadlines, seconds, 0.1)).startswith("done")
    await asyncio.sleep(60)
    assert not deadlines._attempts
    assert not deadlines._timers


async def test_no_seconds_are_no_deadline() -> None:
    assert Deadlines().begin(None) is None
