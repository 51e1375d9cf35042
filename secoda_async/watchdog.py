"""Says what a run waits for: when it is asked, and by itself where nothing has happened for a while."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from secoda_async.user_code import innermost, running_frames, suspended_frames
from secoda_async.wording import counted

_LOOK: Final = 5.0  # seconds between two looks at most
_ANSWERS: Final = 1.0  # seconds within which an event loop that is not blocked has answered
_SHOWN: Final = 20  # lines of each kind; the rest are counted


class Waits(NamedTuple):
    """What a run can say of its waits, from whatever thread. Each is a function, since it is asked for rarely."""

    done: Callable[[], object]
    """Another value whenever something has happened."""
    requests: Callable[[], Iterable[str]]
    """Each request that has not ended, and what it waits for."""
    others: Callable[[], Iterable[str]]
    """What else is waited for."""
    tasks: Callable[[], Iterable[asyncio.Task[object]]]
    """The tasks that run the user's code."""


class Watchdog:
    """Warns where nothing has happened for so many ``seconds``, again after twice that, and so on; None: never.

    Usage: ``watchdog = Watchdog(300.0, waits, warn); watchdog.start()`` in the run's event loop, then ``stop()``.
    ``warn`` and `describe` are called in other threads. A thread that looks every few seconds costs a request nothing.
    """

    def __init__(self, seconds: float | None, waits: Waits, warn: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._waits = waits
        self._warn = warn
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._ended = threading.Event()
        self._asked: float | None = None  # when the loop was asked for a sign of life that it has not given

    def start(self) -> None:
        """Begin to watch."""
        if self._seconds is not None:
            threading.Thread(
                target=self._watch, args=(self._seconds,), name="secoda-async watchdog", daemon=True
            ).start()

    def stop(self) -> None:
        """End it, without waiting for the thread. Calling it again does nothing."""
        self._ended.set()

    def describe(self) -> str:
        """What is waited for now. Blocks for a moment, so never call it in the event loop."""
        self._ask()
        asked = time.monotonic()
        while self._asked is not None and time.monotonic() - asked < _ANSWERS and not self._ended.wait(0.02):
            pass
        return "\n".join(self._lines())

    def _watch(self, seconds: float) -> None:
        done, since, due = self._waits.done(), time.monotonic(), seconds
        while not self._ended.wait(min(seconds / 4, _LOOK)):
            self._ask()
            now = time.monotonic()
            if (current := self._waits.done()) != done:
                done, since, due = current, now, seconds
            elif now - since >= due:
                due *= 2
                text = self.describe()
                if not self._ended.is_set():
                    self._warn(f"nothing has happened for {now - since:.0f} s (watchdog = {seconds:g}). {text}")

    def _ask(self) -> None:
        """Ask the loop for a sign of life, unless it still owes one."""
        if self._asked is None:
            self._asked = time.monotonic()
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # it was closed
                self._asked = None

    def _answer(self) -> None:
        self._asked = None

    def _lines(self) -> Iterator[str]:
        yield "What is waited for:"
        asked = self._asked
        if asked is not None and (silent := time.monotonic() - asked) >= _ANSWERS:
            place = innermost(running_frames(sys._current_frames().get(self._thread)))
            yield f"  the event loop has been blocked for {silent:.0f} s or more, by {place or 'no code of yours'}"
        for lines in (self._waits.requests, self._waits.others, self._tasks, self._threads):
            yield from _shown(_steadily(lines))

    def _tasks(self) -> list[str]:
        places = Counter(self._place(task.get_coro()) for task in self._waits.tasks())
        return [f"{counted(count, 'task')} at {place}" for place, count in places.most_common() if place]

    def _threads(self) -> list[str]:
        not_these = {self._thread, threading.main_thread().ident}
        frames = [frame for ident, frame in sys._current_frames().items() if ident not in not_these]
        places = Counter(innermost(running_frames(frame)) for frame in frames)
        return [f"{counted(count, 'thread')} at {place}" for place, count in places.most_common() if place]

    def _place(self, awaited: object) -> str:
        if getattr(awaited, "cr_running", False):  # it shows nothing of what it awaits, and has the loop's thread
            return innermost(running_frames(sys._current_frames().get(self._thread)))
        return innermost(suspended_frames(awaited))


def _steadily(look: Callable[[], Iterable[str]]) -> list[str]:
    """What it sees, though the loop's thread changes it meanwhile."""
    for _ in range(5):
        try:
            return [*look()]
        except RuntimeError:  # a dictionary or a queue changed while it was gone through
            continue
    return ["(changes too fast to be shown)"]


def _shown(lines: list[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  … and {len(lines) - _SHOWN:,} more"
