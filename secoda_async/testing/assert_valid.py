"""Judges the records of a test by the rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from secoda_async.dataset import Dataset
from secoda_async.pipeline.encode import encode
from secoda_async.settings import OnConflict
from secoda_async.spool_index import Kind
from secoda_async.testing.extract import Records
from secoda_async.wording import counted

if TYPE_CHECKING:  # DuckDB is imported where something is judged
    from secoda_async.rules.verdict import Breach, Verdict


def assert_valid(records: Records, *, strict: bool = False, on_conflict: OnConflict = "error") -> None:
    """Raise AssertionError where the records break a rule that stops an upload: ``assert_valid(records)``.

    With ``strict`` warnings count too; ``on_conflict`` is the setting. The message names every rule that is broken, the
    first records that break it, and what to do. It blocks, also in an async test, for some tenths of a second.
    """
    __tracebackhide__ = True
    # In a thread of its own: a loop may be running in this one.
    with TemporaryDirectory(prefix="secoda-async-test-") as name, ThreadPoolExecutor(1) as thread:
        verdict = thread.submit(_judge, records, Path(name), strict, on_conflict).result()
    if not verdict.passed:
        told = "\n".join(line for breach in verdict.errors for line in _lines(breach))
        raise AssertionError(f"the records break {counted(len(verdict.errors), 'rule')} (docs/rules.md):\n{told}")


def _judge(records: Records, folder: Path, strict: bool, on_conflict: OnConflict) -> Verdict:  # passed on
    from secoda_async.rules.judge_dataset import judge_dataset  # noqa: PLC0415 # see above

    dataset = Dataset(*(folder / kind.filename for kind in Kind))
    for path, some in zip(dataset, (records.resources, records.lineage), strict=True):
        path.write_bytes(b"".join(map(encode, some)))
    return asyncio.run(judge_dataset(dataset, folder, on_conflict=on_conflict, strict=strict))


def _lines(breach: Breach) -> Iterator[str]:
    yield f"- {breach.rule} ({breach.count:,}): {breach.message}"
    yield from (f"    {sample}" for sample in breach.samples)
    if breach.count > len(breach.samples) > 0:
        yield f"    … and {breach.count - len(breach.samples):,} more"
    yield f"    to do: {breach.to_do}"
