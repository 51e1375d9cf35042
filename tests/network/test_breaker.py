"""A host that does not answer is not waited for again and again, and is asked again in time."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat

import pytest
from typing_extensions import override
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import (
    BodyTooLargeError,
    BrokenExchangeError,
    CircuitOpenError,
    ConnectError,
    RequestTimeoutError,
    StatusError,
    TransportError,
)
from secoda_async.network.breaker import Breaker
from secoda_async.network.message import Options, Request, Response, Transport
from secoda_async.network.retry import Retry
from secoda_async.redact import Redactor, SafeLogger
from secoda_async.settings import RetryPolicy
from secoda_async.testing.virtual_time import run_virtually

Outcome = int | type[TransportError] | type[StatusError]
ANY_ERROR = (ConnectError, RequestTimeoutError, BrokenExchangeError, BodyTooLargeError, StatusError)


@dataclass
class Host(Transport):
    """Answers, or fails, as the plan says."""

    plan: Iterator[Outcome]
    service: float = 0.0
    sent: int = 0
    urls: list[str] = field(default_factory=list)

    @override
    async def send(self, request: Request) -> Response:
        self.sent += 1
        self.urls.append(str(request.url))
        outcome = next(self.plan)
        await asyncio.sleep(self.service)
        if isinstance(outcome, int):
            return Response(request, outcome)
        if issubclass(outcome, StatusError):
            raise outcome("503", response=Response(request, 503))
        raise outcome(f"{request} failed", request=request)

    @override
    async def aclose(self) -> None:
        return


def get(url: str = "http://gone.example/x") -> Request:
    return Request("GET", URL(url))


def breaker(host: Transport) -> Breaker:
    return Breaker(host, SafeLogger(Redactor()))


async def fail(layer: Transport, times: int, url: str = "http://gone.example/x") -> None:
    for _ in range(times):
        with pytest.raises(ANY_ERROR):
            await layer.send(get(url))


@pytest.mark.parametrize("error", [ConnectError, RequestTimeoutError, BrokenExchangeError])
def test_after_five_failures_in_a_row_a_host_is_not_asked_for_30_seconds(error: type[TransportError]) -> None:
    host = Host(repeat(error))

    async def play() -> None:
        layer = breaker(host)
        await fail(layer, 5)
        for _ in range(20):
            with pytest.raises(
                CircuitOpenError, match=r"last 5 requests to gone\.example had no answer.*again in 30 s"
            ):
                await layer.send(get())
        await asyncio.sleep(29)
        with pytest.raises(CircuitOpenError, match=r"again in 1 s"):
            await layer.send(get())
        assert host.sent == 5

    run_virtually(play())


def test_of_many_failures_at_once_the_log_tells_once(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        layer = breaker(Host(repeat(ConnectError), service=1.0))
        await asyncio.gather(*(fail(layer, 1) for _ in range(50)))
        await asyncio.sleep(31)
        await fail(layer, 1)

    with caplog.at_level(logging.INFO, "secoda_async"):
        run_virtually(play())
    assert caplog.text.count("requests to this host fail at once for 30 s") == 2, "and once for the probe"


def test_then_one_request_tries_it_while_the_others_still_fail_at_once() -> None:
    host = Host(iter([*repeat(ConnectError, 5), ConnectError, *repeat(200, 10)]), service=1.0)

    async def play() -> None:
        layer = breaker(host)
        await fail(layer, 5)
        for outcome in (ConnectError, None):
            await asyncio.sleep(30)
            probe = asyncio.create_task(layer.send(get()))
            await asyncio.sleep(0.5)
            with pytest.raises(CircuitOpenError, match="another request is trying it now"):
                await layer.send(get())
            if outcome is not None:
                with pytest.raises(outcome):
                    await probe
            else:
                assert (await probe).status_code == 200
        assert (await layer.send(get())).status_code == 200
        assert host.sent == 5 + 2 + 1

    run_virtually(play())


def test_a_probe_that_is_cancelled_lets_the_next_one_try() -> None:
    host = Host(iter([*repeat(ConnectError, 5), 200, 200]), service=1.0)

    async def play() -> None:
        layer = breaker(host)
        await fail(layer, 5)
        await asyncio.sleep(30)
        probe = asyncio.create_task(layer.send(get()))
        await asyncio.sleep(0.5)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert (await layer.send(get())).status_code == 200

    run_virtually(play())


@pytest.mark.parametrize("answer", [200, 404, StatusError, BodyTooLargeError])
def test_any_answer_between_them_starts_the_count_anew(answer: Outcome) -> None:
    host = Host(iter([*repeat(ConnectError, 4), answer, *repeat(ConnectError, 4), 200]))

    async def play() -> None:
        layer = breaker(host)
        await fail(layer, 4)
        if isinstance(answer, int):
            await layer.send(get())
        else:
            await fail(layer, 1)
        await fail(layer, 4)
        assert (await layer.send(get())).status_code == 200

    run_virtually(play())


def test_each_host_and_port_has_a_circuit_of_its_own() -> None:
    host = Host(iter([*repeat(ConnectError, 5), 200, 200]))

    async def play() -> None:
        layer = breaker(host)
        await fail(layer, 5)
        assert (await layer.send(get("http://other.example/"))).status_code == 200
        assert (await layer.send(get("http://gone.example:81/"))).status_code == 200

    run_virtually(play())


def test_a_server_that_is_back_before_the_retries_end_loses_no_request_of_many_at_once() -> None:
    """Fifty in flight break in one moment: that is one failure of the server, and not fifty."""
    host = Host(iter([*repeat(BrokenExchangeError, 50), *repeat(200, 50)]))
    traffic = Traffic()

    async def play() -> None:
        log = SafeLogger(Redactor())
        layer = Breaker(Retry(host, RetryPolicy(), traffic, log), log)
        await asyncio.gather(*(layer.send(get()) for _ in range(50)))

    run_virtually(play())
    assert traffic.retries == {"BrokenExchangeError": 50}


def test_a_dead_host_costs_a_crawl_of_a_thousand_only_its_first_five_requests() -> None:
    host = Host(repeat(ConnectError))

    async def play() -> list[type[BaseException]]:
        log = SafeLogger(Redactor())
        layer = Breaker(Retry(host, RetryPolicy(attempts=3), Traffic(), log), log)
        errors = []
        for _ in range(1000):
            try:
                await layer.send(get()._replace(options=Options()))
            except (ConnectError, CircuitOpenError) as error:
                errors.append(type(error))
        return errors

    errors = run_virtually(play())
    assert errors == [*repeat(ConnectError, 5), *repeat(CircuitOpenError, 995)]
    assert host.sent == 5 * 3
