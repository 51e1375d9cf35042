"""The README's table of rooms is the order that the import contracts keep."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
TABLED = {"secoda_async", "secoda_async.network", "secoda_async.pipeline", "secoda_async.pagination"}


def rooms() -> list[str]:
    """Full names in the order of the table; a row's first name may have a folder that holds for the rest of it."""
    table = (ROOT / "README.md").read_text().partition("| room | job |\n|---|---|\n")[2].partition("\n\n")[0]
    found = []
    for row in table.splitlines():
        folder = ""
        for name in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
            folder = name.rpartition("/")[0] or folder
            found.append(".".join(filter(None, ("secoda_async", folder, name.rpartition("/")[2]))))
    return found


@pytest.mark.parametrize(
    "contract", [one for one in CONTRACTS if one["containers"][0] in TABLED], ids=lambda one: one["name"]
)
def test_every_room_is_in_the_table_and_none_stands_before_one_that_it_may_import(
    contract: dict[str, list[str]],
) -> None:
    [container] = contract["containers"]
    level = {
        f"{container}.{room.strip()}": -number
        for number, layer in enumerate(contract["layers"])
        for room in layer.split("|")
    }
    in_table = rooms()
    told = [room for room in in_table if room in level]
    folders = {room for room in level if any(one.startswith(f"{room}.") for one in in_table)}
    assert sorted(told) == sorted(set(level) - folders)
    assert told == sorted(told, key=level.__getitem__)
