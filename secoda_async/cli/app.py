"""The commands."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import typer

from secoda_async.cli.bench import bench
from secoda_async.cli.check import check
from secoda_async.cli.compare import compare
from secoda_async.cli.compile import compile_command
from secoda_async.cli.dev import dev
from secoda_async.cli.diff import diff
from secoda_async.cli.endpoints import endpoints
from secoda_async.cli.failure import ExitStatus
from secoda_async.cli.init import init
from secoda_async.cli.report import report
from secoda_async.cli.run import run
from secoda_async.cli.standard_streams import let_go_of_stdout, make_ready
from secoda_async.cli.upload import upload
from secoda_async.cli.validate import validate
from secoda_async.compat.bridge import EXTRACT_THREAD
from secoda_async.version import __version__

app = typer.Typer(
    name="secoda-async",
    help="Extract metadata into the Secoda data catalog: fast, and all of it or nothing.",
    epilog="Begin with: secoda-async init NAME. What a command takes: secoda-async COMMAND --help.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
_COMMANDS: Final[Sequence[Callable[..., None]]] = (
    init,
    check,
    run,
    validate,
    diff,
    upload,
    report,
    endpoints,
    bench,
    compare,
    compile_command,
    dev,
)
_EXAMPLES: Final[Mapping[Callable[..., None], str]] = {
    init: "init warehouse",
    check: "check warehouse.py:Warehouse --credential-env token=WAREHOUSE_TOKEN",
    run: "run warehouse.py:Warehouse --credential-env token=WAREHOUSE_TOKEN --out out",
    validate: "validate out",
    diff: "diff out-of-yesterday out",
    upload: "upload out --integration-id ID --dry-run",
    report: "report last",
    endpoints: "endpoints last",
    bench: "bench warehouse.py:Warehouse --journal warehouse.journal --credential token=any",
    compare: "compare old.py:Warehouse new.py:Warehouse --credential-env token=WAREHOUSE_TOKEN",
    compile_command: "compile warehouse.py:Warehouse -o for_marketplace.py",
    dev: "dev --port 8765",
}
_WITHOUT_ARGUMENTS: Final = (report, endpoints, dev)
for _command in _COMMANDS:
    app.command(
        _EXAMPLES[_command].split()[0],
        no_args_is_help=_command not in _WITHOUT_ARGUMENTS,
        epilog=f"For example: secoda-async {_EXAMPLES[_command]}",
    )(_command)


def _show_version(wanted: bool) -> None:  # typer calls it
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """The console script. Ends with one of `ExitStatus`."""
    make_ready()
    try:
        try:
            app()
        except OSError as error:  # a command tells of its own, so this is of what it prints
            why = error.strerror or error
            typer.echo(f"error: standard output cannot be written: {why}; mend that, or print to a file", err=True)
            raise SystemExit(ExitStatus.FAILED) from None
    except SystemExit as end:
        _leave_threads(end.code)
        raise
    finally:
        let_go_of_stdout()


def _leave_threads(status: object) -> None:
    """End the process where code of the user's goes on although its run was stopped: the interpreter would wait for it.

    What a run that was not stopped has left behind is waited for, as Python does.
    """
    mine = threading.current_thread()
    left = [thread for thread in threading.enumerate() if thread is not mine and not thread.daemon]
    is_stopped = status in (ExitStatus.INTERRUPTED, ExitStatus.TERMINATED)
    if isinstance(status, int) and (is_stopped or any(thread.name == EXTRACT_THREAD for thread in left)) and left:
        let_go_of_stdout()
        sys.stderr.flush()
        os._exit(status)
