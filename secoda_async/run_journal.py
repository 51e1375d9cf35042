"""Which journal a run writes, which it continues, and what becomes of it at the end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

import orjson
from filelock import FileLock, Timeout

from secoda_async.errors import ConfigurationError, OutputError, SpoolError
from secoda_async.network.journal import Journals
from secoda_async.network.journal_file import JournalFile
from secoda_async.settings import Settings
from secoda_async.spool import State, resolve_state_dir

LAST: Final = "last"
_NAME: Final = "journal"


class RunJournal:
    """One run's journal. All methods block.

    Usage::

        with resumed(settings, state_dir, "Cluvio") as source:
            spool = Spool.create(state_dir, run_id)
            journal = RunJournal.open(settings, spool.directory, integration="Cluvio", run="…", source=source)
        ...
        journal.finish()
    """

    def __init__(self, journals: Journals, *, record: Path | None, kept: bool) -> None:
        self.journals = journals
        self._record = record
        self._kept = kept
        self._finished = False

    @staticmethod
    def wanted(settings: Settings) -> bool:
        """Whether a run keeps a journal."""
        return settings.resumable or settings.conditional or settings.record is not None or settings.resume is not None

    @classmethod
    def open(cls, settings: Settings, directory: Path, *, integration: str, run: str, source: Path | None) -> Self:
        """The journal of a new run, in its folder; it begins with what ``source`` holds.

        Raises ConfigurationError where that is no journal of the same integration, and SpoolError where none can be
        written.
        """
        path = directory / _NAME
        with ExitStack() as undo, _reported(directory):
            if source is None:
                file = JournalFile.create(path, integration=integration, run=run, cap=settings.max_journal)
            else:
                file = JournalFile.continued(source, path, integration=integration, run=run, cap=settings.max_journal)
            undo.callback(file.close)
            earlier = None
            if settings.conditional:
                others = (directory, None if source is None else source.parent)
                earlier = _newest(directory.parent, integration, others)
            undo.pop_all()
        kept = settings.resumable or settings.conditional or source is not None
        return cls(Journals(file, source is not None, earlier), record=settings.record, kept=kept)

    def finish(self) -> None:
        """Copy it to where it was asked for, and remove it where it is not kept. Calling it again does nothing.

        Raises OutputError where the copy cannot be written; the journal itself is kept then.
        """
        if self._finished:
            return
        self._finished = True
        file, _, earlier = self.journals
        try:
            if self._record is not None:
                try:
                    file.copy_to(self._record)
                except Exception as exc:
                    self._kept = True
                    raise OutputError(
                        f"the recording {self._record} cannot be written: {exc}; the run's journal is {file.path}"
                    ) from exc
        finally:
            if earlier is not None:
                earlier.close()
            file.close()
            if not self._kept:
                file.path.unlink(missing_ok=True)


def keeps_journal(settings: Settings, run: str) -> bool:
    """Whether a run has left a journal, so that another can continue it."""
    return bool(run) and (resolve_state_dir(settings.state_dir) / "runs" / run / _NAME).is_file()


@contextmanager
def _reported(directory: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as exc:
        raise SpoolError(
            f"the run's journal in {directory} cannot be written: {exc}; free space, mend the permissions, or choose "
            "another place with state_dir or SECODA_ASYNC_STATE"
        ) from exc


@contextmanager
def resumed(settings: Settings, state_dir: Path, integration: str) -> Iterator[Path | None]:
    """The journal of the run that ``resume`` names, held so that nothing removes it meanwhile; None: it names none.

    Raises ConfigurationError where there is no such run, where it goes on or was delivered, and where it kept none.
    """
    if settings.resume is None:
        yield None
        return
    runs = state_dir / "runs"
    name = settings.resume
    directory = _last(runs, integration) if name == LAST else runs / name
    if directory is None or directory.parent != runs or not directory.is_dir():
        known = ", ".join(entry.name for entry in _with_journal(runs)) or "none"
        what = f"no run of {integration} in {runs}" if name == LAST else f"no run {name!r} in {runs}"
        raise ConfigurationError(
            f"resume: there is {what}; the last 3 runs are kept, those with a journal are: {known}"
        )
    lock = FileLock(directory / "lock", blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigurationError(f"resume: the run {directory.name} is still going on; wait for its end") from None
    try:
        journal = directory / _NAME
        if not journal.is_file():
            raise ConfigurationError(
                f"resume: the run {directory.name} kept no journal; it takes resumable=True (--resumable) to keep one"
            )
        if _state(directory) == State.ACCEPTED:
            raise ConfigurationError(
                f"resume: the run {directory.name} was delivered, so there is nothing to continue; run afresh, "
                f"or replay {journal}"
            )
        yield journal
    finally:
        lock.release()


def _with_journal(runs: Path) -> list[Path]:
    """The newest first."""
    return sorted((path.parent for path in runs.glob(f"*/{_NAME}")), reverse=True)


def _last(runs: Path, integration: str) -> Path | None:
    """The newest run of an integration that kept a journal."""
    for directory in _with_journal(runs):
        with JournalFile.open(directory / _NAME, whole=False) as file:
            if file.integration == integration:
                return directory
    return None


def _newest(runs: Path, integration: str, others: tuple[Path | None, ...]) -> JournalFile | None:
    """The newest journal of an integration that can be read, other than those of ``others``."""
    for directory in _with_journal(runs):
        if directory in others:
            continue
        try:
            return JournalFile.open(directory / _NAME, integration=integration)
        except ConfigurationError:
            continue  # of another integration, or damaged: then everything is asked for
    return None


def _state(directory: Path) -> str | None:
    try:
        return str(orjson.loads((directory / "manifest.json").read_bytes())["state"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None  # it died in the middle of this too
