"""What is repeated, how long after, and what remains in the end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import (
    BodyTooLargeError,
    BrokenExchangeError,
    CertificateError,
    ConnectError,
    EgressError,
    InvalidRequestError,
    RequestError,
    RequestTimeoutError,
    StatusError,
    TransportError,
)
from secoda_async.network.message import Options, Request, Response, Transport
from secoda_async.network.rate_headers import parse_retry_after
from secoda_async.network.retry import Retry, decide
from secoda_async.redact import Redactor, SafeLogger
from secoda_async.settings import UNSET, RetryPolicy
from secoda_async.testing.virtual_time import run_virtually

Outcome = int | tuple[int, dict[str, str]] | type[RequestError]

REPEATABLE = ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")
OTHERS = ("POST", "PATCH")
METHODS = (*REPEATABLE, *OTHERS)
AT_ONCE = {"Retry-After": "0"}


@dataclass
class Script(Transport):
    """Gives one outcome after the other; the last one again and again."""

    outcomes: list[Outcome]
    times: list[float] = field(default_factory=list)
    closed: int = 0

    @override
    async def send(self, request: Request) -> Response:
        outcome = self.outcomes[min(len(self.times), len(self.outcomes) - 1)]
        self.times.append(asyncio.get_running_loop().time())
        if isinstance(outcome, type):
            raise outcome(f"{request}: {outcome.__name__}", request=request)
        status, headers = outcome if isinstance(outcome, tuple) else (outcome, {})
        return _Counted(self, request, status, headers=CIMultiDictProxy(CIMultiDict(headers)))

    @override
    async def aclose(self) -> None:
        return


class _Counted(Response):
    def __init__(self, script: Script, *args: object, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]  # passed on as they came
        self._script = script

    @override
    async def aclose(self) -> None:
        self._script.closed += 1


@dataclass
class Played:
    """What a request came to."""

    script: Script
    traffic: Traffic
    result: Response | RequestError

    @property
    def attempts(self) -> int:
        return len(self.script.times)

    @property
    def waits(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.script.times, self.script.times[1:], strict=False)]


def play(
    *outcomes: Outcome,
    method: str = "GET",
    policy: RetryPolicy | None = RetryPolicy(attempts=3),  # noqa: B008 # frozen
    options: Options = Options(),  # noqa: B008 # frozen
) -> Played:
    script, traffic = Script(list(outcomes)), Traffic()
    retry = Retry(script, policy, traffic, SafeLogger(Redactor()))

    async def send() -> Response | RequestError:
        try:
            return await retry.send(Request(method, URL("http://api.example/x"), options=options))
        except RequestError as error:
            return error

    played = Played(script, traffic, run_virtually(send()))
    assert traffic.backing_off == 0
    return played


# Outcome → whether it is repeated for a repeatable request, whether for another, and what remains in the end.
TABLE: list[tuple[Outcome, bool, bool, type[object]]] = [
    *((status, False, False, Response) for status in (200, 204, 301, 304, 400, 401, 403, 404, 408, 409, 410, 418)),
    *(((status, AT_ONCE), False, False, Response) for status in (200, 302, 404)),
    # Who treats a 403 as "not for us" must not take a quota that is used up for it.
    ((403, AT_ONCE), True, True, StatusError),
    ((403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"}), True, True, StatusError),
    ((403, {"X-RateLimit-Remaining": "0"}), False, False, Response),
    ((403, {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "9"}), False, False, Response),
    (429, True, True, StatusError),
    ((429, AT_ONCE), True, True, StatusError),
    (500, True, False, StatusError),
    ((500, AT_ONCE), True, False, StatusError),
    (501, False, False, StatusError),
    ((501, AT_ONCE), False, False, StatusError),
    (502, True, False, StatusError),
    (503, True, False, StatusError),
    ((503, AT_ONCE), True, True, StatusError),
    ((503, {"Retry-After": "soon"}), True, False, StatusError),
    (504, True, False, StatusError),
    (505, False, False, StatusError),
    (520, True, False, StatusError),
    (599, True, False, StatusError),
    (ConnectError, True, True, ConnectError),
    (CertificateError, False, False, CertificateError),
    (RequestTimeoutError, True, False, RequestTimeoutError),
    (BrokenExchangeError, True, False, BrokenExchangeError),
    (EgressError, True, False, EgressError),
    (BodyTooLargeError, False, False, BodyTooLargeError),
    (InvalidRequestError, False, False, InvalidRequestError),
]


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("outcome", "repeatable", "other", "remains"), TABLE)
def test_what_is_repeated_and_what_remains(
    outcome: Outcome, repeatable: bool, other: bool, remains: type[object], method: str, idempotent: bool
) -> None:
    repeats = repeatable if method in REPEATABLE or idempotent else other
    played = play(outcome, method=method, options=Options(idempotent=idempotent))
    assert played.attempts == (3 if repeats else 1)
    assert isinstance(played.result, remains)
    mended = play(outcome, 200, method=method, options=Options(idempotent=idempotent))
    assert isinstance(mended.result, Response if repeats or remains is Response else remains)
    assert mended.attempts == (2 if repeats else 1)


def test_every_transport_error_stands_in_the_table() -> None:
    assert set(TransportError.__subclasses__()) | set(ConnectError.__subclasses__()) <= {row[3] for row in TABLE}


@pytest.mark.parametrize("status", [200, 404, 429, 500, 501, 503])
def test_retry_none_is_one_attempt_that_returns_any_status(status: int) -> None:
    for chosen in (play(status, options=Options(retry=None)), play(status, policy=None)):
        assert chosen.attempts == 1
        assert isinstance(chosen.result, Response)
        assert chosen.result.status_code == status


@pytest.mark.parametrize("error", [ConnectError, RequestTimeoutError, BrokenExchangeError])
def test_retry_none_raises_the_error_of_its_one_attempt(error: type[RequestError]) -> None:
    played = play(error, options=Options(retry=None))
    assert played.attempts == 1
    assert type(played.result) is error


def test_a_requests_own_policy_takes_the_place_of_the_clients() -> None:
    assert play(500, policy=RetryPolicy(attempts=2), options=Options(retry=RetryPolicy(attempts=4))).attempts == 4
    assert play(500, policy=None, options=Options(retry=RetryPolicy(attempts=4))).attempts == 4
    assert play(500, policy=RetryPolicy(attempts=2), options=Options(retry=UNSET)).attempts == 2


@pytest.mark.parametrize("attempts", [1, 2, 7])
def test_attempts_are_counted_with_the_first_and_named_in_the_error(attempts: int) -> None:
    for outcome in (500, ConnectError):
        played = play(outcome, policy=RetryPolicy(attempts=attempts))
        assert played.attempts == attempts
        assert (f"({attempts} attempts)" in str(played.result)) is (attempts > 1)


def test_repeats_are_counted_by_cause() -> None:
    played = play(429, ConnectError, 503, 503, 200, policy=RetryPolicy(attempts=9))
    assert played.traffic.retries == {"429": 1, "ConnectError": 1, "503": 2}
    assert played.script.closed == 3, "an answer that is not returned is given back"


def test_retry_after_is_obeyed_with_a_little_spread() -> None:
    """Those that wait for the same moment do not come back at once, and never too early."""
    played = play((429, {"Retry-After": "60"}), 200)
    assert 60 <= played.waits[0] <= 61.001


def test_a_retry_after_date_is_read_against_the_answers_own_date() -> None:
    there = datetime(2001, 1, 1, 12, tzinfo=UTC)
    headers = {
        "Date": format_datetime(there, usegmt=True),
        "Retry-After": format_datetime(there + timedelta(seconds=90), usegmt=True),
    }
    assert 90 <= play((503, headers), 200).waits[0] <= 91.001


def test_a_retry_after_date_without_a_date_is_read_against_the_clock_here() -> None:
    asked = parse_retry_after({"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)})
    assert asked is not None
    assert 80 <= asked <= 90


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-5",
        "1.5",
        "soon",
        "²",
        "1 minute",
        "Mon",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "Mon, 1 Jan 2024 00:00:00 +99999999999999999999",
        "Mon, 99 Jan 2024 00:00:00 GMT",
    ],
)
def test_an_unreadable_retry_after_is_none_at_all(text: str) -> None:
    assert parse_retry_after({"Retry-After": text}) is None
    waits = play((429, {"Retry-After": text}), 200, policy=RetryPolicy(backoff=0.5)).waits
    assert waits[0] <= 0.51


def test_a_date_in_the_past_is_no_wait() -> None:
    assert parse_retry_after({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0


@given(st.text() | st.from_regex(r"\A\w{3}, \d{1,25} \w{3} \d{1,25} \d\d:\d\d:\d\d [+-]?\w{1,25}\Z"), st.text())
def test_whatever_the_header_holds_it_is_a_wait_or_none(text: str, date: str) -> None:
    wait = parse_retry_after({"Retry-After": text, "Date": date})
    assert wait is None or wait >= 0


@pytest.mark.parametrize("asked", ["301", "9" * 30, "9" * 5000])
@pytest.mark.parametrize("status", [429, 503])
def test_a_longer_wait_than_max_wait_ends_the_request_and_names_host_and_wait(status: int, asked: str) -> None:
    played = play((status, {"Retry-After": asked}), 200, policy=RetryPolicy(max_wait=300))
    assert played.attempts == 1
    assert isinstance(played.result, StatusError)
    message = str(played.result)
    assert f"api.example asked to wait {float(asked):g} s, more than max_wait = 300 s" in message
    assert f"answered {status}" in message


def test_a_wait_of_just_max_wait_is_obeyed() -> None:
    assert play((429, {"Retry-After": "300"}), 200, policy=RetryPolicy(max_wait=300)).attempts == 2


def test_a_429_without_retry_after_waits_as_long_as_the_policy_says() -> None:
    policy = RetryPolicy(unspecified_wait=60)
    assert play(429, 200, policy=policy).waits == [pytest.approx(60, abs=0.001)]
    assert play((429, {"Retry-After": "3"}), 200, policy=policy).waits[0] <= 4.001
    assert play(500, 200, policy=policy).waits[0] <= 0.501


@given(
    attempt=st.integers(1, 5000),
    jitter=st.floats(0, 1),
    backoff=st.floats(0.001, 10),
    most=st.floats(0.001, 100),
    asked=st.none() | st.integers(0, 300),
)
def test_the_wait_is_between_nothing_and_the_doubled_backoff(
    attempt: int, jitter: float, backoff: float, most: float, asked: int | None
) -> None:
    policy = RetryPolicy(attempts=10_000, backoff=backoff, max_backoff=most)
    request = Request("GET", URL("http://api.example/x"))
    headers = {} if asked is None else {"Retry-After": str(asked)}
    answer = Response(request, 429, headers=CIMultiDictProxy(CIMultiDict(headers)))

    def wait(share: Callable[[], float]) -> float:
        decided = decide(policy, request, answer, attempt=attempt, jitter=share).wait
        assert decided is not None
        return decided

    least = asked or 0
    upper = min(most, backoff * 2.0 ** min(attempt - 1, 100)) if asked is None else asked + 1
    assert least <= wait(lambda: jitter) <= upper
    assert wait(lambda: 0.0) == least
    if asked is None:
        assert wait(lambda: 1.0) == upper


def test_the_jitter_is_full_and_differs_between_requests() -> None:
    waits = [play(500, 200, policy=RetryPolicy(backoff=8)).waits[0] for _ in range(60)]
    assert max(waits) <= 8.001
    assert min(waits) < 4 < max(waits)


def test_a_request_cancelled_while_backing_off_ends_at_once_and_is_no_longer_counted() -> None:
    script, traffic = Script([(429, {"Retry-After": "200"})]), Traffic()
    retry = Retry(script, RetryPolicy(), traffic, SafeLogger(Redactor()))

    async def cancelled() -> float:
        task = asyncio.create_task(retry.send(Request("GET", URL("http://api.example/x"))))
        await asyncio.sleep(5)
        assert traffic.backing_off == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time()

    assert run_virtually(cancelled()) < 6
    assert traffic.backing_off == 0
    assert len(script.times) == 1


def test_the_final_error_holds_the_last_answer_and_says_what_its_body_says() -> None:
    request = Request("GET", URL("http://api.example/x"))
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))

    class Refusing(Script):
        @override
        async def send(self, request: Request) -> Response:
            return Response(request, 500, headers=headers, content=b'{"detail":\n  "out of order"}')

    async def send() -> StatusError:
        retry = Retry(Refusing([]), RetryPolicy(attempts=2, backoff=0.1), Traffic(), SafeLogger(Redactor()))
        with pytest.raises(StatusError) as caught:
            await retry.send(request)
        return caught.value

    error = run_virtually(send())
    assert error.response.status_code == 500
    assert error.request == request
    assert str(error) == (
        'GET http://api.example/x answered 500 Internal Server Error (2 attempts): {"detail": "out of order"}'
    )
