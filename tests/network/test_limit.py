"""A declared rate is a promise about every window, kept first come, first served, whatever is cancelled meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import ConfigurationError
from secoda_async.network.control import Fixed
from secoda_async.network.endpoint import Endpoint
from secoda_async.network.gate import Gate, Key
from secoda_async.network.limit import Limit
from secoda_async.network.message import Options, Request, Response, Transport
from secoda_async.network.stream import StreamedResponse
from secoda_async.network.transport import AiohttpTransport
from secoda_async.settings import RateLimit, Timeout
from secoda_async.testing.virtual_time import VirtualTimeLoop, run_virtually
from tests.server import serve

TURN = 1e-4  # more virtual seconds than the turns of the loop between a grant and what follows it
HOST = "http://one.example"


@dataclass
class Source(Transport):
    """Answers after a while, and remembers who came when."""

    service: Callable[[str], float] = lambda _: 0.0
    answer: Callable[[int], tuple[int, dict[str, str]]] = lambda _: (200, {})
    arrivals: list[tuple[float, str]] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    @override
    async def send(self, request: Request) -> Response:
        order = len(self.arrivals)
        self.arrivals.append((now(), str(request.url)))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.service(str(request.url)))
        finally:
            self.in_flight -= 1
        status, headers = self.answer(order)
        return Response(request, status, headers=CIMultiDictProxy(CIMultiDict(headers)))

    @override
    async def aclose(self) -> None:
        return

    def times(self, prefix: str = "") -> list[float]:
        return [time for time, url in self.arrivals if url.startswith(prefix)]


def now() -> float:
    return asyncio.get_running_loop().time()


def limited(
    source: Transport,
    limits: Mapping[str, RateLimit | Iterable[RateLimit]],
    *,
    slots: int = 1000,
    traffic: Traffic | None = None,
) -> Limit:
    return Limit(source, limits, control=lambda _: Fixed(slots), longest_pause=300, traffic=traffic or Traffic())


def get(url: str) -> Request:
    return Request("GET", URL(url, encoded=True))


def fullest_window(times: list[float], per: float) -> int:
    """The most arrivals that any half-open window of this length holds, wherever it begins."""
    return max(sum(start <= time < start + per for time in times) for start in times)


async def send_many(limit: Limit, urls: Iterable[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for url in urls:
            group.create_task(limit.send(get(url)))


class Job(NamedTuple):
    arrival: float
    service: float
    cancelled_after: float | None


seconds = st.integers(0, 3000).map(lambda ms: ms / 1000)


@st.composite
def rate_limits(draw: st.DrawFn, *, least_per: float = 0.05) -> RateLimit:
    requests = draw(st.integers(1, 12))
    per = draw(st.sampled_from([per for per in (0.05, 0.5, 1.0, 2.0, 10.0, 60.0) if per >= least_per]))
    return RateLimit(requests, per=per, burst=draw(st.none() | st.integers(1, requests)))


jobs = st.builds(Job, arrival=seconds, service=seconds, cancelled_after=st.none() | seconds)


@settings(max_examples=150, deadline=None)
@given(
    limits=st.lists(rate_limits(), max_size=2),
    slots=st.integers(1, 6),
    plan=st.lists(jobs, min_size=1, max_size=40),
)
@example(  # cancelled in the turn in which the slot of the one before becomes free
    limits=[RateLimit(1)], slots=1, plan=[Job(0, 2.0, None), Job(0, 0, 2.0), Job(0, 0, None)]
)
def test_no_window_no_slot_and_no_order_is_ever_broken_and_nobody_starves(
    limits: list[RateLimit], slots: int, plan: list[Job]
) -> None:
    plan = sorted(plan, key=lambda job: job.arrival)
    traffic = Traffic()
    source = Source(service=lambda url: plan[int(url.rsplit("/", 1)[1])].service)
    finished: list[int] = []

    async def one(limit: Limit, number: int, job: Job) -> None:
        await asyncio.sleep(job.arrival)
        await limit.send(get(f"{HOST}/{number}"))
        finished.append(number)

    async def play() -> None:
        limit = limited(source, {"one.example": limits}, slots=slots, traffic=traffic)
        tasks = [asyncio.create_task(one(limit, number, job)) for number, job in enumerate(plan)]
        for task, job in zip(tasks, plan, strict=True):
            if job.cancelled_after is not None:
                asyncio.get_running_loop().call_later(job.cancelled_after, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        # Every slot came back: as many as there are can be in flight again.
        source.peak = 0
        source.service = lambda _: 1000.0
        await send_many(limit, [f"{HOST}/last"] * slots)
        assert source.peak == slots

    run_virtually(play())
    for each in limits:
        assert fullest_window(source.times(), each.per) <= each.requests
    assert source.peak <= slots
    uncancelled = {number for number, job in enumerate(plan) if job.cancelled_after is None}
    assert uncancelled <= set(finished)
    sent = {int(url.rsplit("/", 1)[1]): time for time, url in source.arrivals if not url.endswith("last")}
    for (earlier, first), (later, second) in pairwise(sorted(sent.items())):
        if plan[earlier].arrival < plan[later].arrival:
            assert first <= second + TURN
    assert traffic.waiting == 0


@settings(max_examples=60, deadline=None)
@given(limit=rate_limits(least_per=1.0), share=st.floats(0.05, 3.0), data=st.data())
@example(limit=RateLimit(10), share=0.9, data=None)
def test_a_saturated_gate_gives_at_least_95_percent_of_what_was_promised(
    limit: RateLimit, share: float, data: Any
) -> None:
    """Also where answers, which have the gate looked at, come a little faster than requests may leave."""
    windows = 5
    service = share * min(limit.per, 1.0) / limit.requests
    source = Source(service=lambda _: service)
    slots = 2 + int(share)

    async def play() -> None:
        gate = limited(source, {"one.example": limit}, slots=slots + limit.requests)
        await send_many(gate, [HOST] * (windows * limit.requests + 1))

    run_virtually(play())
    times = source.times()
    assert fullest_window(times, limit.per) <= limit.requests
    assert windows * limit.per / (times[-1] - times[0]) >= 0.95


class LateLoop(VirtualTimeLoop):
    """Its timers are up to 2 ms late, as real ones are."""

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(1)

    @override
    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return super().call_at(when + self._random.uniform(0, 0.002), callback, *args, context=context)


@pytest.mark.parametrize("requests", [1, 10, 39, 40, 41, 80, 100, 500, 2000])
def test_late_timers_break_no_window_and_cost_less_than_five_percent(requests: int) -> None:
    source = Source(service=lambda _: 0.095)

    async def play() -> None:
        await send_many(limited(source, {"one.example": RateLimit(requests)}, slots=1000), [HOST] * (5 * requests + 1))

    with asyncio.Runner(loop_factory=LateLoop) as runner:
        runner.run(play())
    times = source.times()
    spacing = [later - earlier for earlier, later in zip(times, times[requests:], strict=False)]
    assert min(spacing) >= 1.0
    assert 5 / (times[-1] - times[0]) >= 0.95


def test_two_windows_hold_at_once_and_the_stricter_sets_the_rate() -> None:
    source = Source()

    async def play() -> None:
        await send_many(limited(source, {"*": [RateLimit(10), RateLimit(1000, per=3600)]}), [HOST] * 2001)

    run_virtually(play())
    times = source.times()
    assert min(later - earlier for earlier, later in zip(times, times[10:], strict=False)) >= 1
    assert min(later - earlier for earlier, later in zip(times, times[1000:], strict=False)) >= 3600
    assert 2 * 3600 / (times[-1] - times[0]) >= 0.95


def test_a_burst_leaves_at_one_moment_and_not_one_request_more() -> None:
    source = Source()

    async def play() -> None:
        await send_many(limited(source, {"*": RateLimit(100, per=60, burst=7)}), [HOST] * 50)

    run_virtually(play())
    times = source.times()
    assert sum(time < times[0] + TURN for time in times) == 7


@pytest.mark.parametrize("turns", range(6))
def test_a_request_cancelled_around_the_turn_of_its_grant_takes_no_slot_with_it(turns: int) -> None:
    async def play() -> list[str]:
        traffic = Traffic()
        gate = Gate(Fixed(1), traffic)
        lane = gate.lane([Key([])])
        entered: list[str] = []

        async def enter(name: str) -> None:
            await gate.enter(lane)
            entered.append(name)

        await gate.enter(lane)
        second, third = asyncio.create_task(enter("second")), asyncio.create_task(enter("third"))
        await asyncio.sleep(0)
        gate.leave(lane)
        for _ in range(turns):
            await asyncio.sleep(0)
        cancelled = second.cancel()
        await asyncio.wait([second])
        if not cancelled:  # it had entered, and holds the slot that the third waits for
            gate.leave(lane)
        await third
        assert traffic.waiting == 0
        gate.leave(lane)
        await gate.enter(lane)
        return entered

    entered = run_virtually(play())
    assert entered[-1] == "third"


def test_the_head_that_is_cancelled_passes_its_turn_on() -> None:
    async def play() -> float:
        gate = Gate(Fixed(1), Traffic())
        lane = gate.lane([Key([RateLimit(1, per=10)])])
        await gate.enter(lane)
        gate.leave(lane)
        head, next_one = asyncio.create_task(gate.enter(lane)), asyncio.create_task(gate.enter(lane))
        await asyncio.sleep(1)
        head.cancel()
        await next_one
        return now()

    assert run_virtually(play()) == pytest.approx(10.15, abs=0.01)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("slots", "limits"), [(1, []), (3, []), (3, RateLimit(10)), (1000, RateLimit(10))])
def test_retry_after_pauses_those_already_queued_too(status: int, slots: int, limits: Any) -> None:
    """A free slot is no way around it: the pause stands before the slot of the refused request is given back."""
    source = Source(
        service=lambda _: 0.01,
        answer=lambda order: (status, {"Retry-After": "30"}) if order == 0 else (200, {}),
    )

    async def play() -> None:
        await send_many(limited(source, {"*": limits}, slots=slots), [HOST] * 20)

    run_virtually(play())
    times = source.times()
    refused = times[0] + 0.01
    assert not [time for time in times if refused <= time < refused + 30]
    assert len(times) == 20


def test_a_pause_longer_than_is_obeyed_stops_nobody() -> None:
    source = Source(answer=lambda _: (429, {"Retry-After": "301"}))

    async def play() -> float:
        await send_many(limited(source, {}), [HOST] * 3)
        await send_many(limited(source, {}), [HOST])
        return now()

    assert run_virtually(play()) < 1


def test_the_longer_of_two_pauses_holds() -> None:
    waits = ["20", "5"]
    source = Source(answer=lambda order: (429, {"Retry-After": waits[order]}) if order < 2 else (200, {}))

    async def play() -> float:
        limit = limited(source, {})
        await send_many(limit, [HOST] * 2)
        await send_many(limit, [HOST])
        return source.times()[-1]

    assert run_virtually(play()) == pytest.approx(20, abs=0.01)


def test_a_throttled_host_does_not_slow_a_free_one() -> None:
    source = Source(service=lambda _: 0.01)

    async def play() -> None:
        urls = [f"http://{host}/" for _ in range(40) for host in ("slow.example", "free.example")]
        await send_many(limited(source, {"slow.example": RateLimit(1)}, slots=4), urls)

    run_virtually(play())
    assert max(source.times("http://free.example")) < 0.2
    assert max(source.times("http://slow.example")) > 39


def test_waiting_is_counted_while_it_lasts_and_added_up() -> None:
    traffic = Traffic()

    async def play() -> None:
        limit = limited(Source(service=lambda _: 1.0), {}, slots=1, traffic=traffic)
        task = asyncio.create_task(send_many(limit, [HOST] * 3))
        await asyncio.sleep(0.5)
        assert traffic.waiting == 2
        await task

    run_virtually(play())
    assert traffic.waiting == 0
    assert traffic.waited == pytest.approx(1 + 2, abs=0.01)


def test_a_request_that_fails_gives_its_slot_back() -> None:
    class Broken(Source):
        @override
        async def send(self, request: Request) -> Response:
            await super().send(request)
            raise ConnectionResetError

    source = Broken()

    async def play() -> None:
        limit = limited(source, {}, slots=1)
        for _ in range(3):
            with pytest.raises(ConnectionResetError):
                await limit.send(get(HOST))

    run_virtually(play())
    assert len(source.arrivals) == 3


class Call(NamedTuple):
    arrival: float
    service: float
    path: str
    weight: int


PATHS = ("/", "/search", "/search/deep", "/other")
calls = st.builds(Call, arrival=seconds, service=seconds, path=st.sampled_from(PATHS), weight=st.integers(1, 4))
wide_limits = st.builds(RateLimit, st.integers(4, 12), per=st.sampled_from([0.5, 1.0, 10.0]))


def weighing(path: str, weight: int) -> Request:
    return get(HOST + path)._replace(options=Options(weight=weight))


@settings(max_examples=150, deadline=None)
@given(
    limits=st.dictionaries(
        st.sampled_from(["one.example", "one.example/search", "one.example/search/**", "GET one.example/*"]),
        wide_limits,
    ),
    slots=st.integers(1, 6),
    plan=st.lists(calls, min_size=1, max_size=40),
)
def test_every_key_that_matches_holds_by_weight_and_nobody_starves(
    limits: dict[str, RateLimit], slots: int, plan: list[Call]
) -> None:
    plan = sorted(plan, key=lambda call: call.arrival)
    source = Source(service=lambda _: 0.05)
    sent: list[tuple[float, Call]] = []

    class Noting(Source):
        @override
        async def send(self, request: Request) -> Response:
            sent.append((now(), Call(0, 0, request.url.path, request.options.weight)))
            return await source.send(request)

    async def one(limit: Limit, call: Call) -> None:
        await asyncio.sleep(call.arrival)
        await limit.send(weighing(call.path, call.weight))

    async def play() -> None:
        limit = limited(Noting(), limits, slots=slots)
        async with asyncio.TaskGroup() as group:
            for call in plan:
                group.create_task(one(limit, call))

    run_virtually(play())
    assert len(sent) == len(plan)
    assert source.peak <= slots
    for name, each in limits.items():
        endpoint = Endpoint.parse(name, setting="test")
        mine = [(time, call) for time, call in sent if endpoint.matches("GET", URL(HOST + call.path))]
        for start, _ in mine:
            assert sum(call.weight for time, call in mine if start <= time < start + each.per) <= each.requests


def test_a_heavy_request_is_not_starved_by_light_ones_that_keep_coming() -> None:
    source = Source()
    order: list[int] = []

    async def one(limit: Limit, number: int, weight: int) -> None:
        await asyncio.sleep(number * 0.1)
        await limit.send(weighing("/", weight))
        order.append(number)

    async def play() -> None:
        limit = limited(source, {"*": RateLimit(5)})
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(one(limit, number, 5 if number == 10 else 1))

    run_virtually(play())
    assert order == list(range(100))


@pytest.mark.parametrize("limit", [RateLimit(100), RateLimit(100, burst=100), RateLimit(100, per=60), RateLimit(8)])
def test_requests_of_a_weight_leave_as_many_times_more_rarely(limit: RateLimit) -> None:
    source = Source()

    async def play() -> None:
        gate = limited(source, {"*": limit})
        async with asyncio.TaskGroup() as group:
            for _ in range(limit.requests + 1):
                group.create_task(gate.send(weighing("/", 4)))

    run_virtually(play())
    times = source.times()
    assert fullest_window(times, limit.per) <= limit.requests / 4
    assert 4 * limit.per / (times[-1] - times[0]) >= 0.95


def test_a_weight_that_can_never_pass_is_an_error_that_says_what_can() -> None:
    async def play() -> None:
        limit = limited(Source(), {"one.example": RateLimit(10), "one.example/search": RateLimit(3)})
        await limit.send(weighing("/", 10))
        with pytest.raises(ConfigurationError, match=r"weight=4 can never pass: its rate limit takes 3"):
            await limit.send(weighing("/search", 4))

    run_virtually(play())


def test_a_path_with_a_limit_of_its_own_holds_up_only_itself_and_counts_for_its_host() -> None:
    source = Source()

    async def play() -> None:
        limits = {"one.example": RateLimit(10), "GET one.example/search": RateLimit(1, per=10)}
        await send_many(limited(source, limits), [f"{HOST}/search"] * 3 + [f"{HOST}/tables"] * 17)

    run_virtually(play())
    assert max(source.times(f"{HOST}/tables")) < 2
    first, second, third = source.times(f"{HOST}/search")
    assert min(second - first, third - second) >= 10
    assert fullest_window(source.times(), 1.0) <= 10


def test_a_path_without_a_declared_host_has_its_limit_and_the_host_none() -> None:
    source = Source()

    async def play() -> Limit:
        limit = limited(source, {"one.example/search": RateLimit(1, per=10), "POST one.example": RateLimit(1)})
        await send_many(limit, [f"{HOST}/search"] * 2 + [f"{HOST}/tables"] * 17)
        return limit

    assert run_virtually(play()).unmatched == ["POST one.example"]
    assert max(source.times(f"{HOST}/tables")) < 0.1
    assert max(source.times(f"{HOST}/search")) >= 10


def test_a_refusal_of_one_path_pauses_that_path_only() -> None:
    source = Source(answer=lambda order: (429, {"Retry-After": "30"}) if order == 0 else (200, {}))

    async def play() -> None:
        limit = limited(source, {"one.example/search": RateLimit(100)})
        await send_many(limit, [f"{HOST}/search"])
        await send_many(limit, [f"{HOST}/search", f"{HOST}/tables"])

    run_virtually(play())
    assert max(source.times(f"{HOST}/tables")) < 1
    assert max(source.times(f"{HOST}/search")) >= 30


def quota(remaining: int, reset: float) -> dict[str, str]:
    return {"X-RateLimit-Remaining": f"{remaining}", "X-RateLimit-Reset": f"{reset}"}


@pytest.mark.parametrize("at_once", [1, 7, 200])
@pytest.mark.parametrize("limits", [{}, {"*": RateLimit(1000)}])
def test_what_a_server_says_is_left_is_never_exceeded(at_once: int, limits: Any) -> None:
    """A fixed window of 50 in 10 s, told in every answer; nobody is refused, whoever overtakes whom."""
    counts: dict[int, int] = {}
    jitter = random.Random(1)

    def answer(_: int) -> tuple[int, dict[str, str]]:
        window = int(now() // 10)
        counts[window] = counts.get(window, 0) + 1
        return 200, quota(max(0, 50 - counts[window]), (window + 1) * 10 - now())

    source = Source(service=lambda _: 0.001 + jitter.random() * 0.2, answer=answer)

    async def play() -> None:
        await limited(source, limits).send(get(HOST))
        await send_many(limited(source, limits, slots=at_once), [HOST] * 199)

    run_virtually(play())
    full = sorted(counts.items())
    # Before the first answer nothing is known, so as many as there are slots may be on their way.
    assert all(count <= 50 for _, count in full[1:]), full
    assert full[0][1] <= max(50, at_once)


def test_a_quota_that_is_used_up_pauses_the_whole_host_until_its_reset_and_no_longer() -> None:
    source = Source(answer=lambda order: (200, quota(0, 20)) if order == 0 else (200, {}))

    async def play() -> None:
        limit = limited(source, {})
        await send_many(limit, [HOST])
        await send_many(limit, [f"{HOST}/other"] * 10)

    run_virtually(play())
    others = source.times(f"{HOST}/other")
    assert min(others) >= 20
    assert max(others) < 20.1


def test_a_quota_never_raises_what_was_declared() -> None:
    source = Source(answer=lambda _: (200, quota(10_000, 1)))

    async def play() -> None:
        await send_many(limited(source, {"*": RateLimit(10)}), [HOST] * 41)

    run_virtually(play())
    assert fullest_window(source.times(), 1.0) <= 10


def test_a_reset_further_off_than_is_obeyed_stops_nobody() -> None:
    source = Source(answer=lambda _: (200, quota(0, 301)))

    async def play() -> float:
        limit = limited(source, {})
        await send_many(limit, [HOST])
        await send_many(limit, [HOST] * 3)
        return now()

    assert run_virtually(play()) < 1


class Streaming(Source):
    """Gives streamed answers."""

    @override
    async def send(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"x"

        async def close() -> None:
            return

        response = await super().send(request)
        made = StreamedResponse(request, response.status_code, pieces=pieces(), close=close)
        made.headers = response.headers
        return made


def test_a_streamed_answer_keeps_its_slot_until_it_is_closed() -> None:
    source = Streaming()

    async def play() -> None:
        limit = limited(source, {}, slots=1)
        reply = await limit.send(get(HOST))
        waiting = asyncio.create_task(limit.send(get(HOST)))
        await asyncio.sleep(1)
        assert len(source.arrivals) == 1
        await reply.aclose()
        await reply.aclose()
        await (await waiting).aclose()
        assert len(source.arrivals) == 2

    run_virtually(play())


def test_a_streamed_answer_that_is_open_uses_up_its_quota_once() -> None:
    source = Streaming(answer=lambda order: (200, quota(max(0, 2 - order), 100)))

    async def play() -> None:
        limit = limited(source, {}, slots=9)
        reply = await limit.send(get(HOST))  # two are left
        others = [await asyncio.wait_for(limit.send(get(HOST)), 1) for _ in range(2)]
        await asyncio.wait_for(limit.send(get(HOST)), 101)  # in the next period
        for one in (reply, *others):
            await one.aclose()

    run_virtually(play())


@pytest.mark.parametrize(
    ("key", "url", "matches"),
    [
        ("api.example", "https://api.example/x", True),
        ("api.example", "http://api.example:8080/x", True),
        ("API.Example", "https://api.example/x", True),
        ("api.example", "https://API.Example/x", True),
        ("api.example", "https://other.example/x", False),
        ("api.example", "https://sub.api.example/x", False),
        ("api.example:443", "https://api.example/x", True),
        ("api.example:80", "http://api.example/x", True),
        ("api.example:443", "http://api.example/x", False),
        ("api.example:8080", "http://api.example:8080/", True),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example/", True),
        ("[::1]", "http://[::1]:8000/", True),
        ("[::1]:8000", "http://[::1]:8000/", True),
        ("[::1]:8000", "http://[::1]:8001/", False),
        ("127.0.0.1:80", "http://127.0.0.1/", True),
        ("*", "http://whatever.example/", True),
    ],
)
def test_a_key_matches_its_host_and_one_that_never_matched_is_known(key: str, url: str, matches: bool) -> None:
    source = Source()

    async def play() -> Limit:
        limit = limited(source, {key: RateLimit(1, per=10)})
        await send_many(limit, [url] * 2)
        return limit

    limit = run_virtually(play())
    first, second = source.times()
    assert (second - first >= 10) is matches
    assert (not limit.unmatched) is matches


def test_the_most_precise_key_wins() -> None:
    source = Source()
    limits = {"*": RateLimit(1, per=1000), "a.example": RateLimit(1, per=100), "a.example:81": RateLimit(1, per=10)}

    async def play() -> None:
        urls = [f"http://{host}/" for host in ("a.example:81", "a.example", "b.example") for _ in range(2)]
        await send_many(limited(source, limits), urls)

    run_virtually(play())
    for host, per in (("a.example:81", 10), ("a.example/", 100), ("b.example", 1000)):
        first, second = source.times(f"http://{host}")
        assert second - first == pytest.approx(per * 1.015, rel=1e-3)


def test_a_key_without_port_is_one_budget_for_all_ports_and_a_star_one_for_each_host() -> None:
    source = Source()

    async def play(limits: dict[str, RateLimit], urls: list[str]) -> float:
        await send_many(limited(source, limits), urls)
        return now()

    one_host = ["http://a.example:1/", "http://a.example:2/"]
    assert run_virtually(play({"a.example": RateLimit(1, per=10)}, one_host)) >= 10
    assert run_virtually(play({"*": RateLimit(1, per=10)}, ["http://a.example/", "http://b.example/"])) < 1


@pytest.mark.parametrize(
    "key",
    [
        *(
            "",
            "https://a.example",
            "user@a.example",
            "a b",
            "a.example\n",
            "*.example",
            "[",
            "/path",
            "GET ",
            "GET /path",
        ),
        *(
            "a.example:port",
            "a.example:99999",
            "::1",
            5,
            None,
            "get a.example",
            "GET POST a.example",
            "GET https://a.example",
        ),
    ],
)
def test_what_is_no_key_is_refused_with_what_a_key_is(key: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"rate_limits: .* is no host; use a host, host:port or \"\*\", "):
        limited(Source(), {key: RateLimit(1)})


def test_two_spellings_of_one_host_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"rate_limits: .*A\.example.*the same"):
        limited(Source(), {"a.example": RateLimit(1), "A.example": RateLimit(2)})


async def test_a_server_counts_no_more_arrivals_in_any_second_than_were_promised() -> None:
    """Real sockets, real time: the server's own clock says when each request came."""
    arrivals: dict[str, float] = {}
    left: dict[str, float] = {}

    async def handle(request: web.Request) -> web.Response:
        arrivals[request.path] = now()
        await asyncio.sleep(len(arrivals) % 5 * 0.02)  # answers that pile up and come back together
        return web.Response()

    class Noted(AiohttpTransport):
        @override
        async def send(self, request: Request) -> Response:
            left[request.url.path] = now()
            return await super().send(request)

    limit = RateLimit(60)
    async with serve(handle) as url:
        transport = Noted(timeout=Timeout(), verify=True, max_body=1000, traffic=Traffic(), user_agent="test")
        gate = limited(transport, {"127.0.0.1": limit}, slots=16)
        try:
            await send_many(gate, [f"{url}/{number}" for number in range(130)])
        finally:
            await gate.aclose()
    assert len(arrivals) == 130
    # What was on the way for longer than the others came closer to those behind it: that is not the gate's doing.
    on_the_way = [arrivals[path] - left[path] for path in left]
    assert fullest_window([*arrivals.values()], limit.per - (max(on_the_way) - min(on_the_way))) <= 60
