"""What a network does to requests, put around a transport that has none: latency and faults, each by a seed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

from typing_extensions import override

from secoda_async.errors import ConfigurationError, ConnectError, TransportError
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.network.retry import decide
from secoda_async.settings import RetryPolicy

Fault: TypeAlias = int | type[TransportError]
"""A status to answer with, or the error of a request that has no answer."""

_POLICY: Final = RetryPolicy()


class Latency(Layer):
    """Lets every attempt take so many ``seconds`` more, or what a function says of its request.

    Usage: ``Cluvio(credentials=…, transport=Latency(ReplayTransport("cluvio.journal"), 0.1, jitter=0.2)).start()``.

    With ``jitter`` 0.2 each takes from 80 % to 120 % of that, by ``seed``: the same request the same time in every run,
    whatever else is under way. Raises ConfigurationError where a number is out of range.
    """

    def __init__(
        self,
        inner: Transport,
        seconds: float | Callable[[Request], float],
        *,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(inner)
        if not callable(seconds) and not (math.isfinite(seconds) and seconds >= 0):
            raise ConfigurationError(f"Latency: seconds must be a number of 0 or more, not {seconds!r}")
        if not 0 <= jitter <= 1:
            raise ConfigurationError(f"Latency: jitter must be from 0 to 1, not {jitter!r}")
        self._seconds = seconds
        self._jitter = jitter
        self._dice = _Dice(f"{seed} latency")
        self.added = 0.0
        """Seconds that it has added to attempts, all together."""

    @override
    async def send(self, request: Request) -> Response:
        wait = self._seconds(request) if callable(self._seconds) else self._seconds
        if self._jitter:
            wait *= 1 + self._jitter * (2 * self._dice.roll(request) - 1)
        await asyncio.sleep(wait)
        self.added += wait
        response = await self._inner.send(request)
        if response.status_code < 500:
            self._dice.forget(request)
        return response


class Faults(Layer):
    """Ends a share of all attempts in a fault: ``rate`` 0.02 is one in fifty, each repeat with the same chance.

    Usage: ``Cluvio(credentials=…, transport=Faults(ReplayTransport("cluvio.journal"), 0.02, seed=1)).start()``.

    ``kinds`` are statuses, and classes of TransportError to raise, all equally likely. Which attempts they hit depends
    on the ``seed`` and on the requests, not on their order. ``repeatable=True`` leaves out those that a retry does not
    repeat, such as a 503 for a POST. Raises ConfigurationError where a number is out of range.
    """

    def __init__(
        self,
        inner: Transport,
        rate: float,
        *,
        kinds: Sequence[Fault] = (503, ConnectError),
        seed: int = 0,
        repeatable: bool = False,
    ) -> None:
        super().__init__(inner)
        if not 0 <= rate <= 1:
            raise ConfigurationError(f"Faults: rate must be from 0 to 1, not {rate!r}")
        if not kinds:
            raise ConfigurationError("Faults: kinds must name at least one status or error")
        self._rate = rate
        self._kinds = tuple(kinds)
        self._repeatable = repeatable
        self._dice = _Dice(f"{seed} faults")
        self.made = 0
        """Attempts that it has ended."""

    @override
    async def send(self, request: Request) -> Response:
        rolled = self._dice.roll(request)
        if rolled < self._rate:
            outcomes = [outcome for kind in self._kinds if self._fits(outcome := _outcome(kind, request), request)]
            if outcomes:
                self.made += 1
                outcome = outcomes[int(rolled / self._rate * len(outcomes))]
                if isinstance(outcome, Response):
                    return outcome
                raise outcome
        response = await self._inner.send(request)
        self._dice.forget(request)
        return response

    def _fits(self, outcome: Response | TransportError, request: Request) -> bool:
        return not self._repeatable or decide(_POLICY, request, outcome, attempt=1).wait is not None


class _Dice:
    """Numbers from 0 to 1 that depend on a request and on how often it was sent, and not on what else is under way."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._rolled: dict[object, int] = {}

    def roll(self, request: Request) -> float:
        key = _key(request)
        count = self._rolled[key] = self._rolled.get(key, 0) + 1
        text = f"{self._seed} {count} {key}".encode("utf-8", "surrogatepass")
        return (int.from_bytes(blake2b(text, digest_size=7).digest(), "big") >> 3) / 2**53

    def forget(self, request: Request) -> None:
        """Let go of a request of a recording that has its answer: no other is of the same entry."""
        if request.recorded is not None:
            self._rolled.pop(request.recorded, None)


def _key(request: Request) -> object:
    if request.recorded is not None:
        return request.recorded
    body = request.body
    return request.method, str(request.url), body if isinstance(body, bytes) else None


def _outcome(kind: Fault, request: Request) -> Response | TransportError:
    if isinstance(kind, int):
        return Response(request, kind)
    return kind(f"{request}: a simulated fault, as if the network had it ({kind.__name__})", request=request)
