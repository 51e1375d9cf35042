"""Repeats what is worth repeating: one visible loop around a pure decision."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from typing_extensions import override

from secoda_async.counters import Traffic
from secoda_async.errors import (
    BodyTooLargeError,
    BrokenExchangeError,
    CertificateError,
    ConnectError,
    EgressError,
    RequestTimeoutError,
    TransportError,
)
from secoda_async.network.message import Layer, Request, Response, Transport, status_error
from secoda_async.network.rate_headers import asked_wait
from secoda_async.redact import SafeLogger
from secoda_async.settings import UNSET, RetryPolicy

BACK_OFF: Final = "back-off"  # as the report names it, beside why a request waits at the gate
REPEATABLE_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Repeat(Enum):
    """When an outcome may be repeated."""

    ALWAYS = "the server took nothing in, so any method may be sent again"
    IF_ASKED = "as ALWAYS, where the server named a time"
    IF_REPEATABLE = "the server may have acted, so only a repeatable request is sent again"
    NEVER = "the same would happen again"


# First match wins; a status that is not here and below 500 is the caller's to judge. (A 401 never comes here but as an
# answer: `authorize`, below, renews credentials that end and sends the request again, once, whatever its method.)
STATUSES: Final[dict[int, tuple[Repeat, ...]]] = {
    403: (Repeat.IF_ASKED,),  # how GitHub, among others, says that the quota is used up
    429: (Repeat.ALWAYS,),
    501: (Repeat.NEVER,),
    503: (Repeat.IF_ASKED, Repeat.IF_REPEATABLE),
    505: (Repeat.NEVER,),
}
OTHER_5XX: Final = (Repeat.IF_REPEATABLE,)
ERRORS: Final[tuple[tuple[type[TransportError], Repeat], ...]] = (
    (CertificateError, Repeat.NEVER),
    (ConnectError, Repeat.ALWAYS),
    (BodyTooLargeError, Repeat.NEVER),
    (RequestTimeoutError, Repeat.IF_REPEATABLE),
    (BrokenExchangeError, Repeat.IF_REPEATABLE),
    (EgressError, Repeat.IF_REPEATABLE),
)


class Decision(NamedTuple):
    """What to do after an attempt: wait and repeat, or end with what there is."""

    wait: float | None
    """Seconds before the next attempt; None: there is none."""
    reason: str = ""
    """Why there is none, where it is worth saying."""
    gives_up: bool = False
    """Whether there would be one, were it not too late or too far off; then the outcome is no answer, but a failure."""


STOP: Final = Decision(None)


def failed(status: int) -> bool:
    """Whether a status is missing data rather than an answer."""
    return status == 429 or status >= 500


def decide(
    policy: RetryPolicy,
    request: Request,
    outcome: Response | TransportError,
    *,
    attempt: int,
    jitter: Callable[[], float] = random.random,
) -> Decision:
    """What follows an outcome. ``attempt`` counts from 1; ``jitter`` gives a number from 0 to 1."""
    asked = asked_wait(outcome.headers) if isinstance(outcome, Response) else None
    repeatable = request.options.idempotent or request.method in REPEATABLE_METHODS
    if not any(
        rule is Repeat.ALWAYS
        or (rule is Repeat.IF_ASKED and asked is not None)
        or (rule is Repeat.IF_REPEATABLE and repeatable)
        for rule in _rules(outcome)
    ):
        return STOP
    if attempt >= policy.attempts:
        return Decision(None, f" ({attempt} attempts)" if attempt > 1 else "", gives_up=True)
    if asked is not None and asked > policy.max_wait:
        host = request.url.raw_host
        reason = f" ({host} asked to wait {asked:g} s, more than max_wait = {policy.max_wait:g} s)"
        return Decision(None, reason, gives_up=True)
    # The exponent is bounded because a float is: the thousandth attempt would overflow it.
    backoff = jitter() * min(policy.max_backoff, policy.backoff * 2.0 ** min(attempt - 1, 60))
    if asked is not None:
        return Decision(asked + min(backoff, 1.0))  # those that wait for the same moment do not come back at once
    if policy.unspecified_wait is not None and isinstance(outcome, Response) and outcome.status_code == 429:
        return Decision(policy.unspecified_wait)
    return Decision(backoff)


def _rules(outcome: Response | TransportError) -> tuple[Repeat, ...]:
    if isinstance(outcome, Response):
        return STATUSES.get(outcome.status_code, OTHER_5XX if outcome.status_code >= 500 else ())
    return next(((rule,) for kind, rule in ERRORS if isinstance(outcome, kind)), ())


class Retry(Layer):
    """Sends a request until it has an answer worth returning, or none is to be hoped for.

    Raises StatusError for what remains of 429, of 5xx, and of a 403 that names a time, and the TransportError of the
    last attempt. With ``retry=None`` there is one attempt and every status is returned.
    """

    def __init__(self, inner: Transport, default: RetryPolicy | None, traffic: Traffic, log: SafeLogger) -> None:
        super().__init__(inner)
        self._default = default
        self._traffic = traffic
        self._log = log
        self._backing_off: dict[int, tuple[Request, str, float]] = {}

    def waiting(self, now: float) -> Iterator[tuple[Request, str]]:
        """Each request that waits before it is sent again, and why."""
        for request, cause, until in [*self._backing_off.values()]:
            yield request, f"is sent again in {max(0.0, until - now):.0f} s, after {cause}"

    def held(self, now: float) -> Iterator[tuple[int, str]]:
        """How many requests wait before they are sent again, by host and cause."""
        waiting = [*self._backing_off.values()]
        for (host, cause), count in Counter((one.url.raw_host, cause) for one, cause, _ in waiting).items():
            yield count, f"before a retry ({host}, {cause})"

    @override
    async def send(self, request: Request) -> Response:
        policy = request.options.retry
        if policy is UNSET:
            policy = self._default
        if policy is None:
            return await self._inner.send(request)
        attempt = 0
        while True:
            attempt += 1
            outcome: Response | TransportError
            try:
                outcome = await self._inner.send(request)
            except TransportError as error:
                outcome = error
            else:
                if outcome.status_code < 500 and outcome.status_code not in STATUSES:
                    return outcome
            decision = decide(policy, request, outcome, attempt=attempt)
            if decision.wait is None:
                if isinstance(outcome, Response):
                    if not decision.gives_up and not failed(outcome.status_code):
                        return outcome
                    raise status_error(outcome, after=decision.reason)
                if decision.reason:
                    outcome.args = (f"{outcome}{decision.reason}",)
                raise outcome
            await self._back_off(request, outcome, attempt, decision.wait)

    async def _back_off(self, request: Request, outcome: Response | TransportError, attempt: int, wait: float) -> None:
        if isinstance(outcome, Response):
            cause = str(outcome.status_code)
            await outcome.aclose()
        else:
            cause = type(outcome).__name__
        # The first of a cause says what is going on; a thousand more would hide everything else.
        tell = self._log.debug if self._traffic.retries[cause] else self._log.info
        self._traffic.retries[cause] += 1
        tell("%s gave %s, attempt %d; again in %.1f s", request, cause, attempt, wait)
        self._traffic.backing_off += 1
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._backing_off[id(request)] = (request, cause, began + wait)
        try:
            await asyncio.sleep(wait)
        finally:
            del self._backing_off[id(request)]
            self._traffic.backing_off -= 1
            waits = self._traffic.waits
            waits[BACK_OFF] = waits.get(BACK_OFF, 0.0) + loop.time() - began
