"""The phases of a run or of an upload: which they are, how long each took, and how far the current one is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator


class Phase:
    """One of them. It may go on after others have come between."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done = 0
        """How far it is, of ``total``."""
        self.total = 0
        """0: not known."""
        self._time: tuple[float, float | None] = (0.0, None)  # one object, so that others never see half a change

    @property
    def is_under_way(self) -> bool:
        """Whether it is the current one."""
        return self._time[1] is not None

    @property
    def change(self) -> tuple[str, int]:
        """Another value whenever something has happened."""
        return self.name, self.done

    def seconds(self, now: float) -> float:
        """How long it has taken until ``now``."""
        before, since = self._time
        return before if since is None else before + now - since

    def _go_on(self, now: float) -> None:
        if not self.is_under_way:
            self._time = (self._time[0], now)
            self.done = self.total = 0

    def _pause(self, now: float) -> None:
        self._time = (self.seconds(now), None)


class Phases:
    """Those that have begun, in order. Written by one thread at a time, read by any.

    Usage: ``phases = Phases(); phases.begin("extract"); phases.begin("upload"); phases.end()``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.now = Phase("")
        """The current one, or the last."""
        self._all: dict[str, Phase] = {}

    def begin(self, name: str) -> None:
        """The current one has ended, and this one begins, or goes on."""
        now = self.clock()
        if name != self.now.name:
            self.end()
        phase = self._all.setdefault(name, Phase(name))
        phase._go_on(now)
        self.now = phase

    def tell(self, done: int, total: int) -> None:
        """How far the current one is."""
        self.now.done, self.now.total = done, total

    def end(self) -> None:
        """The current one has ended. Calling it again does nothing."""
        self.now._pause(self.clock())

    def __iter__(self) -> Iterator[Phase]:
        return iter([*self._all.values()])
