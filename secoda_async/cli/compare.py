"""``secoda-async compare``: whether a port declares what its original does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from secoda_async.cli.credentials import read_credentials
from secoda_async.cli.failure import ExitStatus, exit_status, show_error, terminated_in_order
from secoda_async.cli.options import CredentialEnv, CredentialPair, CredentialsFile, Quiet
from secoda_async.cli.show_compare import show_comparison
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal
from secoda_async.comparison.compare import compare as compare_integrations
from secoda_async.errors import ConfigurationError
from secoda_async.redact import Redactor


def compare(  # noqa: PLR0917 # typer reads the options off the parameters
    old: Annotated[str, typer.Argument(metavar="OLD", help="The original, FILE.py:CLASS or MODULE:CLASS.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The port, which must declare the same.")],
    recording: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the source answered, as `run --record FILE` wrote it."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Without --recording: keep what the source answers OLD, for the next time."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Run both against the source: for a port that asks for other things.")
    ] = False,
    credential: CredentialPair = None,
    credential_env: CredentialEnv = None,
    credentials_file: CredentialsFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Run two integrations on one recording, and show how what they declare differs: the proof of a port.

    Without --recording, OLD is run once against its source and recorded. Both may be synchronous files of secodadk or
    integrations of secoda_async. Order is no difference, nor is a record that is repeated; repeats are counted.

    Nothing is delivered. Exit status 0: no difference; 5: they differ; 1: one of them failed.
    """
    console = Terminal(stderr=True)
    redact = Redactor()
    try:
        with terminated_in_order():
            _check(recording, record, live=live)
            credentials = read_credentials(credential or (), credential_env or (), credentials_file, None)
            redact = Redactor.of(credentials)
            with _shown(console, quiet=quiet) as on_step:
                found = compare_integrations(
                    old, new, credentials, recording=recording, record=record, live=live, on_step=on_step
                )
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, console, redact, debug=debug)
        raise typer.Exit(exit_status(error)) from None
    if as_json:
        print_document(found.model_dump_json(indent=2))
    else:
        show_comparison(found, Terminal(highlight=False))
    if not found.none:
        raise typer.Exit(ExitStatus.FINDINGS)


def _check(recording: Path | None, record: Path | None, *, live: bool) -> None:
    if live and (recording or record):
        raise ConfigurationError("--live uses no recording; leave out --recording and --record, or --live")
    if recording is not None and record is not None:
        raise ConfigurationError("give --recording or --record, not both: --record writes what --recording reads")
    if recording is not None and not recording.is_file():
        raise ConfigurationError(f"--recording: there is no file {recording}; leave it out, and OLD is recorded first")
    if record is not None and not record.absolute().parent.is_dir():
        raise ConfigurationError(f"--record: there is no folder {record.parent}; make it")


@contextmanager
def _shown(console: Console, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Say on a terminal what is being done; elsewhere nothing."""
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield status.update
