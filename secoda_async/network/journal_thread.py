"""The one thread that works on a journal, so that no disk is waited for in the event loop.

What gathers while it writes is committed together (group commit): a thousand answers at once cost a few commits.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import anyio

from secoda_async.errors import JournalError
from secoda_async.network.journal_file import JournalFile, JournalFullError
from secoda_async.network.message import Request

T = TypeVar("T")
Step = Callable[[JournalFile], T]


class JournalThread:
    """Does steps with a journal's file in the order in which they are asked for.

    Usage: ``entry = await thread.do(request, lambda file: file.read(5))``, and at the end ``await thread.aclose()``.
    ``open_file`` is called in the thread; the file is closed at the end where the thread ``owns`` it.
    """

    def __init__(self, open_file: Callable[[], JournalFile], *, owns: bool) -> None:
        self._open_file = open_file
        self._owns = owns
        self._file: JournalFile | None = None
        self._gathered: list[tuple[Step[Any], asyncio.Future[Any] | None]] = []
        self._busy = False
        self._idle: asyncio.Future[None] | None = None
        self._closed = False
        self._executor: ThreadPoolExecutor | None = None
        self._loop = asyncio.get_running_loop()

    async def do(self, request: Request, step: Step[T]) -> T:
        """What a step gives, after its commit. Raises JournalError where the file cannot be written or read."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._add(step, future)
        try:
            return await future
        except JournalFullError as exc:
            raise JournalError(
                f"{request}: the run's journal would be over its cap ({exc}), so the answer was not taken; raise "
                "max_journal, or run without a journal",
                request=request,
            ) from None
        except (sqlite3.Error, OSError, ValueError) as exc:
            raise JournalError(
                f"{request}: the journal cannot be written or read: {exc}; free space or mend the permissions, "
                "and where it is damaged take another",
                request=request,
            ) from exc

    def tell(self, step: Step[None]) -> None:
        """Do a step that nobody waits for."""
        self._add(step, None)

    async def aclose(self) -> None:
        """Wait for every step, then end the thread: a later one is not done. Calling it again does nothing."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            if self._busy:
                self._idle = self._idle or self._loop.create_future()
                await self._idle
            executor, self._executor = self._executor, None
            if executor is not None:
                if self._owns and self._file is not None:
                    await self._loop.run_in_executor(executor, self._file.close)
                executor.shutdown(wait=False)

    def _add(self, step: Step[Any], future: asyncio.Future[Any] | None) -> None:
        if self._closed:
            if future is not None:
                future.set_exception(ValueError("it is closed"))
            return
        self._gathered.append((step, future))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._commit)  # with what else this turn of the loop brings

    def _commit(self) -> None:
        batch, self._gathered = self._gathered, []
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "secoda-async journal")
        done = self._loop.run_in_executor(self._executor, self._work, [step for step, _ in batch])
        done.add_done_callback(partial(self._committed, batch))

    def _work(self, steps: Sequence[Step[Any]]) -> list[Any]:
        if self._file is None:
            self._file = self._open_file()
        return self._file.transact(steps)

    def _committed(
        self, batch: list[tuple[Step[Any], asyncio.Future[Any] | None]], done: asyncio.Future[list[Any]]
    ) -> None:
        error = done.exception()
        results = [error] * len(batch) if error is not None else done.result()
        for (_, future), result in zip(batch, results, strict=True):
            if future is None or future.done():  # nobody waits, or who did was cancelled
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        if self._gathered:
            self._commit()
        else:
            self._busy = False
            if self._idle is not None:
                self._idle.set_result(None)
