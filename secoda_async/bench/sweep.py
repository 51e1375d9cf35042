"""A benchmark: runs of an integration on a journal, one process each, point after point, round after round."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from secoda_async.bench.bottleneck import Bottleneck, bottlenecks_of, cpu_parts
from secoda_async.bench.measure import Ended, Figures, made
from secoda_async.bench.plan import LONG, USUAL, Concurrency, Conditions, Job, how_to_record, least_seconds, name_of
from secoda_async.bench.recording import Recording
from secoda_async.errors import BenchmarkError, ConfigurationError
from secoda_async.integration import SecodaIntegration
from secoda_async.job_process import JobDied, run_job
from secoda_async.redact import Redactor
from secoda_async.settings import RateLimit
from secoda_async.version import __version__

FORMAT: Final = 1
_SHOWN: Final = 3  # names in a message


class Plan(NamedTuple):
    """What is about to be measured."""

    integration: str
    conditions: Conditions
    recording: Recording
    limits: Mapping[str, Sequence[RateLimit]]
    points: Sequence[Concurrency]
    left_out: Sequence[tuple[Concurrency, float]]
    """Points that are usual and would take long, with the seconds of one run."""
    rounds: int
    seconds: float
    """What all of it takes at least."""


class PointReport(BaseModel):
    """One point of the sweep."""

    concurrency: Concurrency
    """None: adaptive."""
    seconds: list[float]
    """What ``extract`` took in each round."""
    requests_per_second: float
    records_per_second: float
    figures: Figures
    """Of the round whose time is the median; ``cpu_shares`` are those of all rounds."""
    bottlenecks: list[Bottleneck]
    """What held it up, the worst first; at least one."""
    cpu: dict[str, float]
    """Shares of processor time, as they matter to who wrote the integration."""

    @property
    def name(self) -> str:
        return name_of(self.concurrency)


class BenchReport(BaseModel):
    """What a benchmark came to. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    version: str = __version__
    integration: str
    conditions: Conditions
    limits: dict[str, list[tuple[int, float]]]
    """Requests and seconds of each limit that held, declared ones included."""
    rounds: int
    recorded: int
    """Answers of the journal."""
    asked: int
    """Answers that a run asked for, repeats not counted."""
    replay_requests_per_second: float
    """What the replay itself can serve: no run can be faster."""
    replay_in_memory: bool
    points: list[PointReport]
    best: Concurrency
    """The point with the most requests a second; None: adaptive."""

    @property
    def best_point(self) -> PointReport:
        return next(point for point in self.points if point.concurrency == self.best)


def plan(
    found: type[SecodaIntegration],
    conditions: Conditions,
    credentials: dict[str, Any],
    *,
    points: Sequence[Concurrency] = (),
    rounds: int,
) -> Plan:
    """Look whether it can be measured, and how long it takes. Without ``points`` the usual ones that are not long.

    Raises ConfigurationError where the journal, a limit or the integration cannot be used.
    """
    name = found.__name__
    try:
        recording = Recording.of(conditions.journal, name)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{exc}. {how_to_record(conditions.target, conditions.journal)}") from None
    limits = conditions.rate_limits(made(found, credentials, conditions).settings.rate_limits)
    for key in conditions.limits or ():
        if not recording.under(key):
            hosts = sorted({f"{url.host}:{url.port}" for _, url in recording.asked})
            more = ", …" if len(hosts) > _SHOWN else ""
            raise ConfigurationError(
                f"--limit {key}: no recorded request is meant by it; the journal's hosts are "
                f"{', '.join(hosts[:_SHOWN])}{more}"
            )
    least = {one: least_seconds(recording, conditions, limits, one) for one in points or USUAL}
    left_out = [] if points else [one for one in least if one is not None and _is_long(least[one], least[None])]
    kept = [one for one in least if one not in left_out]
    return Plan(
        name,
        conditions,
        recording,
        limits,
        kept,
        [(one, least[one]) for one in left_out],
        rounds,
        rounds * sum(least[one] for one in kept),
    )


def _is_long(seconds: float, by_limits: float) -> bool:
    return seconds > LONG and seconds > by_limits  # what a limit makes long is as long at any concurrency


def sweep(
    measured: Plan, credentials: dict[str, Any], *, on_run: Callable[[int, Concurrency], None] = lambda *_: None
) -> BenchReport:
    """Make all runs. ``on_run`` is told the round, from 1, and the point before each.

    Raises BenchmarkError where a run failed, and ConfigurationError where it could not be made.
    """
    runs: dict[Concurrency, list[Figures]] = {point: [] for point in measured.points}
    for number in range(measured.rounds):
        for point, figures in runs.items():
            on_run(number + 1, point)
            figures.append(_run(measured.conditions, point, credentials))
    points = [_point(point, figures) for point, figures in runs.items()]
    each = [figures for of_point in runs.values() for figures in of_point]
    replay_seconds = sum(one.replay_seconds for one in each)
    return BenchReport(
        integration=measured.integration,
        conditions=measured.conditions,
        limits={key: [(limit.requests, limit.per) for limit in limits] for key, limits in measured.limits.items()},
        rounds=measured.rounds,
        recorded=measured.recording.requests,
        asked=max(one.answers for one in each),
        replay_requests_per_second=sum(one.answers for one in each) / replay_seconds if replay_seconds else 0.0,
        replay_in_memory=all(one.in_memory for one in each),
        points=points,
        best=max(points, key=lambda one: one.requests_per_second).concurrency,
    )


def _point(concurrency: Concurrency, runs: Sequence[Figures]) -> PointReport:
    # Looks at the processor are few in a short run, so those of all rounds count.
    pooled = _pooled_shares(runs)
    median = sorted(runs, key=lambda one: one.seconds)[(len(runs) - 1) // 2].model_copy(update={"cpu_shares": pooled})
    seconds = median.seconds or sys.float_info.epsilon
    return PointReport(
        concurrency=concurrency,
        seconds=[one.seconds for one in runs],
        requests_per_second=median.requests / seconds,
        records_per_second=median.records / seconds,
        figures=median,
        bottlenecks=bottlenecks_of(median, concurrency),
        cpu=cpu_parts(median.cpu_shares),
    )


def _pooled_shares(runs: Sequence[Figures]) -> dict[str, float]:
    total = sum(one.cpu_seconds for one in runs)
    seconds: Counter[str] = Counter()
    for one in runs:
        for layer, share in one.cpu_shares.items():
            seconds[layer] += share * one.cpu_seconds  # type: ignore[assignment] # typeshed counts in integers
    return {layer: spent / total for layer, spent in seconds.most_common()}


def _run(conditions: Conditions, concurrency: Concurrency, credentials: dict[str, Any]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="secoda-async-bench-") as folder:
        job = Job(conditions=conditions, concurrency=concurrency, credentials=credentials, state_dir=Path(folder))
        ended = _in_a_process(job)
    if ended.figures is not None:
        return ended.figures
    where = f"the run at concurrency {name_of(concurrency)}"
    if ended.is_usage:
        raise ConfigurationError(ended.error)
    raise BenchmarkError(f"{where} failed: {ended.error}")


def _in_a_process(job: Job) -> Ended:
    try:
        return Ended.model_validate_json(run_job("secoda_async.bench", job.model_dump_json().encode()))
    except JobDied as died:
        said = f": {died.said}" if died.said else ""
        return Ended(error=f"{died}{Redactor.of(job.credentials)(said)}")
