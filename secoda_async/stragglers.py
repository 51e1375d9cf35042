"""Finds the tasks that ``extract`` started and did not await: what they would have declared is missing."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from types import CoroutineType
from typing import Any, Final

from secoda_async.workers import WORKER_TASK

_run: Final[ContextVar[object]] = ContextVar("secoda_async_run")
_TICKS: Final = 3  # a finished task group's own tasks need a turn of the loop to be gone
_PATIENCE: Final = 1.0  # seconds a cancelled task may take to end


@contextmanager
def marked(run: object) -> Iterator[None]:
    """Mark every task that is started inside, by whatever means: a task inherits the context it is started in."""
    token = _run.set(run)
    try:
        yield
    finally:
        _run.reset(token)


@contextmanager
def told_of_failures(tell: Callable[[object, str], None]) -> Iterator[None]:
    """Tell ``tell(run, sentence)`` of each marked task that failed and that nobody awaited, besides logging it.

    Only asyncio's exception handler knows of these, so this is for whoever owns the running loop. It is called when
    the task is collected: at once where nobody keeps it, too late for the run where somebody does.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task, error = context.get("future"), context.get("exception")
        if isinstance(task, asyncio.Task) and error is not None and (marks := _context(task)) and _run in marks:
            tell(marks[_run], f"the task {_name(task)!r} failed and nobody awaited it: {type(error).__name__}: {error}")
        elif isinstance(error, ssl.SSLError | ConnectionError):
            return  # of uvloop's: a handshake failed whose request had been cancelled, which is told of as that
        if before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)


async def stop_stragglers(run: object) -> list[str]:
    """Cancel the tasks that ``run`` marked and that have not ended. A sentence for each."""
    for _ in range(_TICKS):
        if not _left(run):
            return []
        await asyncio.sleep(0)
    left = _left(run)
    for task in left:
        task.cancel()
    if left:
        done, _ = await asyncio.wait(left, timeout=_PATIENCE)
        for task in done:
            if not task.cancelled():
                task.exception()  # it is told of here, so the loop need not say that nobody asked
    return [
        f"the task {_name(task)!r} was still running when extract() returned; await it, or start it in a task group"
        for task in left
    ]


def cancel_stragglers(run: object) -> None:
    """Cancel them without waiting: the run has failed, and nothing that they do counts any more."""
    for task in _left(run):
        task.cancel()


def tasks_of(run: object, loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    """The tasks that ``run`` marked and that have not ended, those of its workers included; from whatever thread."""
    return [task for task in asyncio.all_tasks(loop) if (context := _context(task)) and context.get(_run) is run]


def _left(run: object) -> list[asyncio.Task[Any]]:
    mine = asyncio.current_task()
    return [
        task
        for task in asyncio.all_tasks()
        if task is not mine and not _is_internal(task) and (context := _context(task)) and context.get(_run) is run
    ]


def _context(task: asyncio.Task[Any]) -> Context | None:
    if hasattr(task, "get_context"):  # Python 3.12
        return task.get_context()  # type: ignore[no-any-return] # absent from 3.11's stubs
    return next((found for found in gc.get_referents(task) if isinstance(found, Context)), None)


def _is_internal(task: asyncio.Task[Any]) -> bool:
    """Whether the task serves a request or a map, which are looked for by themselves."""
    if task.get_name() == WORKER_TASK:
        return True
    coroutine = task.get_coro()
    frame = coroutine.cr_frame if isinstance(coroutine, CoroutineType) else None
    return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "aiohttp"


def _name(task: asyncio.Task[Any]) -> str:
    name = task.get_name()
    if name.startswith("Task-"):  # asyncio's own numbering says nothing
        return getattr(task.get_coro(), "__qualname__", name)
    return name
