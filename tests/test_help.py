"""Help teaches: each command ends with a line that can be typed."""

import re

import pytest
import typer

from secoda_async.cli.app import app

GROUP = typer.main.get_command(app)
COMMANDS = GROUP.commands


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_one_that_it_takes(name: str) -> None:
    command = COMMANDS[name]
    assert command.epilog
    found = re.fullmatch(rf"For example: secoda-async {name} (.*)", command.epilog)
    assert found, command.epilog
    command.make_context(name, found[1].split())  # raises where it does not take them


def test_a_newcomer_is_told_what_to_type_first() -> None:
    assert "secoda-async init" in (GROUP.epilog or "")
    assert next(iter(COMMANDS)) == "init"
