"""Delivers a folder of records: what a run has left, or what another program wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from filelock import FileLock, Timeout

from secoda_async.analysis.folder import temporary_folder
from secoda_async.baselines import WORK, Baselines
from secoda_async.checks import Checks
from secoda_async.counters import Traffic
from secoda_async.dataset import Dataset, FoundDataset, find_dataset
from secoda_async.errors import DatasetError, DeliveryError, RunError, SpoolError
from secoda_async.findings import Findings
from secoda_async.phases import Phases
from secoda_async.pipeline.sink import RunInfo
from secoda_async.preflight import Preflight
from secoda_async.reading import read_dataset
from secoda_async.redact import Redactor
from secoda_async.report import Delivery
from secoda_async.settings import Settings
from secoda_async.shielding import shieldable
from secoda_async.sinks.secoda import SecodaSink
from secoda_async.spool import MANIFEST, mark_accepted, new_run_id, resolve_state_dir
from secoda_async.spool_index import Kind

_FILES: Final = "files"  # in place of an integration's name


class Resend:
    """Uploads the dataset in a folder, after the checks that a run's own upload has.

    Usage: ``resend = Resend(directory, sink, settings=settings); await resend.execute()``. ``dry_run``: only the
    checks. What was found out and what became of the sync can be read at any time, also where this raises.
    """

    def __init__(
        self, directory: Path, sink: SecodaSink, *, settings: Settings, redact: Redactor, dry_run: bool = False
    ) -> None:
        self.checks = Checks()
        self.traffic = Traffic()
        self.phases = Phases()
        """What it has done and does: ``prepare``, ``read`` where the files are of others, ``rules``, ``survey``,
        ``diff``, ``SQL``, ``upload``, ``keep``."""
        self.delivery = Delivery.NOTHING
        self.lacks = ""
        """What is missing from the records by the will of whoever ran the run, for a person."""
        self._directory = directory
        self._sink = sink
        self._settings = settings
        self._redact = redact
        self._dry_run = dry_run
        self._run = new_run_id()
        self._baselines = Baselines(resolve_state_dir(settings.state_dir), sink.target())

    async def execute(self) -> None:
        """Raises ConfigurationError and DatasetError where the folder holds no whole dataset, RunError where a run
        holds it or the integration, and what `Preflight` and the sink raise.
        """
        self.phases.begin("prepare")
        try:
            await shieldable(self._execute)
        finally:
            self.phases.end()

    async def _execute(self) -> None:
        with anyio.CancelScope(shield=True):  # or a lock that is taken in that moment would stay
            held = await to_thread.run_sync(self._hold)
        try:
            found = await to_thread.run_sync(self._find, abandon_on_cancel=True)
            self.lacks = found.lacks
            await self._sink.open(RunInfo(self._run, _FILES, self.traffic, Findings(), self._redact))
            async with temporary_folder(self._baselines.directory, WORK) as work:
                await self._check_and_send(found, work)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(held.close)

    async def _check_and_send(self, found: FoundDataset, work: Path) -> None:
        dataset = found.dataset
        if found.scopes is None:  # whoever wrote it may write it again meanwhile
            dataset = await to_thread.run_sync(_copy, dataset, work)
        if found.run is None:
            self.phases.begin("read")
            (await read_dataset(dataset)).require()
        self.phases.begin("rules")
        baseline = await to_thread.run_sync(self._baselines.current)
        files = await Preflight(self._sink, self._settings, self.checks, self.phases).check(dataset, work, baseline)
        if self._dry_run:
            return
        self.phases.begin("upload")
        run = found.run or self._run
        async with self._baselines.sending(run):
            self.delivery = Delivery.UNCERTAIN  # so it stays where this is cancelled in the middle
            try:
                await self._sink.upload(files)
            except DeliveryError as error:
                if not error.ambiguous:
                    self.delivery = Delivery.NOTHING
                raise
        self.delivery = Delivery.DELIVERED
        self.phases.begin("keep")
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._accept, dataset, run, found.scopes)

    def _hold(self) -> ExitStack:
        """Keep the run's folder from being removed as an old one, and the integration from other syncs."""
        with ExitStack() as held:
            if (self._directory / MANIFEST).is_file():
                held.enter_context(_held(self._directory))
            held.enter_context(self._baselines.held(self._run))
            return held.pop_all()

    def _find(self) -> FoundDataset:
        return find_dataset(self._directory, is_held=True)

    def _accept(self, dataset: Dataset, run: str, index: Path | None) -> None:
        try:
            self._baselines.accept(dataset, run, index=index, is_all=self._sink.removes_absent)
            if (self._directory / MANIFEST).is_file():
                mark_accepted(self._directory)
        except SpoolError as error:
            raise SpoolError(f"all of it was delivered, but that could not be noted here: {error}") from error


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    lock = FileLock(directory / "lock", thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RunError(f"the run in {directory} still goes on, or is being uploaded; wait for its end") from None
    try:
        yield
    finally:
        lock.release()


def _copy(dataset: Dataset, folder: Path) -> Dataset:
    """So that what is checked is what is sent, and what is kept. Raises DatasetError where it changes meanwhile."""
    copy = Dataset(*(folder / kind.filename for kind in Kind))
    before = _states(dataset)
    try:
        for kind in Kind:
            shutil.copyfile(dataset.file(kind), copy.file(kind))
    except OSError as exc:
        raise SpoolError(
            f"{exc.filename} cannot be copied to {folder}: {exc.strerror or exc}; free space there"
        ) from exc
    if _states(dataset) != before:
        raise DatasetError(
            f"the files in {dataset.resources.parent} are being written; upload them when that has ended"
        )
    return copy


def _states(dataset: Dataset) -> list[tuple[int, int, int]]:
    return [(told.st_ino, told.st_size, told.st_mtime_ns) for told in map(os.stat, dataset)]
