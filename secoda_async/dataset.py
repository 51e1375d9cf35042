"""One sync's records as two JSONL files, whoever wrote them: a run's spool, `JSONLSink`, or another program."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
from filelock import FileLock, Timeout

from secoda_async.errors import ConfigurationError, DatasetError
from secoda_async.spool import FORMAT, INDEX, LIVE, MANIFEST, State
from secoda_async.spool_index import Kind

RUN_FILE: Final = "run.json"
"""What `JSONLSink` writes beside its files."""
FAILED_FILE: Final = "run.failed.json"
"""What it writes in its place where a run failed."""
Sums = dict[str, int | str]
"""``bytes`` and ``sha256`` of a file."""
_TAIL: Final = 2**20
_PIECE: Final = 2**20


class Dataset(NamedTuple):
    """Where the records of one sync are. Each file holds one JSON object a line; an empty one holds no record."""

    resources: Path
    lineage: Path

    def file(self, kind: Kind) -> Path:
        """The file of a kind."""
        return self.resources if kind is Kind.RESOURCES else self.lineage


class FoundDataset(NamedTuple):
    """What a folder holds."""

    dataset: Dataset
    run: str | None = None
    """The run that wrote it, and whose sums it fits; None: another program did."""
    scopes: Path | None = None
    """The index that tells which of it belongs to which scope."""
    lacks: str = ""
    """What is missing from it by the will of whoever ran it, for a person; "": nothing is."""


def open_dataset(directory: Path) -> Dataset:
    """The dataset in a folder; raises as `find_dataset` does."""
    return find_dataset(directory).dataset


def find_dataset(directory: Path, *, is_held: bool = False) -> FoundDataset:
    """What a folder holds. It blocks, and reads all of files that have sums to be compared with.

    ``is_held`` says that the caller has the lock of the run's folder, so that no run goes on there.
    Raises ConfigurationError where the folder holds no dataset, and DatasetError where it holds one that is not whole:
    of a run that died, goes on or failed, of another format, or whose files are not what was written.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"there is no folder {directory}; give one with both JSONL files, or a run's")
    if (directory / MANIFEST).is_file():
        return _find_spool(directory, is_held=is_held)
    dataset = Dataset(*(directory / kind.filename for kind in Kind))
    for path in dataset:
        if not path.is_file() and (directory / FAILED_FILE).is_file():
            raise DatasetError(f"{directory} holds no {path.name}, since the run failed: see {FAILED_FILE} there")
        if not path.is_file():
            raise ConfigurationError(f"{directory} holds no {path.name}; give a folder with both JSONL files")
    if (directory / RUN_FILE).is_file():
        told = _told(directory / RUN_FILE)
        for kind in Kind:
            _compare(dataset.file(kind), _at(told, "files", kind.filename), directory / RUN_FILE)
        return FoundDataset(dataset, str(_at(told, "run")), lacks=_text(told, "lacks"))
    return FoundDataset(dataset)


def _find_spool(directory: Path, *, is_held: bool) -> FoundDataset:
    path = directory / MANIFEST
    told = _told(path)
    if _at(told, "state") not in (State.COMPLETE, State.ACCEPTED):  # a list has no hash
        raise DatasetError(f"the run in {directory} is not complete: {_why(directory, told, is_held=is_held)}")
    name = str(_at(told, "folder"))
    if name not in {".", LIVE}:
        raise DatasetError(f"{path} is damaged: its files cannot be in {name!r}")
    folder = directory / name
    dataset = Dataset(*(folder / kind.filename for kind in Kind))
    for kind in Kind:
        _compare(dataset.file(kind), _at(told, "files", kind.value), path)
    _compare(folder / INDEX, _at(told, "index"), path)
    return FoundDataset(dataset, str(_at(told, "run")), folder / INDEX, _text(told, "lacks"))


def _why(directory: Path, told: Mapping[str, Any], *, is_held: bool) -> str:
    if told["state"] == State.FAILED:
        return f"it failed ({told.get('error', 'the reason is not known')}); mend that and run it again"
    try:
        with nullcontext() if is_held else FileLock(directory / "lock", blocking=False, thread_local=False):
            torn = "".join(_torn(directory / kind.filename) for kind in Kind)
            return (
                f"it died while it was extracting{torn}. Run it again; with a journal, --resume {directory.name} "
                "continues it"
            )
    except Timeout:
        return "it still goes on; wait for its end"


def _torn(path: Path) -> str:
    """What is to be said of a file whose last line was cut off."""
    if not path.is_file() or not path.stat().st_size:
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read()
    cut = len(tail) - (tail.rfind(b"\n") + 1)
    return f", and the last line of {path.name} is torn after {cut:,} bytes" if cut else ""


def _told(path: Path) -> Mapping[str, Any]:
    try:
        told = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as exc:
        raise DatasetError(f"{path} cannot be read ({exc}), so its files are not known to be whole") from None
    found = _at(told, "format")
    if found != FORMAT:
        raise DatasetError(
            f"{path} has format {found!r}, and this version reads {FORMAT}; use the version that wrote it, or run the "
            "extraction again"
        )
    return told  # type: ignore[no-any-return] # a mapping, as `_at` has found


def _at(told: object, *names: str) -> Any:
    for name in names:
        if not isinstance(told, dict) or name not in told:
            raise DatasetError(f"a run's own description holds no {'.'.join(names)}: it is damaged; run it again")
        told = told[name]
    return told


def _text(told: Mapping[str, Any], name: str) -> str:
    found = told.get(name)
    return found if isinstance(found, str) else ""


def _compare(path: Path, sums: object, told_by: Path) -> None:
    if not path.is_file():
        raise DatasetError(f"{path} is missing, which {told_by.name} tells of; run the extraction again")
    size = path.stat().st_size
    expected = _at(sums, "bytes")
    if size != expected:
        what = f"{size:,} bytes, and {told_by.name} tells of {expected}"
    elif sums_of(path)["sha256"] != _at(sums, "sha256"):
        what = f"not the content that {told_by.name} tells of"
    else:
        return
    # A spool's own files may hold more than its sync, so without its manifest they are none.
    edited = f", or remove {RUN_FILE} where the files are meant to be as they are" if told_by.name == RUN_FILE else ""
    raise DatasetError(f"{path} has {what}{_torn(path)}: it is damaged or was edited; run the extraction again{edited}")


def sums_of(path: Path) -> Sums:
    """What a file's content is checked against. It blocks, and reads all of it."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return {"bytes": size, "sha256": digest.hexdigest()}
