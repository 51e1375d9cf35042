"""Rate limits and slots: a request leaves when its host's limits allow it, first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from typing_extensions import override
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import (
    BrokenExchangeError,
    ConfigurationError,
    ConnectError,
    RequestTimeoutError,
    TransportError,
)
from secoda_async.network.control import Control
from secoda_async.network.critical_path import go_on_from, so_far
from secoda_async.network.endpoint import Endpoint
from secoda_async.network.gate import Gate, Key, Lane
from secoda_async.network.hosts import ANY, names_of
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.network.rate_headers import asked_wait, parse_quota
from secoda_async.network.stream import StreamedResponse
from secoda_async.network.templates import Paths, Templates
from secoda_async.network.trips import Outcome
from secoda_async.settings import RateLimit, as_limits

_REFUSALS: Final = frozenset({403, 429, 503})
# Any other status is an answer: the host had the time for it.
_OF_STATUS: Final = {
    429: Outcome.REFUSED,
    **dict.fromkeys(range(500, 600), Outcome.NEUTRAL),
    502: Outcome.BROKEN,
    503: Outcome.OVERLOADED,
    504: Outcome.BROKEN,
}
# Bound once: each look at a member of an Enum costs as much as a call.
_GOOD, _NEUTRAL, _READING = Outcome.GOOD, Outcome.NEUTRAL, Outcome.READING
_OF_A_KEY: Final = frozenset({Outcome.REFUSED, Outcome.TOLD})
_OF_ERROR: Final[dict[type[TransportError], Outcome]] = {
    RequestTimeoutError: Outcome.TIMED_OUT,
    ConnectError: Outcome.BROKEN,
    BrokenExchangeError: Outcome.BROKEN,
}


class _Part(NamedTuple):
    """Some requests of a host with limits of their own."""

    endpoint: Endpoint
    key: Key


class _Host:
    """The gate of a host, and the lane of each of its requests."""

    def __init__(self, gate: Gate, whole: Key, parts: Sequence[_Part]) -> None:
        self.gate = gate
        self.main = gate.lane([whole])
        self.parts = parts
        self.keys = [whole, *(part.key for part in parts)]
        self._lanes: dict[tuple[Key, ...], Lane] = {(): self.main}

    def lane_of(self, keys: tuple[Key, ...]) -> Lane:
        lane = self._lanes.get(keys)
        if lane is None:
            lane = self._lanes[keys] = self.gate.lane([*self.main.keys, *keys])
        return lane


class Limit(Layer):
    """Sends each request through the gate of its host.

    ``limits`` is by `Endpoint`. The most precise key for a whole host (host and port, host, ``*``) holds for all of its
    requests; keys with a method or a path hold besides, for theirs. What a server says of its limit in an answer holds
    for the most precise key of that request. ``control`` makes the `Control` of a host.
    Raises ConfigurationError for a key that is none.
    """

    def __init__(
        self,
        inner: Transport,
        limits: Mapping[str, RateLimit | Iterable[RateLimit]],
        *,
        control: Callable[[str], Control],
        longest_pause: float,
        traffic: Traffic,
        endpoints: Iterable[str] | None = None,
        is_secret: Callable[[str], bool] = lambda _: False,
    ) -> None:
        super().__init__(inner)
        self._templates = Templates(endpoints, is_secret)
        traffic.endpoints.append(self._templates)
        self._whole: dict[str, tuple[str, tuple[RateLimit, ...]]] = {}
        self._partial: dict[Endpoint, tuple[str, tuple[RateLimit, ...]]] = {}
        for name, value in limits.items():
            endpoint = Endpoint.parse(name, setting="rate_limits")
            entry = (name, as_limits(name, value))
            if endpoint.is_whole_host:
                self._whole[endpoint.host] = entry
            else:
                self._partial[endpoint] = entry
        if len(self._whole) + len(self._partial) < len(limits):
            raise ConfigurationError(f"rate_limits: two of the keys {', '.join(limits)} are the same")
        self._control = control
        self._longest_pause = longest_pause
        self._traffic = traffic
        self._hosts: dict[str, _Host] = {}
        self._host_of: dict[tuple[str | None, int | None], tuple[_Host, Paths]] = {}
        self._unmatched = dict.fromkeys(limits)

    @property
    def unmatched(self) -> Sequence[str]:
        """Declared keys that no request has matched: a misspelt host, most likely."""
        return list(self._unmatched)

    def waiting(self, now: float) -> Iterator[tuple[Request | None, str]]:
        """Each request that waits, and for what."""
        for host in [*self._hosts.values()]:
            yield from host.gate.waiting(now)

    def held(self, now: float) -> Iterator[tuple[int, str]]:
        """How many requests wait, and for what."""
        for host in [*self._hosts.values()]:
            yield from host.gate.held(now)

    def unheld(self) -> Iterator[tuple[int, str]]:
        """Of each host that no request waits for: how many have left for it and are not done."""
        for host in [*self._hosts.values()]:
            if host.gate.under_way and not host.gate.has_waiters:
                answers = "answer" if host.gate.under_way == 1 else "answers"
                yield host.gate.under_way, f"{answers} of {host.gate.name}"

    @override
    async def send(self, request: Request) -> Response:
        url = request.url
        host, paths = self._host_of.get((url.raw_host, url.port)) or self._open(url)
        gate, lane = host.gate, host.main
        if host.parts:
            lane = self._lane(host, request)
        if (body := request.body) is not None:
            self._traffic.bytes_sent += len(body) if isinstance(body, bytes) else body.length
        weight = request.options.weight
        ticket = await gate.enter(lane, weight, request)
        outcome = _NEUTRAL
        time = asyncio.get_running_loop().time
        started = time()
        try:
            response = await self._inner.send(request)
            now = time()
            # Before the slot is free, or the next in the queue would still leave.
            outcome = self._heed(response, lane.keys[-1], now)
        except TransportError as error:
            outcome = _OF_ERROR.get(type(error), outcome)
            self._templates.note(paths, request, type(error).__name__, 0.0)
            raise
        finally:
            if outcome is not _READING:
                if lane is not host.main and outcome in _OF_A_KEY:
                    outcome = Outcome.NEUTRAL  # the limit of a part says nothing about its host
                gate.leave(lane, weight, ticket, outcome)
        if isinstance(response, StreamedResponse):
            response.when_closed(gate.keep(lane, weight, ticket))
        latency = now - started
        self._templates.note(paths, request, response.status_code, latency)
        chain = so_far() + latency
        go_on_from(chain)
        if chain > self._traffic.longest_chain:  # noqa: PLR1730 # max() costs four times as much
            self._traffic.longest_chain = chain
        return response

    def _heed(self, response: Response, key: Key, now: float) -> Outcome:
        """Take note of what the server says of its limits."""
        outcome = _OF_STATUS.get(response.status_code, _GOOD)
        if response.status_code in _REFUSALS:
            wait = asked_wait(response.headers)
            if wait is not None:
                outcome = Outcome.TOLD
                if wait <= self._longest_pause:
                    key.pause(now + wait)
        quota = parse_quota(response.headers)
        key.heed(quota if quota is not None and 0 < quota.reset <= self._longest_pause else None, now)
        if isinstance(response, StreamedResponse):
            return _READING
        return outcome

    def _lane(self, host: _Host, request: Request) -> Lane:
        keys = []
        for part in host.parts:
            if part.endpoint.matches_path(request.method, request.url):
                self._unmatched.pop(part.key.name, None)
                keys.append(part.key)
        return host.lane_of(tuple(keys))

    def _open(self, url: URL) -> tuple[_Host, Paths]:
        exact, bare = names_of(url)
        names = (exact, bare, ANY)
        spoken_of = {endpoint.host for endpoint in self._partial}
        # A key that names no port is one budget for all of them, so they share a gate.
        name = bare if exact not in self._whole and (bare in self._whole or bare in spoken_of) else exact
        host = self._hosts.get(name)
        if host is None:
            limits: tuple[RateLimit, ...] = ()
            key = name
            for declared in names:
                if declared in self._whole:
                    key, limits = self._whole[declared]
                    self._unmatched.pop(key, None)
                    break
            # The most precise last: its key is the one that hears what the server says.
            parts = [
                _Part(endpoint, Key(part_limits, part_name))
                for endpoint, (part_name, part_limits) in sorted(
                    self._partial.items(), key=lambda item: len(item[0].path or ())
                )
                if endpoint.host in names
            ]
            host = self._hosts[name] = _Host(Gate(self._control(name), self._traffic, name), Key(limits, key), parts)
            self._traffic.hosts[name] = host.gate.load
            host.gate.load.limits = [(key.name, use) for key in host.keys for use in key.uses]
        paths = self._templates.of(url)
        if paths.counts not in host.gate.load.endpoints:
            host.gate.load.endpoints.append(paths.counts)
        found = self._host_of[url.raw_host, url.port] = (host, paths)
        return found
