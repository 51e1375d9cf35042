"""The files of an upload: without repeats, and with one of the records that share an id and differ."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio import to_thread

from secoda_async.dataset import Dataset
from secoda_async.errors import RulesError
from secoda_async.settings import OnConflict
from secoda_async.spool_index import Kind

if TYPE_CHECKING:
    from secoda_async.analysis.engine import Connection

_LOOK: Final = 10_000  # lines between two looks at whether the run was cancelled


async def without_duplicates(dataset: Dataset, folder: Path, *, on_conflict: OnConflict = "error") -> Dataset:
    """The dataset without records that repeat an earlier one; its own files where nothing is left out.

    Usage: ``files = await without_duplicates(dataset, spool.directory, on_conflict="last")``.

    What is written lies in ``folder``, which also takes what does not fit in memory. Records are equal by what they
    say, in whatever order or spelling. Of those that share an id and differ only the first or the last stays, as
    ``on_conflict`` says. Cancelling it leaves no file behind.
    Raises RulesError where records differ and ``on_conflict`` is ``error``, DatasetError where a file cannot be read,
    and SpoolError where ``folder`` cannot be written.
    """
    await to_thread.run_sync(import_module, "duckdb")  # the first time it takes a tenth of a second
    from secoda_async.analysis.duplicates import find_dropped  # noqa: PLC0415 # it imports DuckDB
    from secoda_async.analysis.engine import analyse  # noqa: PLC0415
    from secoda_async.analysis.tables import load_lineage, load_resources  # noqa: PLC0415

    def body(connection: Connection) -> Dataset:
        load_resources(connection, dataset, "resources")
        load_lineage(connection, dataset, "lineage")
        find_dropped(connection, "resources", "lineage", on_conflict)
        if on_conflict == "error":
            _refuse_differing(connection, dataset)
        return write_distinct(connection, dataset, folder)

    return await analyse(folder, dataset, body)


def write_distinct(connection: Connection, dataset: Dataset, folder: Path) -> Dataset:
    """The same for tables of which `find_dropped` has found the lines that are left out. It blocks."""
    targets: list[Path] = []
    try:
        return Dataset(*(_write(connection, dataset.file(kind), f"dropped_{kind}", folder, targets) for kind in Kind))
    except BaseException:
        for target in targets:
            target.unlink(missing_ok=True)
        raise


def _write(connection: Connection, source: Path, dropped: str, folder: Path, targets: list[Path]) -> Path:
    from secoda_async.analysis.engine import go_on  # noqa: PLC0415 # it imports DuckDB
    from secoda_async.analysis.pages import read_pages  # noqa: PLC0415

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


def _refuse_differing(connection: Connection, dataset: Dataset) -> None:
    from secoda_async.rules.judge import find_differing  # noqa: PLC0415 # it imports DuckDB

    breach = find_differing(connection, dataset)
    if breach is not None:
        first = breach.samples[0]
        raise RulesError(
            f"{first.file}, line {first.line}: {breach.message}: {first.id} {first.note} "
            f"(ids in all: {breach.count:,}); {breach.to_do}",
            breaches=[breach],
        )
