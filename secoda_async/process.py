"""Owns the process for one run: a fast event loop, a quiet garbage collector, signals that end it in order."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")
Main = Callable[[], Coroutine[Any, Any, T]]

_LOOK: Final = 0.1  # seconds between two looks at whether the caller was cancelled
_GC_THRESHOLD: Final = 50_000  # a crawl makes many objects and few cycles


def run_in_process(main: Main[T]) -> T:
    """Run ``main()`` to its end and return what it returns; inside a running event loop, in a thread of its own.

    Raises KeyboardInterrupt after Ctrl-C and SystemExit(143) after SIGTERM, once ``main`` has cleaned up.
    """
    if not _in_a_loop():
        return _run(main)
    return _run_in_thread(main, asyncio.current_task())


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(main: Main[T]) -> T:
    with (
        _quiet_gc(),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
        _sigterm(runner.get_loop()) as watched,
    ):
        return runner.run(watched(main))


def _run_in_thread(main: Main[T], caller: asyncio.Task[Any] | None) -> T:
    """The caller's loop stands still meanwhile, as it would for any blocking call.

    Ctrl-C either interrupts this thread or, under ``asyncio.run``, only marks the caller's task as cancelled.
    """
    ended: Future[T] = Future()
    started: Future[Callable[[], object]] = Future()

    async def watched() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        started.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await main()

    def body() -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                ended.set_result(runner.run(watched()))
        except BaseException as exc:  # noqa: BLE001 # raised in the thread that waits
            ended.set_exception(exc)

    before = caller.cancelling() if caller is not None else 0
    thread = threading.Thread(target=body, name="secoda-async run")
    thread.start()
    try:
        while thread.is_alive() and (caller is None or caller.cancelling() == before):
            thread.join(_LOOK)
    finally:
        if thread.is_alive():
            started.result()()
        thread.join()
    return ended.result()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 # absent on some platforms
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextmanager
def _quiet_gc() -> Iterator[None]:
    """Keep the collector from walking what was there before the run: that walk was a seventh of a crawl."""
    threshold = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()  # all or none: what was frozen before the run is collectable again, too


@contextmanager
def _sigterm(loop: asyncio.AbstractEventLoop) -> Iterator[Callable[[Main[T]], Coroutine[Any, Any, T]]]:
    """Gives a wrapper whose task SIGTERM cancels; afterwards the handler that was there before is there again."""
    terminated = False
    main_thread = threading.current_thread() is threading.main_thread()

    async def watched(main: Main[T]) -> T:
        nonlocal terminated
        task = asyncio.current_task()
        assert task is not None

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        if main_thread and sys.platform != "win32":
            loop.add_signal_handler(signal.SIGTERM, terminate)
        try:
            return await main()
        finally:
            if main_thread and sys.platform != "win32":
                loop.remove_signal_handler(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM) if main_thread else None
    try:
        yield watched
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
