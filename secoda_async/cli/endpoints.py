"""``secoda-async endpoints``: what Secoda's permission form asks of an integration, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import orjson
import typer

from secoda_async.cli.failure import exit_status, show_error
from secoda_async.cli.find_report import LAST, find_report
from secoda_async.cli.options import StateDir
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal, spelt_out
from secoda_async.errors import ConfigurationError
from secoda_async.integration import SecodaIntegration
from secoda_async.load import load_integration
from secoda_async.network.endpoint import Endpoint
from secoda_async.redact import Redactor
from secoda_async.report import InputReport, RunReport


class _Line(NamedTuple):
    host: str
    method: str
    path: str
    credentials: str


class _Form(NamedTuple):
    endpoints: list[_Line]
    inputs: list[InputReport]


def endpoints(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODULE_OR_FILE:CLASS",
            help="A run's id, folder or report, or `last`: what it asked. An integration: what it declares.",
        ),
    ] = LAST,
    state_dir: StateDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Print the endpoints and the inputs that publishing an integration asks for, as Markdown tables."""
    try:
        form = _declared(load_integration(target)) if ":" in target else _asked(find_report(target, state_dir))
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, Terminal(stderr=True), Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None
    if as_json:
        lines = [line._asdict() for line in form.endpoints]
        inputs = [one.model_dump() for one in form.inputs]
        print_document(orjson.dumps({"endpoints": lines, "inputs": inputs}, option=orjson.OPT_INDENT_2).decode())
        return
    print_document(_table(("Host", "Method", "Path", "Credentials"), form.endpoints))
    if form.inputs:
        said = [
            (one.name, "yes" if one.secret else "no", "yes" if one.required else "no", one.description)
            for one in form.inputs
        ]
        print_document("\n" + _table(("Input", "Sensitive", "Required", "Description"), said))
    else:
        print_document("\nThe integration declares no `inputs`, so the inputs of its form are not listed here.")


def _asked(report: RunReport) -> _Form:
    lines = [_Line(one.host, one.method, one.path, ", ".join(one.auth)) for one in report.source.endpoints]
    if not lines:
        raise ConfigurationError(f"the run {report.run} asked nothing, so there is no endpoint to list")
    return _Form(lines, report.inputs)


def _declared(found: type[SecodaIntegration]) -> _Form:
    declared: Iterable[str] | None = getattr(found, "endpoints", None)
    if not declared:
        raise ConfigurationError(
            f"{found.__name__} declares no endpoints; declare them, or run or check it, and list what it asked: "
            "secoda-async endpoints last"
        )
    lines = []
    for text in declared:
        one = Endpoint.parse(text, setting="endpoints")
        host_and_path = text.removeprefix(one.method or "").strip()
        path = f"/{host_and_path.partition('/')[2]}" if one.path is not None else "/**"
        lines.append(_Line(one.host, one.method or "any", path, "as the integration sets them"))
    return _Form(lines, InputReport.list_of(found.inputs))


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    # A path is what a source answered with, in part, so it is no markup and stays in its cell.
    return " ".join(spelt_out(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
