"""``init``: what it makes runs, passes its own tests, and is what it says."""

import os
import sys
from pathlib import Path

import anyio
import pytest

from tests.command_line import command, one_message


async def test_what_it_makes_runs_from_its_recording_keeps_the_rules_and_passes_its_tests(tmp_path: Path) -> None:
    status, out, errors = await command("init", "data-warehouse", cwd=tmp_path)
    assert (status, errors) == (0, "")
    folder = tmp_path / "data_warehouse"
    made = sorted(path.name for path in folder.iterdir())
    assert made == [
        *(".gitignore", "data_warehouse.journal", "data_warehouse.py", "fake_api.py", "pyproject.toml"),
        "test_data_warehouse.py",
    ]
    # Each line that it says to type.
    [run] = [line.split() for line in out.splitlines() if line.startswith("  secoda-async run")]
    status, _, errors = await command(*run[1:], cwd=folder)
    assert (status, "complete" in errors) == (0, True), errors
    status, out, _ = await command("validate", "out", cwd=folder)
    assert (status, "no rule is broken by 19 resources and 3 lineages" in out) == (0, True)
    done = await anyio.run_process(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
    )
    assert done.stdout.decode().splitlines()[-1].startswith("4 passed"), done.stdout.decode()
    for how in (("format", "--check"), ("check", "--select", "E,F,B,UP")):
        done = await anyio.run_process([sys.executable, "-m", "ruff", *how, "--isolated", "."], cwd=folder, check=False)
        assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1st", "write letters, digits, - and _, a letter first"),
        ("a/b", "write letters"),
        ("json", "another module has it"),
        ("pytest", "another module has it"),
        ("__main__", "write letters"),
        ("conftest", "another module has it"),
        ("aiohttp", "another module has it"),
        ("class", "another module has it"),
        ("fake-api", "another module has it"),
    ],
)
async def test_a_name_that_cannot_be_a_module_is_refused(name: str, said: str, tmp_path: Path) -> None:
    status, _, errors = await command("init", name, cwd=tmp_path)
    assert (status, said in one_message(errors)) == (2, True)
    assert await anyio.to_thread.run_sync(os.listdir, tmp_path) == []


async def test_a_folder_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "mine.txt").write_text("mine")
    status, _, errors = await command("init", "jobs", cwd=tmp_path)
    assert (status, "jobs exists; choose another name" in one_message(errors)) == (2, True)
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["mine.txt"]
    status, out, _ = await command("init", "jobs", "--directory", "deep/er", cwd=tmp_path)
    assert (status, (tmp_path / "deep" / "er" / "jobs.py").is_file()) == (0, True)
    assert "cd deep/er" in out
