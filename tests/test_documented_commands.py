"""Every command that the documentation shows is one that the command line understands."""

import shlex
from pathlib import Path

import pytest
import typer.main

from secoda_async.cli.app import app
from tests.markdown import ROOT, blocks

CLICK = typer.main.get_command(app)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]


def commands(page: Path) -> list[str]:
    """The lines that start the command, continued ones as one, without comments and what stands before them."""
    lines = []
    for language in ("sh", "text"):
        for block in blocks(page, language):
            for line in block.code.replace("\\\n", " ").splitlines():
                before, found, after = line.partition("secoda-async ")
                if found and not before.strip().startswith(("#", "pip")):
                    lines.append(after.rstrip("& "))
    return lines


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_each_is_understood(page: Path) -> None:
    for line in commands(page):
        name, *arguments = shlex.split(line, comments=True)
        CLICK.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]  # raises where it is not


def test_there_are_some() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 20
