"""Where processor time goes: each layer's work is found where it was done."""

import asyncio
import gc
import inspect
import signal
import threading
import time
from collections.abc import Callable

import orjson
import pytest
from yarl import URL

from secoda_async import ConfigurationError, Resource
from secoda_async.cpu_sampler import CPUSample, sampled_cpu
from secoda_async.models import Record
from secoda_async.pipeline.encode import encode

# One long text: what becomes of many small objects is done where they are let go, which is your code.
BODY = orjson.dumps("a line\n" * 20_000)


def until(sample: CPUSample, looks: int, work: Callable[[], object]) -> None:
    """Work for so many looks: a kernel whose processors are busy otherwise lets them come seldom."""
    end = sample.count + looks
    while sample.count < end:
        work()


def burn() -> int:
    return sum(number * number for number in range(2000))


def parse() -> None:
    orjson.loads(BODY)


def build() -> list[Record]:
    return [Resource(entity_type="table", databuilder_id="x", title="y") for _ in range(100)]


def shares_of(*works: tuple[int, Callable[[], object]]) -> dict[str, float]:
    with sampled_cpu() as sample:
        for looks, work in works:
            until(sample, looks, work)
    shares = sample.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    return shares


def test_shares_are_in_the_order_of_what_was_burnt() -> None:
    [record] = [Resource(entity_type="table", databuilder_id="x", title="y")]
    shares = shares_of(
        (200, burn), (90, parse), (20, lambda: [encode(record) for _ in range(1000)]), (10, lambda: URL("http://x/"))
    )
    assert list(shares)[:2] == ["your code", "JSON"]
    assert shares["JSON"] > shares["declare and spool"] > 0


def test_a_signal_during_a_look_counts_no_time_twice() -> None:
    sample = CPUSample()
    handler = sample._look

    class Known(dict[str, str | None]):
        """Lets a signal come in the middle of a look."""

        def __getitem__(self, file: str) -> str | None:
            handler(signal.SIGPROF, None)
            return "your code"

    sample._known = Known()
    burn()
    handler(signal.SIGPROF, inspect.currentframe())
    assert sample.count == 1
    assert sum(sample.shares().values()) == pytest.approx(1)


def test_records_are_told_apart_from_the_code_that_builds_them() -> None:
    shares = shares_of((120, build), (20, burn))
    assert max(shares, key=shares.__getitem__) == "building records"
    assert shares["your code"] > 0


def test_what_the_standard_library_does_for_you_is_your_code() -> None:
    from fractions import Fraction

    assert shares_of((50, lambda: Fraction("3.25") + Fraction(1, 3)))["your code"] > 0.9


def test_a_loop_that_only_turns_is_the_event_loop() -> None:
    async def turn(sample: CPUSample) -> None:
        while sample.count < 60:
            for _ in range(200):
                await asyncio.sleep(0)

    with sampled_cpu() as sample:
        asyncio.run(turn(sample))
    shares = sample.shares()
    assert max(shares, key=shares.__getitem__) == "event loop"


def test_garbage_collection_is_no_code_of_yours() -> None:
    kept = [[number] for number in range(300_000)]
    shares = shares_of((60, gc.collect), (10, burn))
    assert len(kept) == 300_000
    assert max(shares, key=shares.__getitem__) == "garbage collection"


def test_what_other_threads_burn_is_not_counted() -> None:
    ended = threading.Event()

    def other() -> None:
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            burn()
        ended.set()

    with sampled_cpu() as sample:
        threading.Thread(target=other).start()
        ended.wait()
    assert sample.seconds < 0.1


def test_without_a_look_there_are_no_shares() -> None:
    assert CPUSample().shares() == {}


def test_the_process_is_left_as_it_was_even_after_an_error() -> None:
    before, callbacks = signal.getsignal(signal.SIGPROF), [*gc.callbacks]
    with pytest.raises(RuntimeError, match="the end"), sampled_cpu():
        raise RuntimeError("the end")
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert gc.callbacks == callbacks


def test_another_thread_is_refused_with_a_reason() -> None:
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with sampled_cpu():
                raise AssertionError("it was entered")
        except ConfigurationError as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert [str(error) for error in errors] == ["processor time can be sampled in the main thread only"]
