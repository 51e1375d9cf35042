"""Rate limits and slots: a request leaves when its host's limits allow it, first come, first served.

One queue a host. Its head is let go when a slot is free, every window has room, the pacer agrees and no server asked
for a pause, all at the same moment; nothing is held while waiting. (A gate and then a slot lets grants pile up in
front of the slots, which then leave at once.)
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from aiolimiter import AsyncLimiter
from typing_extensions import override
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import ConfigurationError
from secoda_async.network.hosts import ANY, names_of, normal_host
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.network.retry_after import parse_retry_after
from secoda_async.settings import RateLimit, as_limits

_JITTER: Final = 0.01  # share of a window kept for the jitter between leaving here and arriving there
_SPREAD: Final = 1.0  # seconds over which a window's requests are spread, at most
_LEAST_BURST: Final = 0.025  # seconds: a timer is up to 2 ms late, which a pacer that holds one request never makes up
_RESIDUE: Final = 1e-6  # seconds: leaks away what a division left in the pacer, so that its waiter does not spin


class Window:
    """Remembers the times of the last N grants, so that no window of the declared length sees more than N."""

    def __init__(self, limit: RateLimit) -> None:
        self._length = limit.per * (1 + _JITTER)
        self._grants: deque[float] = deque(maxlen=limit.requests)
        spread = min(limit.per, _SPREAD)
        burst = limit.burst or max(1, math.ceil(limit.requests / spread * _LEAST_BURST))
        self._pacer = AsyncLimiter(burst, burst * spread / limit.requests) if burst < limit.requests else None

    def opens_at(self, now: float) -> float:
        """The earliest time at which the next request may leave."""
        grants = self._grants
        if len(grants) == grants.maxlen and (free := grants[0] + self._length) > now:
            return free
        if self._pacer is not None and not self._pacer.has_capacity():
            # From the last grant on, not from now: each look would put the moment off, and lose what leaked so far.
            return max(grants[-1] + self._pacer.time_period / self._pacer.max_rate, now + _RESIDUE)
        return now

    def grant(self, now: float) -> None:
        """Count a request that leaves."""
        self._grants.append(now)
        if self._pacer is not None:
            _take(self._pacer)


def _take(pacer: AsyncLimiter) -> None:
    """Take capacity that ``has_capacity`` has just shown: ``acquire`` then returns without suspending."""
    try:
        pacer.acquire().send(None)
    except StopIteration:
        return
    raise AssertionError("the pacer had capacity and suspended")


class Gate:
    """The queue of one key: who waits, how many slots are taken, what the windows have seen."""

    def __init__(self, limits: Iterable[RateLimit], slots: int, traffic: Traffic) -> None:
        self._windows = [Window(limit) for limit in limits]
        self._slots = slots
        self._traffic = traffic
        self._taken = 0
        self._not_before = -math.inf
        self._queue: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Wait for this request's turn, and take a slot. Every enter that returned needs one `leave`."""
        loop = asyncio.get_running_loop()
        if not self._queue and self._opens_at(now := loop.time()) <= now:
            self._grant(now)
            return
        turn = loop.create_future()
        self._queue.append(turn)
        self._admit()
        joined = loop.time()
        self._traffic.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._admit()  # it may have been the head that the timer was set for
            else:
                self.leave()  # it was let go in the same moment
            raise
        finally:
            self._traffic.waiting -= 1
            self._traffic.waited += loop.time() - joined

    def leave(self) -> None:
        """Give the slot back."""
        self._taken -= 1
        if self._queue:
            self._admit()

    def pause(self, seconds: float) -> None:
        """Let nothing leave for so long: a server asked for it."""
        self._not_before = max(self._not_before, asyncio.get_running_loop().time() + seconds)

    def _opens_at(self, now: float) -> float:
        """When the head may leave; infinity where a `leave` has to come first."""
        if self._taken >= self._slots:
            return math.inf
        moment = max(now, self._not_before)
        for window in self._windows:
            moment = max(moment, window.opens_at(now))
        return moment

    def _grant(self, now: float) -> None:
        self._taken += 1
        for window in self._windows:
            window.grant(now)

    def _admit(self) -> None:
        """Let go of every request whose turn has come, and set the timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while self._queue:
            if self._queue[0].done():  # its task was cancelled
                del self._queue[0]
                continue
            now = loop.time()
            moment = self._opens_at(now)
            if moment > now:
                if moment < math.inf:
                    self._timer = loop.call_at(moment, self._admit)
                return
            self._grant(now)
            self._queue.popleft().set_result(None)


class Limit(Layer):
    """Sends each request through the gate of its host."""

    def __init__(
        self,
        inner: Transport,
        limits: Mapping[str, RateLimit | Iterable[RateLimit]],
        *,
        slots: int,
        longest_pause: float,
        traffic: Traffic,
    ) -> None:
        super().__init__(inner)
        self._limits = {
            key if key == ANY else normal_host(key, setting="rate_limits", also='"*"'): as_limits(key, value)
            for key, value in limits.items()
        }
        if len(self._limits) < len(limits):
            raise ConfigurationError(f"rate_limits: two of the keys {', '.join(limits)} are the same host")
        self._slots = slots
        self._longest_pause = longest_pause
        self._traffic = traffic
        self._gates: dict[str, Gate] = {}
        self._gate_of: dict[tuple[str | None, int | None], Gate] = {}
        self._unmatched = dict.fromkeys(self._limits.keys())

    @property
    def unmatched(self) -> Sequence[str]:
        """Declared keys that no request has matched: a misspelt host, most likely."""
        return list(self._unmatched)

    @override
    async def send(self, request: Request) -> Response:
        url = request.url
        gate = self._gate_of.get((url.raw_host, url.port)) or self._open_gate(url)
        await gate.enter()
        try:
            response = await self._inner.send(request)
            if response.status_code in (429, 503):
                wait = parse_retry_after(response.headers)
                if wait is not None and wait <= self._longest_pause:
                    gate.pause(wait)  # before the slot is free, or the next in the queue would still leave
            return response
        finally:
            gate.leave()

    def _open_gate(self, url: URL) -> Gate:
        exact, host = names_of(url)
        for key in (exact, host, ANY):
            if key in self._limits:
                self._unmatched.pop(key, None)
                limits, name = self._limits[key], (exact if key == ANY else key)
                break
        else:
            limits, name = (), exact
        gate = self._gates.get(name)
        if gate is None:
            gate = self._gates[name] = Gate(limits, self._slots, self._traffic)
        self._gate_of[url.raw_host, url.port] = gate
        return gate
