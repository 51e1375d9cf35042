"""``secoda-async bench``: how fast an integration is on a journal, and what keeps it from being faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from secoda_async.bench.plan import (
    Concurrency,
    Conditions,
    how_to_record,
    name_of,
    parse_concurrency,
    parse_latency,
    parse_limits,
    parse_share,
    require_place,
)
from secoda_async.bench.plot import plot as draw
from secoda_async.bench.plot import require_plots
from secoda_async.bench.sweep import Plan, sweep
from secoda_async.bench.sweep import plan as plan_sweep
from secoda_async.cli.credentials import read_credentials
from secoda_async.cli.failure import exit_status, show_error, terminated_in_order
from secoda_async.cli.options import CredentialEnv, CredentialPair, CredentialsFile, Quiet, TargetClass
from secoda_async.cli.show_bench import show_bench, show_plan
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal
from secoda_async.errors import ConfigurationError, OutputError
from secoda_async.load import load_integration
from secoda_async.redact import Redactor
from secoda_async.spool import replace_file

_REFRESH: Final = 2  # times a second: the runs have the processor


def bench(  # noqa: PLR0917 # typer reads the options off the parameters
    target: TargetClass,
    journal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the source answered, as `run --record FILE` wrote it. Required."),
    ] = None,
    latency: Annotated[
        str,
        typer.Option(metavar="TIME", help="What every answer takes, such as 100ms; or what it took when recorded."),
    ] = "recorded",
    jitter: Annotated[str, typer.Option(metavar="SHARE", help="How much that varies, such as 20%.")] = "0",
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=N/SECONDS",
            help="A rate limit in place of the declared one, such as api.x.com=100/60. KEY=none: none for that key; "
            "none: no declared one at all.",
        ),
    ] = None,
    error_rate: Annotated[
        str, typer.Option(metavar="SHARE", help="How many attempts end in a 503 or find no connection, such as 2%.")
    ] = "0",
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Requests in flight at once to compare. Default: 1,10,100,adaptive, without what takes long.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, metavar="N", help="Runs of each; the median counts.")] = 3,
    seed: Annotated[int, typer.Option(metavar="N", help="Another one varies latency and errors otherwise.")] = 1,
    credential: CredentialPair = None,
    credential_env: CredentialEnv = None,
    credentials_file: CredentialsFile = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures there, as JSON.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw requests a second over concurrency; needs matplotlib.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Run an integration on a recorded journal, without a network, and show how fast it is and what holds it up.

    Record the journal first: secoda-async run MODULE_OR_FILE:CLASS --record FILE --out DIR.

    Nothing is delivered. Each run is a process of its own. Exit status 1 where one fails.
    """
    console = Terminal(stderr=True)
    redact = Redactor()
    try:
        with terminated_in_order():
            if journal is None:
                raise ConfigurationError(f"--journal is missing. {how_to_record(target, Path('FILE'))}")
            limits, without_limits = parse_limits(limit or ())
            conditions = Conditions(
                target=target,
                journal=journal,
                latency=parse_latency(latency),
                jitter=parse_share(jitter, "--jitter"),
                limits=limits,
                without_limits=without_limits,
                error_rate=parse_share(error_rate, "--error-rate"),
                seed=seed,
            )
            points = () if concurrency is None else parse_concurrency(concurrency)
            if report is not None:
                require_place(report, "--report")
            if plot is not None:
                require_place(plot, "--plot")
                require_plots(plot)
            found = load_integration(target)
            credentials = read_credentials(credential or (), credential_env or (), credentials_file, found.inputs)
            redact = Redactor.of(credentials, found.inputs)
            planned = plan_sweep(found, conditions, credentials, points=points, rounds=rounds)
            if not quiet:
                show_plan(planned, console)
            with _shown(planned, console, quiet=quiet) as on_run:
                made = sweep(planned, credentials, on_run=on_run)
            text = made.model_dump_json(indent=2)
            if report is not None:
                _write(report, text)
            if plot is not None:
                draw(made, plot)
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, console, redact, debug=debug)
        raise typer.Exit(exit_status(error)) from None
    if as_json:
        print_document(text)
    else:
        show_bench(made, Terminal(highlight=False))


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, f"{text}\n".encode())
    except OSError as exc:
        raise OutputError(f"the report {path} cannot be written: {exc.strerror or exc}") from exc


@contextmanager
def _shown(planned: Plan, console: Console, *, quiet: bool) -> Iterator[Callable[[int, Concurrency], None]]:
    """Say on a terminal what is being measured; elsewhere nothing."""
    if quiet or not console.is_terminal:
        yield lambda *_: None
        return
    with console.status("", refresh_per_second=_REFRESH) as status:
        yield lambda number, point: status.update(f"round {number} of {planned.rounds}, concurrency {name_of(point)}")
