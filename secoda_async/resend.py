"""Delivers a folder of records: what a run has left, or what another program wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from anyio import to_thread
from filelock import FileLock, Timeout

from secoda_async.analysis.folder import temporary_folder
from secoda_async.baselines import Baselines
from secoda_async.checks import Checks
from secoda_async.counters import Traffic
from secoda_async.dataset import FoundDataset, find_dataset
from secoda_async.errors import RunError
from secoda_async.findings import Findings
from secoda_async.pipeline.sink import RunInfo
from secoda_async.preflight import Preflight
from secoda_async.reading import read_dataset
from secoda_async.redact import Redactor
from secoda_async.settings import Settings
from secoda_async.sinks.secoda import SecodaSink
from secoda_async.spool import MANIFEST, make_private, mark_accepted, new_run_id, resolve_state_dir

_FILES: Final = "files"  # in place of an integration's name


async def resend(
    directory: Path,
    sink: SecodaSink,
    *,
    settings: Settings,
    traffic: Traffic,
    checks: Checks,
    redact: Redactor,
    dry_run: bool = False,
) -> None:
    """Upload the dataset in a folder, after the checks that a run's own upload has; ``dry_run``: only these.

    What was checked is in ``checks``, also where this raises: ConfigurationError and DatasetError where the folder
    holds no whole dataset, RunError where a run holds it or the integration, and what `Preflight` and the sink raise.
    """
    run = new_run_id()
    state_dir = resolve_state_dir(settings.state_dir)
    found = await to_thread.run_sync(find_dataset, directory, abandon_on_cancel=True)
    with _held(directory):
        if found.run is None:
            (await read_dataset(found.dataset)).require()
        baselines = Baselines(state_dir, sink.target())
        with baselines.held(run):
            await sink.open(RunInfo(run, _FILES, traffic, Findings(), redact))
            await to_thread.run_sync(make_private, state_dir, state_dir)
            async with temporary_folder(state_dir, "upload-") as work:
                baseline = await to_thread.run_sync(baselines.current)
                files = await Preflight(sink, settings, checks).check(found.dataset, work, baseline)
                if not dry_run:
                    await sink.upload(files)
                    await to_thread.run_sync(_accept, directory, found, baselines, run)


def _accept(directory: Path, found: FoundDataset, baselines: Baselines, run: str) -> None:
    baselines.accept(found.dataset, found.run or run, index=found.scopes)
    if (directory / MANIFEST).is_file():
        mark_accepted(directory)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Keep a run's folder from being removed as an old one meanwhile."""
    if not (directory / MANIFEST).is_file():
        yield
        return
    lock = FileLock(directory / "lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"the run in {directory} still goes on; wait for its end") from None
    try:
        yield
    finally:
        lock.release()
