"""Owns the process for one run: a fast event loop, a quiet garbage collector, signals that end it in order."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")
Main = Callable[[], Coroutine[Any, Any, T]]

_LOOK: Final = 0.1  # seconds between two looks at whether the caller was cancelled
_GC_THRESHOLD: Final = 50_000  # a crawl makes many objects and few cycles
# Seconds that a thread waits for the interpreter while the event loop is busy: with the usual 5 ms the one that writes
# to disk falls behind a fast source, and everything that is declared waits for it.
_SWITCH_INTERVAL: Final = 0.0002
_SHOW_CURSOR: Final = b"\x1b[?25h"  # a live display has hidden it
_STDERR: Final = 2


def run_in_process(main: Main[T], explain: Callable[[], str] | None = None) -> T:
    """Run ``main()`` to its end and return what it returns; inside a running event loop, in a thread of its own.

    The first SIGINT or SIGTERM cancels ``main``, the second ends the process at once, with status 130 or 143, whatever
    the event loop is doing. SIGUSR1, where there is one, writes what ``explain()`` gives to standard error; in a thread
    of its own. Inside a running event loop all signals stay with whoever runs that.
    Raises KeyboardInterrupt after Ctrl-C and SystemExit(143) after SIGTERM, once ``main`` has cleaned up.
    """
    if not _in_a_loop():
        return _run(main, explain)
    return _run_in_thread(main, asyncio.current_task())


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(main: Main[T], explain: Callable[[], str] | None) -> T:
    with (
        _Signals(explain) as signals,
        _quiet_gc(),
        _quick_threads(),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        try:
            result = runner.run(signals.cancelling(main))
        except asyncio.CancelledError:
            signals.raise_first()
            raise
        signals.raise_first()
        return result


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
    # A daemon: who interrupts a second time does not wait for it, and neither does the interpreter's end.
    thread = threading.Thread(target=body, name="secoda-async run", daemon=True)
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
    gc.freeze()  # garbage too, until the end: to collect it first takes longer than a small run
    gc.set_threshold(_GC_THRESHOLD, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()  # all or none: what was frozen before the run is collectable again, too


@contextmanager
def _quick_threads() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


class _Signals:
    """The signals of one run; afterwards the handlers that were there before are there again.

    Handlers of the interpreter, and none of the event loop's: they are called while a run's own code blocks the loop.
    """

    def __init__(self, explain: Callable[[], str] | None) -> None:
        self._explain = explain
        self._first: int | None = None
        self._cancel: Callable[[], object] | None = None
        self._before: dict[int, Any] = {}
        self._woken: socket.socket | None = None
        self._exiting = threading.Lock()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody means it to be so
                self._take(signal.SIGINT, self._end)
            self._take(signal.SIGTERM, self._end)
            if self._explain is not None and hasattr(signal, "SIGUSR1"):
                self._take(signal.SIGUSR1, self._tell)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: it was not Python's
        if self._woken is not None:
            signal.set_wakeup_fd(-1)
            self._woken.close()

    async def cancelling(self, main: Main[T]) -> T:
        """Run ``main()`` in a task that the first signal cancels."""
        if self._first is not None:
            raise asyncio.CancelledError  # it came before the loop ran
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            return await main()
        finally:
            self._cancel = None

    def raise_first(self) -> None:
        """Raise what the signal that came stands for; nothing where none came."""
        if self._first == signal.SIGINT:
            raise KeyboardInterrupt from None
        if self._first is not None:
            raise SystemExit(128 + self._first) from None

    def _take(self, number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> None:
        self._before[number] = signal.signal(number, handler)

    def _end(self, number: int, _: FrameType | None) -> None:
        if self._first is not None:
            self._exit_now(number)
            return
        self._first = number
        self._watch()
        if self._cancel is not None:
            self._cancel()
        name = signal.Signals(number).name
        _say(lambda: f"{name}: stopping in order, and nothing more is delivered; a second signal stops at once")

    def _exit_now(self, number: int) -> None:
        if not self._exiting.acquire(blocking=False):
            return  # the handler and the thread may both see the signal
        with suppress(OSError):
            end = _SHOW_CURSOR if os.isatty(_STDERR) else b""
            name = signal.Signals(number).name.encode()
            os.write(_STDERR, b"%s: stopped at once; the run is not complete\n%s" % (name, end))
        os._exit(128 + number)

    def _watch(self) -> None:
        """Let the interpreter's own handler wake a thread, which ends the process at the next signal.

        The handlers here run in the main thread between two steps of it, which a call that blocks may put off.
        """
        woken, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)

        def wait() -> None:
            with woken:
                while numbers := woken.recv(64):
                    for number in numbers:
                        if number in (signal.SIGINT, signal.SIGTERM):
                            self._exit_now(number)

        threading.Thread(target=wait, name="secoda-async signal", daemon=True).start()

    def _tell(self, *_: object) -> None:
        assert self._explain is not None
        _say(self._explain)


def _say(make: Callable[[], str]) -> None:
    """Write to standard error, in a thread: what a signal interrupts may be in the middle of writing there."""

    def write() -> None:
        with suppress(OSError, ValueError):  # closed
            if sys.stderr is not None:
                start = "\n" if sys.stderr.isatty() else ""  # behind a display, or ^C
                sys.stderr.write(f"{start}{make()}\n")
                sys.stderr.flush()

    threading.Thread(target=write, name="secoda-async signal", daemon=True).start()
