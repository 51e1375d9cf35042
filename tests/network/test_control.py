"""A host's limits are found out while it answers, kept to, and never mistaken for a reason to go faster."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import cycle, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from secoda_async.counters import FIRST_SLOTS, MOST_SLOTS, Pace, Traffic
from secoda_async.errors import ConnectError, RequestError, RequestTimeoutError, TransportError
from secoda_async.network.control import Adaptive, Control, Fixed
from secoda_async.network.limit import Limit
from secoda_async.network.message import Request, Response, Transport
from secoda_async.network.stream import StreamedResponse
from secoda_async.network.trips import Outcome
from secoda_async.settings import RateLimit
from secoda_async.testing.virtual_time import run_virtually
from tests.network.hosts import (
    Changing,
    Dying,
    FewAtOnce,
    Host,
    Planned,
    Pool,
    Sliding,
    Unsteady,
    now,
    per_second,
    refused,
)

WARM_UP = {"seconds": 10, "requests": 1000}


def get() -> Request:
    return Request("GET", URL("http://one.example/"))


class Crawl:
    """Asks one host for so many answers, with more workers than it can bear; refused requests are asked again."""

    def __init__(self, host: Transport, *, pace: Pace | None = None, control: Control | None = None) -> None:
        self.pace = pace or Pace()
        self.control = control or Adaptive(self.pace)
        self.limit = Limit(host, {}, control=lambda _: self.control, longest_pause=300, traffic=Traffic())
        self.slots: list[int] = []

    async def run(self, answers: int, *, workers: int = MOST_SLOTS, seconds: float = 1e9) -> float:
        """Gives the seconds it took."""
        left = iter(range(answers))
        began = now()

        async def work() -> None:
            for _ in left:
                status = 0
                while status not in (200, 500) and now() - began < seconds:
                    try:
                        status = (await self.limit.send(get())).status_code
                    except TransportError:
                        continue
                    self.slots.append(self.control.slots)

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
        return now() - began


def crawl(host: Transport, answers: int, **made: object) -> Crawl:
    one = Crawl(host, **made)  # type: ignore[arg-type]
    run_virtually(one.run(answers))
    return one


@pytest.mark.parametrize("latency", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("requests", [20, 200])
def test_a_hidden_rate_is_found_and_kept_to(requests: int, latency: float) -> None:
    host = Sliding(latency, requests=requests)
    made = crawl(host, 1000 + 40 * requests)
    warm = host.after(**WARM_UP)
    assert per_second(warm) >= 0.945 * requests
    assert refused(warm) < 0.005
    assert refused(host.answers[:1000]) <= 0.05
    assert made.pace.rate == pytest.approx(requests, rel=0.06)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("latency", [0.02, 0.05, 0.2])
def test_a_hidden_number_in_flight_is_found_and_kept_to(latency: float, status: int) -> None:
    host = FewAtOnce(latency, most=16, status=status)
    made = crawl(host, 1000 + int(25 * 16 / latency))
    warm = host.after(**WARM_UP)
    assert per_second(warm) >= 0.945 * 16 / latency
    assert refused(warm) < 0.005
    assert refused(host.answers[:1000]) <= 0.05
    assert made.pace.rate is None


def test_a_rate_that_the_host_tells_of_is_found_without_asking_it_in_vain() -> None:
    host = Sliding(0.05, requests=20, tells=True)
    crawl(host, 1500)
    assert refused(host.answers) < 0.03
    assert per_second(host.after(**WARM_UP)) >= 0.9 * 20


def test_a_long_window_is_kept_to_although_no_single_second_shows_it() -> None:
    host = Sliding(0.05, requests=100, per=10.0)
    crawl(host, 2500)
    late = host.after(100, 1000)
    assert per_second(late) >= 0.85 * 10
    assert refused(late) < 0.02


def test_a_host_without_a_limit_is_crawled_faster_than_at_a_fixed_hundred() -> None:
    seconds = {}
    for name, control in (("fixed", Fixed(100)), ("adaptive", Adaptive(Pace()))):
        seconds[name] = run_virtually(Crawl(Host(0.1), control=control).run(5000))
    assert seconds["fixed"] > 3.4 * seconds["adaptive"]


def test_a_host_that_gets_slower_under_load_is_given_fewer_than_a_hundred_and_is_faster_for_it() -> None:
    seconds, made = {}, {}
    for name, control in (("fixed", Fixed(100)), ("adaptive", Adaptive(Pace()))):
        made[name] = Crawl(Pool(0.05, size=15, thrash=0.02), control=control)
        seconds[name] = run_virtually(made[name].run(5000))
    assert seconds["fixed"] > 2 * seconds["adaptive"]
    assert max(made["adaptive"].slots[1000:]) < 40


def test_a_small_pool_is_used_in_full_with_a_short_queue_and_does_not_break() -> None:
    host = Pool(0.05, size=15, breaks_above=32)
    made = crawl(host, 5000)
    warm = host.after(seconds=3, requests=1000)
    assert per_second(warm) >= 0.95 * 15 / 0.05
    assert refused(warm) == 0
    assert refused(host.answers[:1000]) <= 0.05
    assert max(made.slots[1000:]) <= 32


def test_a_host_that_becomes_slower_by_itself_keeps_its_slots() -> None:
    """Fewer slots would make it no faster, so they come back."""
    host = Changing(0.05, latencies=lambda served: 0.05 if served < 3000 else 0.3)
    one = Crawl(host)
    run_virtually(one.run(20_000, workers=100))
    late = host.answers[5000:]
    assert per_second(late) >= 0.9 * 100 / 0.3


def test_answers_of_very_different_length_are_no_reason_for_fewer_slots() -> None:
    lengths = cycle([0.02, 0.02, 0.3, 0.02])
    host = Changing(0.05, latencies=lambda _: next(lengths))
    run_virtually(Crawl(host).run(20_000, workers=64))
    assert per_second(host.answers[2000:]) >= 0.8 * 64 / 0.09


def test_a_host_that_refuses_fast_is_not_asked_faster() -> None:
    host = Planned(0.05, statuses=repeat(429))
    one = Crawl(host)
    run_virtually(one.run(50, workers=50, seconds=60))
    assert max(one.slots) <= FIRST_SLOTS
    assert one.pace.raised == 0
    # Single probes, further and further apart.
    assert len([moment for moment, _ in host.answers if moment < 60]) < FIRST_SLOTS + 20


def test_answers_that_say_the_server_failed_at_something_raise_nothing_and_cut_nothing() -> None:
    host = Planned(0.05, statuses=repeat(500))
    made = crawl(host, 1000)
    assert set(made.slots) == {FIRST_SLOTS}
    assert not made.pace.cut


def test_one_broken_connection_cuts_nothing_and_several_at_once_do() -> None:
    one = crawl(Planned(0.05, statuses=iter([*repeat(200, 300), 502, *repeat(200, 300), 503])), 2000)
    assert not one.pace.cut
    several = crawl(Planned(0.05, statuses=iter([*repeat(200, 300), *repeat(502, 5)])), 2000)
    assert several.pace.cut["broken"] == 1


@pytest.mark.parametrize("latency", [0.02, 0.1])
@pytest.mark.parametrize("percent", [0.5, 1, 3])
@pytest.mark.parametrize("status", [502, 503])
def test_a_host_that_fails_now_and_then_whatever_its_load_is_not_given_less_for_long(
    status: int, percent: float, latency: float
) -> None:
    host = Unsteady(latency, percent=percent, status=status)
    crawl(host, 10_000)
    assert host.answers[-1][0] < 60  # seconds; cut at every failure, it would be up to half an hour


def test_a_host_that_is_down_is_not_asked_on_and_on_because_it_had_accidents() -> None:
    host = Dying(0.02, percent=3)
    crawl(host, 40_000)
    down = [moment for moment, _ in host.answers if 6 <= moment < 35]
    assert len(down) < 600
    assert host.answers[-1][0] < 120


@pytest.mark.parametrize("status", [502, 503])
def test_accidents_do_not_hide_that_a_host_is_given_too_much(status: int) -> None:
    @dataclass
    class Both(FewAtOnce):
        @override
        def refuse(self, moment: float) -> int:
            return 503 if self.random.random() < 0.02 else super().refuse(moment)

    host = Both(0.1, most=16, status=status)
    crawl(host, 5000)
    assert host.peak < 100
    assert refused(host.answers) < 0.5


@pytest.mark.parametrize("latency", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("requests", [5, 20, 200])
def test_a_rate_that_is_refused_as_if_by_overload_is_kept_to_all_the_same(requests: int, latency: float) -> None:
    host = Sliding(latency, requests=requests, status=503)
    crawl(host, 40 * requests)
    late = host.after(10, requests)
    assert per_second(late) >= 0.75 * requests
    assert refused(late) < 0.08


@pytest.mark.parametrize("error", [RequestTimeoutError, ConnectError])
def test_errors_cut_the_slots(error: type[TransportError]) -> None:
    class Failing(Host):
        sent = 0

        @override
        async def send(self, request: Request) -> Response:
            self.sent += 1
            reply = await super().send(request)
            if 400 <= self.sent < 410:
                raise error("failed", request=request)
            return reply

    made = crawl(Failing(0.05), 1000)
    assert sum(made.pace.cut.values()) == 1
    before = max(made.slots)
    assert min(made.slots[made.slots.index(before) :]) <= 0.75 * before


def test_what_an_earlier_run_found_is_where_the_next_one_begins() -> None:
    host = Sliding(0.05, requests=200)
    found = crawl(host, 6000).pace
    again = Sliding(0.05, requests=200)
    warm = crawl(again, 3000, pace=Pace(found.slots, found.rate))
    assert refused(again.answers) < 0.005
    assert per_second(again.answers[200:]) >= 0.95 * 200
    unlimited = crawl(Host(0.1), 4000).pace
    assert run_virtually(Crawl(Host(0.1), pace=Pace(unlimited.slots)).run(5000)) < 1.0
    assert warm.pace.rate == pytest.approx(200, rel=0.05)


def test_a_remembered_number_that_is_too_many_today_comes_down() -> None:
    made = crawl(Pool(0.05, size=15), 12_000, pace=Pace(400))
    assert made.slots[-1] < 100
    assert made.pace.slots == made.slots[-1]


def test_declared_limits_are_the_ceiling() -> None:
    host = Host(0.05)
    traffic = Traffic()

    async def play() -> None:
        pace = Pace()
        limit = Limit(host, {"*": RateLimit(50)}, control=lambda _: Adaptive(pace), longest_pause=300, traffic=traffic)
        async with asyncio.TaskGroup() as group:
            for _ in range(501):
                group.create_task(limit.send(get()))

    run_virtually(play())
    moments = [moment for moment, _ in host.answers]
    assert max(sum(start <= moment < start + 0.9 for moment in moments) for start in moments) <= 50
    assert moments[-1] < 10.8


def test_answers_that_are_still_being_read_hold_up_nobody_while_a_host_is_probed() -> None:
    """Their readers may wait for another answer before they go on."""

    class Streams(Planned):
        @override
        async def send(self, request: Request) -> Response:
            reply = await super().send(request)
            if not request.stream or reply.status_code != 200:
                return reply
            return StreamedResponse(request, 200, pieces=nothing(), close=closed)

    async def nothing() -> AsyncIterator[bytes]:
        return
        yield b""

    async def closed() -> None:
        return

    host = Streams(0.05, statuses=iter([*repeat(200, 5), *repeat(429, 3)]))
    one = Crawl(host)

    async def play() -> None:
        streams = [await one.limit.send(get()._replace(stream=True)) for _ in range(5)]
        await one.run(20, workers=20)
        for stream in streams:
            await stream.aclose()

    run_virtually(play())
    assert sum(status == 200 for _, status in host.answers) == 25


moves = st.tuples(
    st.sampled_from([200, 200, 200, 404, 429, 500, 503, 0]),
    st.floats(0, 5),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(
    plan=st.lists(moves, max_size=80),
    known=st.builds(Pace, st.integers(1, 50), st.none() | st.floats(0.5, 1000)),
    cancelled=st.sets(st.integers(0, 79)),
)
def test_whatever_a_host_does_every_request_has_its_turn_and_the_slots_stay_in_bounds(
    plan: list[tuple[int, float, bool]], known: Pace, cancelled: set[int]
) -> None:
    control = Adaptive(known)
    seen: list[int] = []

    class Wild(Transport):
        moves = iter(plan)

        @override
        async def send(self, request: Request) -> Response:
            status, seconds, told = next(self.moves, (200, 0.1, False))
            await asyncio.sleep(seconds)
            seen.append(control.slots)
            if status == 0:
                raise RequestTimeoutError("late", request=request)
            headers = {"Retry-After": "3"} if told else {}
            return Response(request, status, headers=CIMultiDictProxy(CIMultiDict(headers)))

        @override
        async def aclose(self) -> None:
            return

    one = Crawl(Wild(), control=control)
    ended: list[int] = []

    async def ask(number: int) -> None:
        try:
            await one.limit.send(get())
        except RequestError:
            pass
        finally:
            ended.append(number)

    async def play() -> None:
        tasks = [asyncio.create_task(ask(number)) for number in range(100)]
        for number in cancelled:
            asyncio.get_running_loop().call_later(number / 10, tasks[number].cancel)
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtually(play())
    assert sorted(ended) == list(range(100))
    assert all(1 <= slots <= MOST_SLOTS for slots in seen)


def test_a_host_that_answers_in_no_time_at_all_is_no_trouble() -> None:
    """The clock of uvloop stands still within a turn of the loop."""
    control = Adaptive(Pace())
    for _ in range(10_000):
        control.end(1.0, control.grant(1.0, 1), Outcome.GOOD, 1)
    assert control.slots >= 1


def test_a_part_of_a_host_with_a_limit_of_its_own_slows_only_itself_and_speeds_up_its_host() -> None:
    host = Host(0.05)
    pace = Pace()

    async def play(limits: dict[str, RateLimit]) -> None:
        limit = Limit(host, limits, control=lambda _: Adaptive(pace), longest_pause=300, traffic=Traffic())
        async with asyncio.TaskGroup() as group:
            for _ in range(2000):
                group.create_task(limit.send(get()))

    run_virtually(play({"one.example/": RateLimit(10_000), "one.example": RateLimit(10_000)}))
    assert pace.slots > 100
    assert not pace.cut


def test_every_change_is_counted() -> None:
    made = crawl(Sliding(0.05, requests=200), 4000)
    assert made.pace.raised > 50
    assert made.pace.cut["refused"] >= 2
    assert made.pace.slots == made.control.slots
