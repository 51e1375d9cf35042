"""An event loop whose clock moves on where nothing else is left to do: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import copy_context
from functools import cached_property
from typing import Any, Final, TypeVar

from anyio import CapacityLimiter, to_thread
from typing_extensions import override

T = TypeVar("T")

_TICK: Final = 1e-6  # each turn of the loop takes this long, so that a rounding residue cannot make a waiter spin


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop in which `asyncio.sleep` and whatever else waits for its clock (back-off, limits, latency) waits no time.

    Usage: `run_virtually`, ``asyncio.Runner(loop_factory=VirtualTimeLoop)``, or for anyio's pytest plugin a fixture
    ``anyio_backend`` that returns ``("asyncio", {"loop_factory": VirtualTimeLoop})``.

    Its clock begins at 0. Where a thread works for the loop, or a socket is open, time passes as it really does, since
    nobody can know when that will be heard of: use it with a `FakeSource`, or with a recording.
    """

    def __init__(self) -> None:
        self._virtual = _Selector(self._waits_for_others)
        self._in_executors = 0
        super().__init__(self._virtual)
        self._own_files = len(self._virtual.get_map())

    @override
    def time(self) -> float:
        return self._virtual.now

    @override
    def run_in_executor(  # type: ignore[override] # typeshed has it with a TypeVarTuple
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_executors += 1
        future.add_done_callback(self._count_down)
        return future

    def _count_down(self, _: object) -> None:
        self._in_executors -= 1

    def _waits_for_others(self) -> bool:
        return bool(
            self._in_executors or len(self._virtual.get_map()) > self._own_files or self._threads.borrowed_tokens
        )

    @cached_property
    def _threads(self) -> CapacityLimiter:
        """What counts the threads that work for the loop."""
        context = copy_context()
        # Where this is installed, anyio asks it what runs, and between two tasks it does not know.
        if (sniffio := sys.modules.get("sniffio")) is not None:
            context.run(sniffio.current_async_library_cvar.set, "asyncio")
        return context.run(to_thread.current_default_thread_limiter)


def run_virtually(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a `VirtualTimeLoop`, and give what it gives: ``run_virtually(main())``."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


class _Selector(selectors.DefaultSelector):
    def __init__(self, waits_for_others: Callable[[], bool]) -> None:
        super().__init__()
        self.now = 0.0
        self._waits_for_others = waits_for_others

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += _TICK
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if timeout is None or self._waits_for_others():
            began = time.monotonic()
            ready = super().select(timeout)
            self.now += time.monotonic() - began
            return ready
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready
