"""Ends attempts that take too long, with one timer for all: a timer and a context for each cost 6 to 8 µs a request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Attempt:
    """What a task does until `end`."""

    due: float
    task: asyncio.Task[Any]
    cancelling: int
    """How often the task had been cancelled before."""
    others: dict[Attempt, None]
    """Those under way that may take as long, this one among them."""
    late: bool = False

    def end(self) -> None:
        """It is over, in whatever way."""
        self.others.pop(self, None)
        if self.late:  # and ended at the same moment by something else
            self.task.uncancel()

    def was_late(self) -> bool:
        """Whether a CancelledError says that its time is over, and nothing else."""
        if not self.late:
            return False
        self.late = False
        return self.task.uncancel() <= self.cancelling


class Deadlines:
    """Cancels the task of an attempt that is not over in time, as `asyncio.timeout` does.

    Usage::

        attempt = deadlines.begin(seconds)
        try:
            ...
        except asyncio.CancelledError:
            if not attempt.was_late():
                raise
            ...
        finally:
            attempt.end()
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # By the seconds that they may take: so the first of each is the first to be due.
        self._attempts: dict[float, dict[Attempt, None]] = {}
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def begin(self, seconds: float | None) -> Attempt | None:
        """Give the current task so many seconds from now; None where it may take as long as it likes."""
        if seconds is None:
            return None
        task = asyncio.current_task(self._loop)
        assert task is not None
        due = self._loop.time() + seconds
        attempts = self._attempts.get(seconds)
        if attempts is None:
            attempts = self._attempts[seconds] = {}
            self._timers[seconds] = self._loop.call_at(due, self._look, seconds)
        attempt = Attempt(due, task, task.cancelling(), attempts)
        attempts[attempt] = None
        return attempt

    def close(self) -> None:
        """Forget all of them."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._attempts.clear()

    def _look(self, seconds: float) -> None:
        attempts = self._attempts[seconds]
        now = self._loop.time()
        while attempts:
            attempt = next(iter(attempts))
            if attempt.due > now:
                self._timers[seconds] = self._loop.call_at(attempt.due, self._look, seconds)
                return
            del attempts[attempt]
            attempt.late = True
            attempt.task.cancel()
        del self._attempts[seconds], self._timers[seconds]
