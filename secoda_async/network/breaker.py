"""A circuit breaker for each host: one that is gone is not waited for again and again."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

from secoda_async.errors import (
    BodyTooLargeError,
    BrokenExchangeError,
    CircuitOpenError,
    ConnectError,
    RequestTimeoutError,
    ResponseError,
    TransportError,
)
from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.redact import SafeLogger

_FAILURES: Final = 5
_OPEN_FOR: Final = 30.0  # seconds
_GONE: Final = (ConnectError, RequestTimeoutError, BrokenExchangeError)


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    open_until: float = -math.inf
    probing: bool = False


class Breaker(Layer):
    """Fails requests to a host at once, for 30 s, when 5 in a row ended without an answer; then lets one try.

    It stands above the retries, so a failure is a request that its retries could not save: a server that restarts
    while many requests are in flight breaks all of them in one moment, and opens nothing if it is back in time.
    Raises CircuitOpenError, which nothing repeats.
    """

    def __init__(self, inner: Transport, log: SafeLogger) -> None:
        super().__init__(inner)
        self._log = log
        self._circuits: dict[tuple[str | None, int | None], _Circuit] = {}

    @override
    async def send(self, request: Request) -> Response:
        host = (request.url.raw_host, request.url.port)
        circuit = self._circuits.get(host)
        if circuit is None:
            circuit = self._circuits[host] = _Circuit()
        probing = circuit.failures >= _FAILURES
        if probing:
            self._check(request, circuit)
            circuit.probing = True
        try:
            response = await self._inner.send(request)
        except _GONE as error:
            self._failed(circuit, error)
            raise
        except (BodyTooLargeError, ResponseError):
            circuit.failures = 0  # an answer came
            raise
        finally:
            if probing:
                circuit.probing = False
        circuit.failures = 0
        return response

    def _check(self, request: Request, circuit: _Circuit) -> None:
        left = circuit.open_until - asyncio.get_running_loop().time()
        if left <= 0 and not circuit.probing:
            return
        again = f"it is tried again in {left:.0f} s" if left > 0 else "another request is trying it now"
        raise CircuitOpenError(
            f"{request} was not sent: the last {circuit.failures} requests to {request.url.host} had no answer, and "
            f"{again}; check that the server runs and can be reached",
            request=request,
        )

    def _failed(self, circuit: _Circuit, error: TransportError) -> None:
        circuit.failures += 1
        if circuit.failures >= _FAILURES:
            now = asyncio.get_running_loop().time()
            if circuit.open_until <= now:  # once for all that were in flight together
                self._log.info("%s: requests to this host fail at once for %.0f s", error, _OPEN_FOR)
            circuit.open_until = now + _OPEN_FOR
