"""Threads ask the event loop, and get an answer or an end, whatever happens meanwhile."""

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest
from anyio import to_thread

from secoda_async.compat.crossing import Crossing

number: ContextVar[int] = ContextVar("number", default=0)


async def add() -> int:
    await asyncio.sleep(0)
    number.set(number.get() + 1)
    return number.get()


async def fail() -> None:
    raise KeyError("data")


async def test_a_thread_gets_what_the_coroutine_returns_or_raises() -> None:
    async with asyncio.TaskGroup() as group:
        crossing = Crossing(group)
        assert await to_thread.run_sync(crossing.call, add) == 1
        with pytest.raises(KeyError, match="data"):
            await to_thread.run_sync(crossing.call, fail)


async def test_calls_of_one_thread_share_a_context_and_those_of_others_do_not() -> None:
    found: dict[str, list[int]] = {}

    def ask(name: str) -> None:
        found[name] = [crossing.call(add) for _ in range(3)]

    number.set(10)
    async with asyncio.TaskGroup() as group:
        crossing = Crossing(group)
        threads = [threading.Thread(target=ask, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            await to_thread.run_sync(thread.join)
    assert found == {"a": [11, 12, 13], "b": [11, 12, 13]}
    assert number.get() == 10


async def test_every_call_ends_where_it_is_closed_begun_or_not() -> None:
    ended: list[int] = []

    async def close() -> None:
        crossing.close()
        await asyncio.sleep(60)

    def ask(which: int) -> None:
        try:
            crossing.call(close if which == 0 else add)
        except SystemExit:
            ended.append(which)

    async with asyncio.TaskGroup() as group:
        crossing = Crossing(group)
        threads = [threading.Thread(target=ask, args=(which,)) for which in range(10)]
        for thread in threads:
            thread.start()
            time.sleep(0.02)  # noqa: ASYNC251 # the loop stands still, so all wait when it begins with the first, which closes it
        for thread in threads:
            await to_thread.run_sync(thread.join)
    assert sorted(ended) == [*range(10)]
    with pytest.raises(SystemExit):
        crossing.call(add)
