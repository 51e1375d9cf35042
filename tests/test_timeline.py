"""What a run looked like, moment by moment, in a bounded number of moments."""

from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import RateLimit
from secoda_async.counters import HostLoad, LimitUse, Traffic
from secoda_async.network.message import Request, Response
from secoda_async.timeline import POINTS, TimelineSampler
from tests.integrations import MemorySink, integration
from tests.network.fake_transport import FakeTransport


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("looks", [0, 1, 10, POINTS, 10 * POINTS + 7])
def test_however_long_a_run_takes_its_moments_are_few_and_reach_from_beginning_to_end(looks: int) -> None:
    source, clock = Traffic(), Clock()
    sampler = TimelineSampler(source, Traffic(), clock)
    for _ in range(looks):
        sampler.look()
        clock.now += sampler.interval
        source.attempts = round((clock.now - 100) * 30)
    told = sampler.stop()
    assert len(told.seconds) <= POINTS
    assert (told.seconds[0], told.seconds[-1]) == (0.0, pytest.approx(clock.now - 100))
    assert told.attempts == [round(second * 30) for second in told.seconds]
    gaps = {round(b - a, 3) for a, b in pairwise(told.seconds[:-1])}
    assert len(gaps) <= 1  # evenly apart, but for the last


@given(st.lists(st.floats(0, 10), max_size=900))
def test_moments_only_go_on_and_every_list_has_as_many(waits: list[float]) -> None:
    clock = Clock()
    sampler = TimelineSampler(Traffic(), Traffic(), clock)
    for wait in waits:
        sampler.look()
        clock.now += wait
    told = sampler.stop()
    assert told.seconds == sorted(told.seconds)
    lists = [told.under_way, told.waiting, told.attempts, told.uploading]
    assert {len(one) for one in lists} == {len(told.seconds)}


def test_a_limit_that_is_met_later_has_let_nothing_leave_before() -> None:
    source, clock = Traffic(), Clock()
    sampler = TimelineSampler(source, Traffic(), clock)
    sampler.look()
    use = LimitUse(RateLimit(10, per=2))
    source.hosts["geheim.example"] = HostLoad(limits=[("*", use)])
    use.requests, clock.now = 7, 101.0
    sampler.look()
    use.requests, clock.now = 9, 102.0
    [limit] = sampler.stop(lambda text: text.replace("geheim", "***")).limits
    assert (limit.host, limit.requests, limit.per, limit.left) == ("***.example", 10, 2.0, [0, 7, 9])


def test_what_waits_is_not_under_way() -> None:
    source = Traffic(in_flight=9, waiting=3, backing_off=2)
    told = TimelineSampler(source, Traffic(in_flight=1)).stop()
    assert (told.under_way, told.waiting, told.uploading) == ([4], [5], [1])


def test_a_look_after_the_end_is_none() -> None:
    sampler = TimelineSampler(Traffic(), Traffic())
    told = sampler.stop()
    sampler.look()
    assert len(sampler.stop().seconds) == len(told.seconds) + 1  # of the second end alone


async def test_a_run_tells_its_timeline() -> None:
    class Waits(FakeTransport):
        async def send(self, request: Request) -> Response:
            await anyio.sleep(0.25)
            return await super().send(request)

    async def extract(made: object) -> None:
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(made.http_get, f"https://api.example/{number}")  # type: ignore[attr-defined]

    report = await integration(extract, transport=Waits(), rate_limits={"*": RateLimit(100)}).run(MemorySink())
    told = report.timeline
    assert told is not None
    assert (told.under_way[0], told.under_way[-1]) == (0, 0)
    assert max(told.under_way) == 3
    assert [(limit.requests, limit.left[-1]) for limit in told.limits] == [(100, 3)]
