"""The last accepted sync of one integration: what a new one is compared with, and what a failed scope is taken from.

``<state_dir>/baselines/<host>/<integration id>/`` holds ``current.json``, which names the folder of that sync's files
with their sums, and ``lock``, which a run holds from its beginning to its end. ``doubt.json`` is there while the target
may hold something else: from before a sync is sent until it is known what became of it, and after a sync that only
adds to the target.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import anyio
import orjson
from anyio import to_thread
from filelock import FileLock, Timeout

from secoda_async.dataset import Dataset, Sums, sums_of
from secoda_async.errors import DeliveryError, RunError, SpoolError
from secoda_async.spool import INDEX, make_private, new_run_id, replace_file
from secoda_async.spool_index import Kind

_NONE_KNOWN: Final[Mapping[str, Sums]] = MappingProxyType({})
FORMAT: Final = 1
_CURRENT: Final = "current.json"
_HOLDER: Final = "holder.json"
_DOUBT: Final = "doubt.json"
_UNKNOWN: Final = "that is not known"
WORK: Final = "work-"
"""What a folder for work on the way begins with, in that of a target."""


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
    doubt: str = ""
    """The run since which the target may hold something else; "": it holds this, as far as is known here."""

    @property
    def dataset(self) -> Dataset:
        """Its records, with an index of their scopes beside them where a run made them."""
        return Dataset(*(self.directory / kind.filename for kind in Kind))


class Baselines:
    """The baseline of one target. All methods block, but `sending`.

    Usage: ``with Baselines(state_dir, target).held(run_id) as baselines: ...; baselines.accept(dataset, run_id)``.
    Raises SpoolError where its files cannot be read or written.
    """

    def __init__(self, state_dir: Path, target: Target) -> None:
        self._target = target
        self._state_dir = state_dir
        self.directory: Final = state_dir / "baselines" / _folder(target.host) / _folder(target.name)
        """Of the target."""

    @contextmanager
    def held(self, run: str) -> Iterator[Baselines]:
        """Hold the target for one run. Raises RunError where another one holds it."""
        with ExitStack() as closing:
            with self._reported():
                make_private(self._state_dir, self.directory)
                lock = FileLock(self.directory / "lock", thread_local=False)
                try:
                    closing.enter_context(lock.acquire(blocking=False))
                except Timeout:
                    raise RunError(
                        f"{self._target.name} at {self._target.host} is held by {self._holder()}; two syncs at once "
                        "would remove what the other brings, so wait for its end"
                    ) from None
                holder = {"run": run, "process": os.getpid()}
                replace_file(self.directory / _HOLDER, orjson.dumps(holder))
                for left in self.directory.glob(f"{WORK}*"):  # by a process that was killed
                    shutil.rmtree(left, ignore_errors=True)
            yield self

    def current(self) -> Baseline | None:
        """The last accepted sync. Raises SpoolError where it is of another format, or not what was accepted."""
        path = self.directory / _CURRENT
        with self._reported():
            if not path.is_file():
                return None
            try:
                told = orjson.loads(path.read_bytes())
                if told["format"] != FORMAT:
                    raise SpoolError(
                        f"{path} has format {told['format']!r}, and this version reads {FORMAT}; use the version that "
                        "wrote it, or remove it, after which the workspace itself is asked"
                    )
                folder = self.directory / _folder(str(told["folder"]))
                files = dict(told["files"])
                accepted_at = datetime.fromisoformat(told["accepted_at"])
                found = Baseline(folder, str(told["run"]), accepted_at, self._doubted_by())
            except (KeyError, TypeError, ValueError) as exc:
                raise SpoolError(f"{path} is damaged ({exc}); remove it, after which the workspace is asked") from None
            changed = [name for name in files if not _is_as_told(folder / _folder(name), files[name])]
            changed += [file.name for file in found.dataset if file.name not in files]
        if changed:
            raise SpoolError(
                f"{' and '.join(changed)} in {folder} is not what was accepted, but damaged or edited; remove {path}, "
                "after which the workspace itself is asked"
            )
        return found

    def accept(
        self,
        dataset: Dataset,
        run: str,
        *,
        index: Path | None = None,
        sums: Mapping[str, Sums] = _NONE_KNOWN,
        is_all: bool = True,
    ) -> Baseline:
        """Make these files the last accepted sync, and remove the one before.

        ``sums`` are those that are known, by the name of the file; the others are read for theirs.
        ``is_all`` says that the target holds nothing else: what the sync lacks was removed.
        """
        accepted_at = datetime.now(UTC)
        folder = self.directory / new_run_id()  # never that of the one before, which holds until the end
        with self._reported():
            folder.mkdir(mode=0o700)
            sources = {kind.filename: dataset.file(kind) for kind in Kind}
            if index is not None:
                sources[INDEX] = index
            for name, source in sources.items():
                _link(source, folder / name)
            files = {name: sums.get(name) or sums_of(folder / name) for name in sources}
            told = {"format": FORMAT, "run": run, "accepted_at": accepted_at, "folder": folder.name, "files": files}
            replace_file(self.directory / _CURRENT, orjson.dumps(told))
            if is_all:
                self._settle()
            for other in self.directory.iterdir():
                if other.is_dir() and other != folder and not other.name.startswith(WORK):
                    shutil.rmtree(other, ignore_errors=True)
        return Baseline(folder, run, accepted_at, self._doubted_by())

    @asynccontextmanager
    async def sending(self, run: str) -> AsyncIterator[None]:
        """Around the sending of a sync: what the target holds is in doubt from here on, until `accept`.

        Where a DeliveryError says that surely nothing arrived, it is as certain as before.
        """
        with anyio.CancelScope(shield=True):
            was_certain = await to_thread.run_sync(self._doubt, run)
        try:
            yield
        except DeliveryError as error:
            if was_certain and not error.ambiguous:
                with anyio.CancelScope(shield=True), suppress(SpoolError):  # the workspace is asked, which does no harm
                    await to_thread.run_sync(self._settle)
            raise

    def _doubt(self, run: str) -> bool:
        with self._reported():
            was_certain = not self._doubted_by()
            replace_file(self.directory / _DOUBT, orjson.dumps({"run": run}))
        return was_certain

    def _settle(self) -> None:
        with self._reported():
            (self.directory / _DOUBT).unlink(missing_ok=True)

    def _doubted_by(self) -> str:
        try:
            return str(orjson.loads((self.directory / _DOUBT).read_bytes())["run"]) or _UNKNOWN
        except FileNotFoundError:
            return ""
        except (ValueError, KeyError, TypeError):
            return _UNKNOWN

    def _holder(self) -> str:
        try:
            told = orjson.loads((self.directory / _HOLDER).read_bytes())
            return f"the run {told['run']} (process {told['process']})"
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return "another run"

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise SpoolError(
                f"the last accepted sync in {self.directory} cannot be read or written: {exc.strerror or exc}; "
                "free space, mend the permissions, or choose another place with state_dir or SECODA_ASYNC_STATE"
            ) from exc


def _is_as_told(path: Path, sums: Any) -> bool:
    return path.is_file() and sums_of(path) == sums


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
