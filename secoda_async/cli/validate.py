"""``secoda-async validate``: whether the records of a folder are fit to be delivered."""

from __future__ import annotations

import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated

import anyio
import typer
from anyio import to_thread

from secoda_async.cli.failure import ExitStatus, exit_status, show_error
from secoda_async.cli.show_verdict import show_verdict
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal
from secoda_async.dataset import Dataset, open_dataset
from secoda_async.redact import Redactor
from secoda_async.rules.verdict import Verdict
from secoda_async.settings import OnConflict

OnConflictOption = Annotated[
    OnConflict | None,
    typer.Option(help="Records that share an id and differ: an error (default), or the first or the last counts."),
]


def validate(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with resources.jsonl and lineage.jsonl, whoever wrote them.")
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")] = False,
    on_conflict: OnConflictOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Judge the records of a folder by the rules. Exit status 3 where there is an error.

    Needs room in TMPDIR for large folders.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="secoda-async-") as work:
            judged = partial(
                _judge, open_dataset(directory), Path(work), strict=strict, on_conflict=on_conflict or "error"
            )
            verdict = anyio.run(judged)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, Terminal(stderr=True), Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None
    if as_json:
        print_document(verdict.model_dump_json(indent=2))
    else:
        show_verdict(verdict, Terminal(highlight=False))
    if not verdict.passed:
        raise typer.Exit(ExitStatus.RULES)


async def _judge(dataset: Dataset, work: Path, *, strict: bool, on_conflict: OnConflict) -> Verdict:
    await to_thread.run_sync(import_module, "duckdb")  # it takes a tenth of a second
    from secoda_async.rules.judge_dataset import validate_dataset  # noqa: PLC0415 # it imports DuckDB

    return await validate_dataset(dataset, work, strict=strict, on_conflict=on_conflict)
