"""``secoda-async diff``: what a sync of one dataset would do after a sync of another."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import anyio
import typer

from secoda_async.cli.failure import exit_status, show_error
from secoda_async.cli.show_diff import show_diff
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal
from secoda_async.dataset import open_dataset
from secoda_async.diff import diff_datasets
from secoda_async.redact import Redactor


def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="A folder with resources.jsonl and lineage.jsonl.")],
    now: Annotated[Path, typer.Argument(metavar="B", help="The folder that would be uploaded after it.")],
    keep: Annotated[
        Literal["first", "last"], typer.Option(help="Which of several resources with one id counts.")
    ] = "last",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Show what uploading B after A would remove, add and change. Needs room in TMPDIR for large folders."""
    try:
        with tempfile.TemporaryDirectory() as work:
            datasets = open_dataset(before), open_dataset(now)
            found = anyio.run(partial(diff_datasets, *datasets, Path(work), keep=keep, against=str(before)))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, Terminal(stderr=True), Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None
    if as_json:
        print_document(found.model_dump_json(indent=2))
    else:
        show_diff(found, Terminal(highlight=False))
