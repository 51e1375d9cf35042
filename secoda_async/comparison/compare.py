"""Runs two integrations on one recording, each in a process of its own, and compares their records."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio

from secoda_async.comparison.differences import Differences, find_differences
from secoda_async.comparison.run_side import Ended, Job
from secoda_async.dataset import open_dataset
from secoda_async.errors import ComparisonError, ConfigurationError
from secoda_async.job_process import JobDied, run_job
from secoda_async.redact import Redactor
from secoda_async.version import __version__

FORMAT: Final = 1


class Comparison(Differences):
    """Two integrations on one recording. Usage: ``comparison.none``, ``comparison.model_dump_json()``."""

    format: int = FORMAT
    version: str = __version__
    old_target: str
    new_target: str
    old_requests: int
    new_requests: int


def compare(
    old: str,
    new: str,
    credentials: Mapping[str, Any],
    *,
    recording: Path | None = None,
    record: Path | None = None,
    live: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Run what ``old`` and ``new`` name on one recording, and compare what they declare.

    Without a ``recording``, ``old`` is first run against its source, and what that answers goes to the file ``record``,
    or to one that is removed. ``live`` runs both against the source instead, for a port that asks for other things.
    Nothing is delivered anywhere. ``on_step`` is told what is about to be done.
    Raises ComparisonError where one of them fails, and ConfigurationError where it cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="secoda-async-compare-") as name:
        folder = Path(name)
        sides = {"OLD": old, "NEW": new}
        run = partial(_run, folder, dict(credentials))
        if recording is None and not live:
            recording = record or folder / "recording"
            on_step(f"running {old} against its source")
            run("OLD", old, "source", record=recording)
        ended: dict[str, Ended] = {}
        for side, target in sides.items():
            on_step(f"running {target} {'against its source' if live else 'on the recording'}")
            ended[side] = run(side, target, side, replay=recording)
        on_step("comparing")
        datasets = open_dataset(folder / "OLD"), open_dataset(folder / "NEW")
        found = anyio.run(partial(find_differences, *datasets, folder))
    return Comparison(
        **dict(found),
        old_target=old,
        new_target=new,
        old_requests=ended["OLD"].requests,
        new_requests=ended["NEW"].requests,
    )


def _run(
    folder: Path,
    credentials: dict[str, Any],
    side: str,
    target: str,
    out: str,
    *,
    record: Path | None = None,
    replay: Path | None = None,
) -> Ended:
    job = Job(
        target=target,
        credentials=credentials,
        state_dir=folder / f"{out}-state",
        out=folder / out,
        record=None if record is None else record.absolute(),
        replay=None if replay is None else replay.absolute(),
    )
    try:
        ended = Ended.model_validate_json(run_job("secoda_async.comparison", job.model_dump_json().encode()))
    except JobDied as died:
        said = f": {died.said}" if died.said else ""
        ended = Ended(error=Redactor.of(credentials)(f"{died}{said}"))
    if not ended.error:
        return ended
    if ended.is_usage:
        raise ConfigurationError(f"{side} ({target}): {ended.error}")
    raise ComparisonError(
        f"{side} ({target}) failed, so there is nothing to compare: {_told(ended)}", not_recorded=ended.not_recorded
    )


def _told(ended: Ended) -> str:
    """The error, and the requests that the recording lacks."""
    if not ended.not_recorded:
        return ended.error
    more = ended.not_recorded_count - len(ended.not_recorded)
    lines = [*ended.not_recorded, *([f"… and {more:,} more"] if more else [])]
    told = "".join(f"\n  {line}" for line in lines)
    return (
        f"{ended.error}\nIt asks for what is not in the recording:{told}\n"
        "Let both ask for the same, or compare them with --live: each against the source"
    )
