"""Latency and faults around a transport: as much as was asked for, the same by the same seed, whatever the order."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from yarl import URL

from secoda_async import (
    BrokenExchangeError,
    ConfigurationError,
    ConnectError,
    Request,
    RequestError,
    Response,
    RetryPolicy,
    Transport,
    TransportError,
)
from secoda_async.network.message import Options
from secoda_async.testing import Faults, Latency
from secoda_async.testing.virtual_time import run_virtually
from tests.integrations import MemorySink, integration, table
from tests.network.fake_transport import FakeTransport


def request(number: int = 0, method: str = "GET", **more: Any) -> Request:
    return Request(method, URL(f"http://source/{number}"), **more)


def ok() -> FakeTransport:
    return FakeTransport(lambda one: Response(one, 200))


async def outcome(transport: Transport, one: Request) -> object:
    try:
        return (await transport.send(one)).status_code
    except TransportError as error:
        return type(error)


async def seconds(transport: Transport, one: Request) -> float:
    started = asyncio.get_running_loop().time()
    await transport.send(one)
    return asyncio.get_running_loop().time() - started


def test_an_attempt_takes_the_latency_and_it_is_counted() -> None:
    async def main() -> None:
        slow = Latency(ok(), 0.25)
        assert await seconds(slow, request()) == pytest.approx(0.25, abs=1e-4)
        await asyncio.gather(*(slow.send(request(number)) for number in range(3)))
        assert slow.added == pytest.approx(1.0)

    run_virtually(main())


def test_a_function_says_the_latency_of_each_request() -> None:
    async def main() -> None:
        slow = Latency(ok(), lambda one: 2.0 if one.method == "POST" else 0.5)
        assert await seconds(slow, request(method="POST")) == pytest.approx(2.0, abs=1e-4)
        assert await seconds(slow, request()) == pytest.approx(0.5, abs=1e-4)

    run_virtually(main())


def test_without_latency_another_task_has_its_turn_all_the_same() -> None:
    async def main() -> None:
        turns: list[str] = []

        async def ask(name: str) -> None:
            turns.append(f"{name} asks")
            await Latency(ok(), 0).send(request())
            turns.append(f"{name} has it")

        await asyncio.gather(ask("a"), ask("b"))
        assert turns == ["a asks", "b asks", "a has it", "b has it"]

    run_virtually(main())


def test_jitter_spreads_latencies_around_it_the_same_by_the_same_seed_in_any_order() -> None:
    async def all_of(seed: int, order: list[int]) -> dict[int, float]:
        slow = Latency(ok(), 1.0, jitter=0.5, seed=seed)
        return {number: round(await seconds(slow, request(number)), 3) for number in order}

    async def main() -> None:
        numbers = list(range(300))
        found = await all_of(1, numbers)
        random.Random(5).shuffle(numbers)
        assert await all_of(1, numbers) == found
        assert await all_of(2, numbers) != found
        assert 0.5 <= min(found.values()) < 0.55
        assert 1.45 < max(found.values()) <= 1.5
        assert sum(found.values()) / len(found) == pytest.approx(1.0, abs=0.05)

    run_virtually(main())


async def test_so_many_attempts_fail_as_were_asked_for_of_every_kind() -> None:
    faults = Faults(ok(), 0.3, kinds=(503, 429, BrokenExchangeError), seed=3)
    found = Counter([await outcome(faults, request(number)) for number in range(3000)])
    assert found[200] == pytest.approx(2100, rel=0.05)
    assert {503, 429, BrokenExchangeError, 200} == set(found)
    assert all(count == pytest.approx(300, rel=0.2) for kind, count in found.items() if kind != 200)
    assert faults.made == 3000 - found[200]


async def test_which_attempts_fail_depends_on_the_seed_and_not_on_the_order() -> None:
    async def failing(seed: int, order: list[int]) -> set[int]:
        faults = Faults(ok(), 0.2, seed=seed)
        return {number for number in order if await outcome(faults, request(number)) != 200}

    numbers = list(range(200))
    found = await failing(1, numbers)
    random.Random(5).shuffle(numbers)
    assert await failing(1, numbers) == found
    assert await failing(2, numbers) != found


@pytest.mark.parametrize("recorded", [None, 7], ids=["plain", "of a recording"])
async def test_a_repeated_attempt_has_a_chance_of_its_own(recorded: int | None) -> None:
    faults = Faults(ok(), 0.5, seed=1)
    runs = []
    for number in range(200):
        one = request(number, recorded=None if recorded is None else recorded + number)
        attempts = 1
        while await outcome(faults, one) != 200:
            attempts += 1
        runs.append(attempts)
    assert sum(runs) / len(runs) == pytest.approx(2.0, rel=0.15)


async def test_what_may_not_be_sent_twice_gets_only_faults_that_a_retry_repeats() -> None:
    faults = Faults(ok(), 1.0, repeatable=True)
    posts = {await outcome(faults, request(number, "POST")) for number in range(50)}
    assert posts == {ConnectError}
    idempotent = request(0, "POST", options=Options(idempotent=True))
    assert {await outcome(faults, idempotent) for _ in range(50)} == {ConnectError, 503}
    assert await outcome(Faults(ok(), 1.0, kinds=(500,), repeatable=True), request(0, "POST")) == 200


async def test_a_run_gets_all_of_it_although_every_tenth_attempt_fails() -> None:
    faults = Faults(FakeTransport(lambda one: Response(one, 200, content=b"{}")), 0.1, seed=4)

    async def extract(self: Any) -> None:
        async def one(number: int) -> None:
            await self.http_get(f"http://source/{number}")
            await self.declare_resource(table(number))

        await self.for_each(range(200), one)

    report = await integration(extract, transport=faults, retry=RetryPolicy(backoff=0.001)).run(MemorySink())
    assert report.resources == {"table": 200}
    assert sum(report.source.retries.values()) == faults.made > 0
    assert set(report.source.retries) == {"503", "ConnectError"}


async def test_closing_closes_what_is_inside() -> None:
    inner = ok()
    await Latency(Faults(inner, 0.0), 0.0).aclose()
    assert inner.closed


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Latency(ok(), -1.0), "seconds must be a number of 0 or more, not -1.0"),
        (lambda: Latency(ok(), float("nan")), "seconds must be a number of 0 or more, not nan"),
        (lambda: Latency(ok(), 1.0, jitter=1.5), "jitter must be from 0 to 1, not 1.5"),
        (lambda: Faults(ok(), 2.0), "rate must be from 0 to 1, not 2.0"),
        (lambda: Faults(ok(), 0.5, kinds=()), "kinds must name at least one"),
    ],
)
def test_a_number_that_is_out_of_range_is_refused(make: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


async def test_an_error_says_that_it_was_simulated_and_for_which_request() -> None:
    with pytest.raises(RequestError, match="GET http://source/0: a simulated fault, as if the network had it"):
        await Faults(ok(), 1.0, kinds=(ConnectError,)).send(request())
