"""How long a run will go on: what is left to ask of each host, over how fast that host answers and may be asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from secoda_async.counters import LimitUse, Traffic
from secoda_async.progress import Host, Tally

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
        self._samples: list[tuple[float, dict[str, float]]] = [(began, {})]

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
        self._keep(now, ended)
        place = self._root.place
        expected: Counter[str] = Counter()
        for asked, count in place.expected_requests(1.0):
            expected[_name(asked)] += count  # type: ignore[assignment]  # a Counter of floats
        if not place.is_known or not expected:
            return Outlook(done, None, None)
        total = max(done + traffic.in_flight, round(sum(expected.values())))
        if now - self._began < _EARLY or not done:
            return Outlook(done, total, None)
        seconds = 0.0
        for host, count in expected.items():
            left = count - (ended.get(host, 0.0) if host else 0.0)
            if left > 0:
                pace = self._pace(host, left, now, ended)
                if not pace:
                    return Outlook(done, total, None)
                seconds = max(seconds, left / pace)
        return Outlook(done, total, seconds)

    def _ended(self, done: int) -> dict[str, float]:
        """Requests that have ended, by host; repeats are spread over all."""
        attempts: Counter[str] = Counter()
        for host, _, __, counts in chain.from_iterable(self._traffic.endpoints):
            attempts[_without_usual_port(host)] += counts.requests
        sent = attempts.total()
        return {host: count * done / sent for host, count in attempts.items()} if sent else {}

    def _keep(self, now: float, ended: dict[str, float]) -> None:
        samples = self._samples
        samples.append((now, ended))
        if len(samples) > _SAMPLES:
            del samples[1:-1:2]  # so they reach back to the beginning, however long ago that was

    def _pace(self, host: str, left: float, now: float, ended: dict[str, float]) -> float:
        """Requests a second of late to a host ("": to all), and no more than its limits allow."""
        so_far = now - self._began
        # The later half of a short time, since at its beginning a host is given few requests at once.
        most, window = math.inf, max(min(_LEAST_WINDOW, so_far / 2), _SHARE * so_far)
        for use in self._limits(host):
            limit = use.limit
            # Of what has left under it, some were repeats, or counted for more than one.
            share = min(1.0, ended.get(host, 0.0) / use.requests) if use.requests else 1.0
            if share and use.requests + left / share > limit.requests:  # else one window is enough for all
                most = min(most, share * limit.requests / limit.per)
                window = max(window, limit.per)
        at, before = next(one for one in self._samples if one[0] >= now - window)
        if at == now:
            at, before = self._samples[-2]
        of_late = (
            sum(ended.values()) - sum(before.values()) if not host else ended.get(host, 0.0) - before.get(host, 0.0)
        )
        return min(most, of_late / max(now - at, 1e-9))

    def _limits(self, host: str) -> Iterator[LimitUse]:
        """Those that hold for all requests of a host."""
        for name, load in [*self._traffic.hosts.items()]:
            if host and _without_usual_port(name) in (host, host.rpartition(":")[0]):
                yield from (use for key, use in [*load.limits] if not {" ", "/"}.intersection(key))


def _name(host: Host) -> str:
    """As an endpoint's host is named."""
    name, port = host
    bare = (name or "").lower()
    bare = f"[{bare}]" if ":" in bare else bare
    return _without_usual_port(f"{bare}:{port}") if port else bare


def _without_usual_port(host: str) -> str:
    return host.removesuffix(":443").removesuffix(":80")
