"""``secoda-async report``: what an earlier run came to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secoda_async.cli.failure import exit_status, show_error
from secoda_async.cli.find_report import LAST, RunName, find_folder, find_path, read_report
from secoda_async.cli.options import StateDir
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.summary import show_summary
from secoda_async.cli.terminal import Terminal
from secoda_async.errors import ConfigurationError, OutputError
from secoda_async.redact import Redactor
from secoda_async.report import RunReport
from secoda_async.spool import replace_file
from secoda_async.wording import counted


def report(
    run: RunName = LAST,
    state_dir: StateDir = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write it as one page, with the run's lineage to walk through."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Show what an earlier run extracted, what it asked, and what went wrong. The last 3 runs are kept."""
    try:
        path = find_path(run, state_dir)
        found = read_report(path)
        if html is not None and html.is_dir():
            raise ConfigurationError(f"--html {html} is a folder; give a file in it")
        if html is not None and html.exists() and html.samefile(path):
            raise ConfigurationError(f"--html {html} is the report itself; choose another file")
        told = None if html is None else _write_page(found, find_folder(path, found.run, state_dir), html)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, Terminal(stderr=True), Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None
    if as_json:
        print_document(found.model_dump_json(indent=2))
        return
    console = Terminal(highlight=False)
    if told is not None:
        console.print(told, markup=False, soft_wrap=True)
        return
    show_summary(found, console, delivered_to="yes")
    if found.error is not None:
        console.print(f"error: {found.error}", style="red", markup=False, soft_wrap=True)


def _write_page(report: RunReport, folder: Path | None, path: Path) -> str:
    """Write the page, whole or not at all; what is said of it."""
    # With a template engine, which no other command needs.
    from secoda_async.page.records import PageRecords  # noqa: PLC0415
    from secoda_async.page.report_page import render_report  # noqa: PLC0415
    from secoda_async.page.templating import require_page  # noqa: PLC0415

    require_page()
    records, why = None, "The run's folder is gone, and with it the records; the last 3 runs are kept."
    if folder is not None:
        try:
            records = PageRecords.read(folder)
        except OSError as exc:
            why = f"The run's records cannot be read: {exc.strerror or exc}."
    page = render_report(report, records, why_no_records=why).encode()
    try:
        replace_file(path, page)
    except OSError as exc:
        raise OutputError(f"the page {path} cannot be written: {exc.strerror or exc}") from exc
    held = why if records is None else f"{counted(len(records.ids), 'name')} to search"
    return f"{path}: {len(page) / 1e6:,.2f} MB, {held[:1].lower()}{held[1:]}"
