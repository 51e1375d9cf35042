"""``secoda-async init``: a new integration with its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from secoda_async.cli.failure import exit_status, show_error
from secoda_async.cli.terminal import Terminal
from secoda_async.redact import Redactor

_SAID = (
    "the integration: begin here",
    "the API that it talks to in tests",
    "its tests, with every fault that a source may have",
    "settings",
    "",
    "a recorded run, for --replay, bench and the tests",
)


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it extracts from, such as `warehouse`.")],
    directory: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder to make. Default: one called NAME, here.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Make the folder of a new integration: one that runs, its tests, and a recorded run.

    It talks to a made-up API and needs no network, so that each step of making it yours can be tried.
    """
    # It imports what tests need, which no other command does.
    from secoda_async.scaffold.make_project import Names, make_project  # noqa: PLC0415

    console = Terminal(highlight=False)
    try:
        names = Names.of(name)
        folder = directory or Path(names.module)
        written = make_project(folder, names)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, Terminal(stderr=True), Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None
    table = Table.grid(padding=(0, 2))
    for path, said in zip(written, _SAID, strict=True):
        if said:
            table.add_row(Text(f"  {path.name}"), Text(said, style="dim"))
    console.print(Text(f"made {folder}", style="bold green"))
    console.print(table)
    target = f"{names.module}.py:{names.class_name}"
    steps = (
        f"cd {folder}",
        f"secoda-async run {target} --credential token=any --replay {names.module}.journal --out out",
        "secoda-async validate out",
        "pytest      # pip install pytest, where it is not there",
    )
    console.print("\nTry it, without any network:")
    for step in steps:
        console.print(Text(f"  {step}"), soft_wrap=True)
    console.print(
        Text(
            f"\nThen give {names.module}.py your API, and see whether it lets you in:\n  secoda-async check {target} "
            f"--credential-env token={names.variable}_TOKEN"
        ),
        soft_wrap=True,
    )
