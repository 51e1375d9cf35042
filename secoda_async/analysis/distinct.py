"""The files of an upload: without repeats, and with one of the records that share an id and differ."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from secoda_async.analysis.engine import Connection, go_on
from secoda_async.analysis.pages import read_pages
from secoda_async.dataset import Dataset
from secoda_async.spool_index import Kind

_LOOK: Final = 10_000  # lines between two looks at whether the run was cancelled


def write_distinct(connection: Connection, dataset: Dataset, folder: Path) -> Dataset:
    """The dataset without the lines that `find_dropped` has found; its own files where nothing is left out.

    Usage: ``files = write_distinct(connection, dataset, folder)``, in what `analyse` runs, after ``find_dropped``.

    What is written lies in ``folder``. Cancelling it leaves no file behind. Raises OSError where it cannot be written.
    """
    targets: list[Path] = []
    try:
        return Dataset(*(_write(connection, dataset.file(kind), f"dropped_{kind}", folder, targets) for kind in Kind))
    except BaseException:
        for target in targets:
            target.unlink(missing_ok=True)
        raise


def _write(connection: Connection, source: Path, dropped: str, folder: Path, targets: list[Path]) -> Path:
    lines = (line for (line,) in read_pages(connection, dropped, "line"))
    leave_out = next(lines, None)
    if leave_out is None:
        return source
    target = folder / f"{source.stem}.distinct{source.suffix}"
    targets.append(target)
    with source.open("rb") as reader, target.open("wb") as writer:
        for number, line in enumerate(reader, 1):
            if number % _LOOK == 0:
                go_on()
            if number == leave_out:
                leave_out = next(lines, None)
            else:
                writer.write(line)
    return target
