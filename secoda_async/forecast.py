"""How long a run will go on: what is left to ask of each host, over how fast that host answers."""

from __future__ import annotations

from collections import Counter, deque
from itertools import chain
from typing import Final, NamedTuple

from secoda_async.counters import Traffic
from secoda_async.progress import ANY_HOST, Host, Tally

_SAMPLES: Final = 240
_LEAST_WINDOW: Final = 5.0  # seconds over which a host's pace is measured, at least
_SHARE: Final = 0.3  # of the time so far: longer, so that a burst or a pause counts for little
_EARLY: Final = 2.0  # seconds before which nothing is said


class Outlook(NamedTuple):
    """What is known of the rest."""

    done: int
    """Requests that have ended."""
    total: int | None
    """Requests there will have been; None: nothing tells how many."""
    seconds: float | None
    """Until the last of them, at the pace of late; None: not known."""


class Forecast:
    """Looks at a run now and then, from any thread.

    Usage: ``forecast = Forecast(extraction.tally, counters.source, began=now)``, then ``forecast.look(now)``, a second
    apart or so.
    """

    def __init__(self, root: Tally, traffic: Traffic, *, began: float) -> None:
        self._root = root
        self._traffic = traffic
        self._began = began
        self._last = Outlook(0, None, None)
        self._samples: deque[tuple[float, dict[str, float]]] = deque([(began, {})], maxlen=_SAMPLES)

    def look(self, now: float) -> Outlook:
        """What is left, in requests and seconds. ``now`` is of the clock that ``began`` was of."""
        try:
            self._last = self._look(now)
        except RuntimeError:  # a dictionary grew while it was read here; a second later it will not
            return self._last
        return self._last

    def _look(self, now: float) -> Outlook:
        traffic = self._traffic
        done = traffic.requests - traffic.in_flight
        ended = self._ended(done)
        pace = self._pace(now, ended)
        place = self._root.place
        expected: Counter[str] = Counter()
        for asked, count in place.expected_requests(1.0):
            expected[_name(asked)] += count  # type: ignore[assignment]  # a Counter of floats
        if not place.is_known or not expected:
            return Outlook(done, None, None)
        total = max(done + traffic.in_flight, round(sum(expected.values())))
        if now - self._began < _EARLY or not done:
            return Outlook(done, total, None)
        lefts = {host: count - ended.get(host, 0.0) for host, count in expected.items()}
        overall = sum(pace.values())
        seconds = 0.0
        for host, left in lefts.items():
            of_host = pace.get(host, 0.0) if host != _name(ANY_HOST) else overall
            if left <= 0:
                continue
            if not of_host:
                return Outlook(done, total, None)
            seconds = max(seconds, left / of_host)
        return Outlook(done, total, seconds)

    def _ended(self, done: int) -> dict[str, float]:
        """Requests that have ended, by host; repeats are spread over all."""
        attempts: Counter[str] = Counter()
        for host, _, __, counts in chain.from_iterable(self._traffic.endpoints):
            attempts[_without_usual_port(host)] += counts.requests
        sent = attempts.total()
        return {host: count * done / sent for host, count in attempts.items()} if sent else {}

    def _pace(self, now: float, ended: dict[str, float]) -> dict[str, float]:
        """Requests a second of late, by host."""
        self._samples.append((now, ended))
        since = now - max(_LEAST_WINDOW, _SHARE * (now - self._began))
        at, before = next((one for one in self._samples if one[0] >= since), self._samples[0])
        if at == now:
            at, before = self._samples[-2]
        elapsed = max(now - at, 1e-9)
        return {host: (count - before.get(host, 0.0)) / elapsed for host, count in ended.items()}


def _name(host: Host) -> str:
    """As an endpoint's host is named."""
    name, port = host
    bare = (name or "").lower()
    bare = f"[{bare}]" if ":" in bare else bare
    return _without_usual_port(f"{bare}:{port}") if port else bare


def _without_usual_port(host: str) -> str:
    return host.removesuffix(":443").removesuffix(":80")
