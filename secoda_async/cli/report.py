"""``secoda-async report``: what an earlier run came to."""

from __future__ import annotations

from typing import Annotated

import typer

from secoda_async.cli.failure import exit_status, show_error
from secoda_async.cli.find_report import LAST, RunName, find_report
from secoda_async.cli.options import StateDir
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.summary import show_summary
from secoda_async.cli.terminal import Terminal
from secoda_async.redact import Redactor


def report(
    run: RunName = LAST,
    state_dir: StateDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Show what an earlier run extracted, what it asked, and what went wrong. The last 3 runs are kept."""
    try:
        found = find_report(run, state_dir)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, Terminal(stderr=True), Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None
    if as_json:
        print_document(found.model_dump_json(indent=2))
        return
    console = Terminal(highlight=False)
    show_summary(found, console, delivered_to="yes")
    if found.error is not None:
        console.print(f"error: {found.error}", style="red", markup=False, soft_wrap=True)
