"""The last accepted sync of one integration: what a new one is compared with, and what a failed scope is taken from.

``<state_dir>/baselines/<host>/<integration id>/`` holds ``current.json``, which names the folder of that sync's files,
and ``lock``, which a run holds from its beginning to its end. All methods block.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import orjson
from filelock import FileLock, Timeout

from secoda_async.dataset import Dataset
from secoda_async.errors import RunError, SpoolError
from secoda_async.spool import INDEX, make_private, replace_file
from secoda_async.spool_index import Kind

FORMAT: Final = 1
_CURRENT: Final = "current.json"
_HOLDER: Final = "holder.json"


class Target(NamedTuple):
    """What a sync replaces, so that there is one baseline of it."""

    host: str
    """The workspace, as host or host:port."""
    name: str
    """The id of the integration there."""


class Baseline(NamedTuple):
    """One accepted sync."""

    directory: Path
    run: str
    accepted_at: datetime

    @property
    def dataset(self) -> Dataset:
        """Its records, with an index of their scopes beside them where a run made them."""
        return Dataset(*(self.directory / kind.filename for kind in Kind))


class Baselines:
    """The baseline of one target.

    Usage: ``with Baselines(state_dir, target).held(run_id) as baselines: ...; baselines.accept(dataset, run_id)``.
    Raises SpoolError where its files cannot be read or written.
    """

    def __init__(self, state_dir: Path, target: Target) -> None:
        self._target = target
        self._state_dir = state_dir
        self._directory = state_dir / "baselines" / _folder(target.host) / _folder(target.name)

    @contextmanager
    def held(self, run: str) -> Iterator[Baselines]:
        """Hold the target for one run. Raises RunError where another one holds it."""
        with ExitStack() as closing:
            with self._reported():
                make_private(self._state_dir, self._directory)
                lock = FileLock(self._directory / "lock", thread_local=False)
                try:
                    closing.enter_context(lock.acquire(blocking=False))
                except Timeout:
                    raise RunError(
                        f"{self._target.name} at {self._target.host} is held by {self._holder()}; two syncs at once "
                        "would remove what the other brings, so wait for its end"
                    ) from None
                holder = {"run": run, "process": os.getpid()}
                replace_file(self._directory / _HOLDER, orjson.dumps(holder))
            yield self

    def current(self) -> Baseline | None:
        """The last accepted sync. Raises SpoolError where it is of another format, or damaged."""
        path = self._directory / _CURRENT
        with self._reported():
            if not path.is_file():
                return None
            try:
                told = orjson.loads(path.read_bytes())
                if told["format"] != FORMAT:
                    raise SpoolError(
                        f"{path} has format {told['format']!r}, and this version reads {FORMAT}; use the version that "
                        "wrote it, or remove its folder, after which the workspace itself is asked"
                    )
                run = str(told["run"])
                found = Baseline(self._directory / _folder(run), run, datetime.fromisoformat(told["accepted_at"]))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as exc:
                raise SpoolError(f"{path} is damaged ({exc}); remove it, after which the workspace is asked") from None
            missing = [file.name for file in found.dataset if not file.is_file()]
        if missing:
            raise SpoolError(
                f"{found.directory} holds no {' and no '.join(missing)}; remove {path}, after which the workspace "
                "itself is asked"
            )
        return found

    def accept(self, dataset: Dataset, run: str, *, index: Path | None = None) -> Baseline:
        """Make these files the last accepted sync, and remove the one before."""
        accepted_at = datetime.now(UTC)
        folder = self._directory / _folder(run)
        with self._reported():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            for kind in Kind:
                _link(dataset.file(kind), folder / kind.filename)
            if index is not None:
                _link(index, folder / INDEX)
            told = {"format": FORMAT, "run": run, "accepted_at": accepted_at}
            replace_file(self._directory / _CURRENT, orjson.dumps(told))
            for other in self._directory.iterdir():
                if other.is_dir() and other != folder:
                    shutil.rmtree(other, ignore_errors=True)
        return Baseline(folder, run, accepted_at)

    def _holder(self) -> str:
        try:
            told = orjson.loads((self._directory / _HOLDER).read_bytes())
            return f"the run {told['run']} (process {told['process']})"
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return "another run"

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise SpoolError(
                f"the last accepted sync in {self._directory} cannot be read or written: {exc.strerror or exc}; "
                "free space, mend the permissions, or choose another place with state_dir or SECODA_ASYNC_STATE"
            ) from exc


def _folder(name: str) -> str:
    """A name as that of a folder on every platform."""
    safe = quote(name, safe="").replace("%", "=")
    return safe if safe.strip(".") else f"={safe}"


def _link(source: Path, target: Path) -> None:
    """The same file under another name: it is never written again."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
