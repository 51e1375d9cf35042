"""Disturbs an integration in every way that a source may, and sees whether anything is lost without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import anyio
from anyio import to_thread

from secoda_async.errors import ConfigurationError
from secoda_async.integration import SecodaIntegration
from secoda_async.network.message import Request, Transport, innermost
from secoda_async.network.replay import ReplayTransport
from secoda_async.printable import printable
from secoda_async.report import Status
from secoda_async.testing.answer import Answer
from secoda_async.testing.child import CAN_FORK, killed_in_child
from secoda_async.testing.difference import Difference, compare
from secoda_async.testing.disturb import Killer
from secoda_async.testing.exchanges import Exchange, Key, Recorder
from secoda_async.testing.extract import MemorySink, Records, refuse_loop, without_traces
from secoda_async.testing.fake_source import FakeSource
from secoda_async.testing.fault_plan import FAULTS, KILL, plan, steps_to_kill_at
from secoda_async.testing.lab_report import Experiment, LabReport, Outcome
from secoda_async.testing.route import Route
from secoda_async.testing.virtual_time import run_virtually
from secoda_async.wording import counted

_NO_SETTINGS: Final[Mapping[str, Any]] = MappingProxyType({})
Make = Callable[[Transport], SecodaIntegration]
Source = FakeSource | Path | str | Callable[[], Transport]

_LONGEST_RUN: Final = 6 * 3600.0  # virtual seconds; as many timers of an idle run take a second
_MOST_REQUESTS: Final = 100_000  # of the undisturbed run
_REPEATS: Final = 6  # attempts a request, and one for what comes of it
_MOST_SHOWN: Final = 5
_CLIP: Final = 200  # characters of an error


class _Ended(NamedTuple):
    """How one run ended."""

    records: Records | None
    error: BaseException | None
    committed: bool
    asked: int
    excessive: bool
    """Whether it asked far more than the undisturbed run, or took six hours."""
    exchanges: Sequence[Exchange] = ()
    """Of an undisturbed run."""

    @property
    def keys(self) -> frozenset[Key]:
        """What was asked."""
        return frozenset(Key.of(exchange.request) for exchange in self.exchanges)


class FaultLab:
    """Runs an integration again and again, each time with another fault of its source, and compares the records.

    Usage::

        lab = FaultLab(lambda transport: Jobs(credentials={}, transport=transport), source)
        (await lab.run()).assert_ok()

    ``make`` gives a new integration with the ``transport``; ``source`` is a `FakeSource`, the path of a recording, or a
    function that gives a new transport. A run that is disturbed must deliver the records of the undisturbed one, or
    fail. A defect is one that is complete and lacks a record (which the next sync would remove from the workspace), has
    one twice or otherwise, and one that does not end. Faults:

    - 429 with and without ``Retry-After``, 503, an answer that takes too long, a body that breaks off, or is cut;
    - 500, or no connection, at every attempt; credentials that are refused until they are others;
    - pages that come twice, are missing, short, empty, or without the items that a total tells of;
    - answers in another order, and a fifth of all attempts disturbed;
    - a process that is killed at one of its requests, and a run that continues it (not on Windows).

    Each of the first three is tried at up to ``steps`` requests, such of every endpoint. ``spare`` are paths whose
    requests are left alone (``"/owners/{id}"``, ``"POST /search"``), ``without`` names faults to leave out, and
    ``page_params`` parameters that choose a page, where their name does not tell. The same ``seed`` is the same
    experiments. Time is virtual, and nothing leaves the machine.
    """

    def __init__(
        self,
        make: Make,
        source: Source,
        *,
        seed: int = 0,
        steps: int = 10,
        spare: Iterable[str] = (),
        without: Iterable[str] = (),
        page_params: Iterable[str] = (),
    ) -> None:
        if steps < 1:
            raise ConfigurationError(f"steps must be a number of requests of 1 or more, not {steps!r}")
        if not callable(make):
            raise ConfigurationError(
                f"a FaultLab is given a function that makes the integration, not a {type(make).__name__}; write "
                "lambda transport: Jobs(credentials={}, transport=transport)"
            )
        if not isinstance(source, FakeSource | Path | str) and not callable(source):
            raise ConfigurationError(
                f"the source of a FaultLab is a FakeSource, the path of a recording, or a function that gives a new "
                f"transport, not a {type(source).__name__}: every run begins with a new one"
            )
        self._make = make
        self._source = source
        self._seed = seed
        self._steps = steps
        self._spare = [_as_route(text) for text in spare]
        self._without = frozenset(without)
        self._page_params = frozenset(page_params)
        if unknown := self._without - FAULTS:
            known = ", ".join(sorted(FAULTS))
            raise ConfigurationError(f"without: there is no fault {', '.join(sorted(unknown))}; the faults are {known}")

    async def run(self) -> LabReport:
        """Run every experiment, in a thread with a loop of its own.

        Raises what the undisturbed run raises, and ConfigurationError where it declares nothing, asks nothing of the
        transport, or does not ask and give the same twice.
        """
        return await to_thread.run_sync(self.run_sync)

    def run_sync(self) -> LabReport:
        """`run` for a test that is a plain function. Raises RunError where an event loop runs."""
        refuse_loop("await lab.run()")
        undisturbed, records = self._undisturbed()
        experiments = tuple(self._experiments(undisturbed, records))
        return LabReport(undisturbed.asked, len(records.resources), experiments)

    def _undisturbed(self) -> tuple[_Ended, Records]:
        ended, records = self._complete()
        if not ended.exchanges:
            raise ConfigurationError(
                "the integration got no answer through its transport; give it: Jobs(…, transport=transport)"
            )
        if not records.resources:
            raise ConfigurationError("the undisturbed run declares no resource, so none can be lost")
        second, again = self._complete()
        if lines := [*_compared(records, again).lines]:
            told = "; ".join(lines[:_MOST_SHOWN])
            raise ConfigurationError(f"two undisturbed runs differ, so nothing can be compared with them: {told}")
        if ended.keys.isdisjoint(second.keys):
            raise ConfigurationError(
                "two undisturbed runs have no request in common (the first begins with "
                f"{ended.exchanges[0].request!r}), so none can be disturbed; give the integration what it takes from "
                "the clock, or by chance"
            )
        return ended, records

    def _complete(self) -> tuple[_Ended, Records]:
        ended = self._run(self._new_source(), _MOST_REQUESTS, keeps=True)
        if ended.error is not None:
            raise ended.error
        if ended.records is None:
            raise ConfigurationError("the undisturbed run does not end within six hours or 100,000 requests")
        return ended, ended.records

    def _experiments(self, undisturbed: _Ended, records: Records) -> Iterator[Experiment]:
        most = _REPEATS * undisturbed.asked + 100
        for fault, at, disturb in plan(
            undisturbed.exchanges,
            seed=self._seed,
            steps=self._steps,
            spares=self._spares,
            page_params=self._page_params,
            is_replay=isinstance(innermost(self._new_source()), ReplayTransport),
        ):
            if fault not in self._without:
                source, met = disturb(self._new_source())
                ended = self._run(source, most)
                yield Experiment(fault, at, *_judged(records, ended, is_met=met() > 0, enough=undisturbed.asked))
        if KILL not in self._without and CAN_FORK:
            for step in steps_to_kill_at(undisturbed.asked, self._seed):
                ended = self._killed_and_continued(step, most)
                judged = _judged(records, ended, is_met=ended is not _NOT_KILLED, enough=undisturbed.asked)
                yield Experiment(KILL, f"request {step}", *judged)

    def _killed_and_continued(self, step: int, most: int) -> _Ended:
        with TemporaryDirectory(prefix="secoda-async-lab-") as name:
            settings = {"state_dir": Path(name), "resumable": True}
            killer = Killer(self._new_source(), step)
            if not killed_in_child(lambda: self._run(killer, most, settings)):
                return _NOT_KILLED
            return self._run(self._new_source(), most, {**settings, "resume": "last"})

    def _run(
        self, source: Transport, most: int, settings: Mapping[str, Any] = _NO_SETTINGS, *, keeps: bool = False
    ) -> _Ended:
        """One run in virtual time, ended where it asks too much or takes too long."""

        async def run() -> _Ended:
            sink = MemorySink()
            error: BaseException | None = None
            records: Records | None = None
            with anyio.move_on_after(_LONGEST_RUN) as scope:
                recorder = Recorder(source, most, scope.cancel, keeps=keeps)
                integration = self._make(recorder)
                integration.configure("fault laboratory", **settings)
                try:
                    async with without_traces(integration):
                        records = sink.records(await integration.run(sink))
                except Exception as exc:  # noqa: BLE001 # whatever it is, the run failed by it
                    error = exc
            return _Ended(records, error, sink.committed, recorder.asked, scope.cancelled_caught, recorder.exchanges)

        return run_virtually(run())

    def _new_source(self) -> Transport:
        match self._source:
            case FakeSource():
                return self._source.fresh()
            case Path() | str():
                return ReplayTransport(self._source)
            case _:
                return self._source()

    def _spares(self, request: Request) -> bool:
        return any(route.match(request) is not None for route in self._spare)


_NOT_KILLED: Final = _Ended(None, None, committed=False, asked=0, excessive=False)


def _judged(
    expected: Records, ended: _Ended, *, is_met: bool, enough: int
) -> tuple[Outcome, str] | tuple[Outcome, str, Difference]:
    """What became of a disturbed run, why, and how its records differ."""
    if ended.excessive:
        return Outcome.DEFECT, f"it does not end: {counted(ended.asked, 'request')}, {enough:,} without the fault"
    if not is_met:
        return Outcome.NOT_MET, ""
    if ended.error is not None:
        told = printable(f"{type(ended.error).__name__}: {ended.error}", _CLIP)
        if ended.committed:
            return Outcome.DEFECT, f"it delivered although it failed ({told})"
        return Outcome.FAILED, told
    assert ended.records is not None
    if ended.records.report.status is not Status.COMPLETE:
        return Outcome.DEGRADED, ""
    difference = _compared(expected, ended.records)
    told = "; ".join(_losses(difference, len(expected.resources)))
    return (Outcome.DEFECT, told, difference) if told else (Outcome.SAME, "")


def _compared(before: Records, now: Records) -> Difference:
    return compare((before.resources, before.lineage), (now.resources, now.lineage))


def _losses(difference: Difference, resources: int) -> Iterator[str]:
    rows = (
        (difference.missing, f"lost, of {counted(resources, 'resource')}, so the next sync would remove them"),
        (difference.lineage_missing, "lost lineage"),
        (difference.repeated, "duplicates"),
        ([one.id for one in difference.changed], "changed"),
        (difference.added, "not in the undisturbed run"),
        (difference.lineage_added, "lineage that is not in the undisturbed run"),
    )
    for found, what in rows:
        if found:
            more = f" and {len(found) - _MOST_SHOWN:,} more" if len(found) > _MOST_SHOWN else ""
            yield f"{len(found):,} {what}: {', '.join(map(printable, found[:_MOST_SHOWN]))}{more}"


def _as_route(text: str) -> Route:
    method, space, path = text.partition(" ")
    return Route(method, path, Answer()) if space else Route("*", text, Answer())
