"""A source with limits, strict and told of to nobody, that keeps the minutes of what it was asked.

Paths are ``/<kind>/<name>``: a kind with its parameters, and the name of one measurement.

``sliding-<N>-<latency ms>`` takes N requests in any second and refuses more with 429, ``few-<N>-<latency ms>`` takes N
at once, ``free-<latency ms>`` all; ``pool-<N>-<work ms>`` works on N at once, 2 % slower for each that waits.
``/minutes/<name>`` gives ``[[seconds, status], ...]``. Prints ``{"port": ...}`` once it serves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final

import orjson
import uvloop
from typing_extensions import override

from benchmarks.runners.bare_protocol import BareProtocol, serve

_THRASH: Final = 0.02


class Measurement:
    """One kind of limit, and all that happened under it."""

    def __init__(self, kind: str) -> None:
        name, *numbers = kind.split("-")
        self._number, latency = ([0, *map(int, numbers)])[-2:]
        self._latency = latency / 1000
        self._admit: Callable[[float], float | None] = getattr(self, f"_{name}")
        self._taken: deque[float] = deque()
        self._free_at = [0.0] * max(1, self._number)
        self.in_flight = 0
        self.minutes: list[tuple[float, int]] = []

    def arrive(self, now: float) -> float | None:
        """Seconds until the answer; None: refused."""
        seconds = self._admit(now)
        self.minutes.append((now, 429 if seconds is None else 200))
        if seconds is not None:
            self.in_flight += 1
        return seconds

    def _free(self, now: float) -> float | None:
        return self._latency

    def _sliding(self, now: float) -> float | None:
        while self._taken and self._taken[0] <= now - 1.0:
            self._taken.popleft()
        if len(self._taken) >= self._number:
            return None
        self._taken.append(now)
        return self._latency

    def _few(self, now: float) -> float | None:
        return None if self.in_flight >= self._number else self._latency

    def _pool(self, now: float) -> float | None:
        worker = min(range(self._number), key=self._free_at.__getitem__)
        work = self._latency * (1 + _THRASH * max(0, self.in_flight - self._number))
        self._free_at[worker] = max(now, self._free_at[worker]) + work
        return self._free_at[worker] - now


class Limited(BareProtocol):
    """Answers each request when its measurement says so."""

    measurements: ClassVar[dict[str, Measurement]] = {}

    @override
    def asked(self, target: bytes) -> None:
        _, kind, name, *_ = target.decode().split("/")
        if kind == "minutes":
            self._answer(200, orjson.dumps(self.measurements[name].minutes))
            return
        measurement = self.measurements.get(name)
        if measurement is None:
            measurement = self.measurements[name] = Measurement(kind)
        seconds = measurement.arrive(self.loop.time())
        if seconds is None:
            self._answer(429, b"")
        else:
            self.loop.call_later(seconds, self._finish, measurement)

    def _finish(self, measurement: Measurement) -> None:
        measurement.in_flight -= 1
        self._answer(200, b"{}")

    def _answer(self, status: int, content: bytes) -> None:
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self.transport.write(head.encode() + content)


if __name__ == "__main__":
    uvloop.run(serve(Limited))
