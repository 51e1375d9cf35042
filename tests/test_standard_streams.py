"""A command says what it has to say, or that it cannot, whatever its standard streams are."""

import ast
import os
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.command_line import COMMAND

SOURCE = """
from secoda_async import Resource, SecodaIntegration

class Große(SecodaIntegration):
    endpoints = ("GET x.com/größe",)
    async def extract(self):
        await self.declare_resource(Resource(entity_type="table", databuilder_id="größe"))
"""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def target(tmp_path: Path) -> str:
    (tmp_path / "source.py").write_text(SOURCE)
    return f"{tmp_path / 'source.py'}:Große"


def shell(line: str, *arguments: str, **environment: str) -> tuple[int, bytes, str]:
    done = subprocess.run(
        ["/bin/sh", "-c", line, COMMAND, *arguments],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", ["endpoints", "compile", "run --show-settings"])
def test_output_that_cannot_be_written_is_one_error(command: str, target: str) -> None:
    status, _, errors = shell(f'"$0" {command} "$1" > /dev/full', target)
    assert (status, errors) == (
        1,
        "error: standard output cannot be written: No space left on device; mend that, or print to a file\n",
    )


def test_output_that_is_closed_is_an_error_and_no_result(target: str, tmp_path: Path) -> None:
    status, _, errors = shell('"$0" run "$1" --quiet --state-dir "$2" >&-', target, str(tmp_path / "state"))
    assert (status, errors) == (1, "error: standard output cannot be written: Bad file descriptor\n")
    status, _, errors = shell('"$0" endpoints "$1" >&-', target)
    assert status == 1
    assert "error: standard output cannot be written: Bad file descriptor" in errors


def test_what_needs_no_output_runs_without_one(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    line = '"$0" run "$1" --quiet --out "$2" --state-dir "$3" <&- >&- 2>&-'
    assert shell(line, target, str(folder), str(tmp_path / "state"))[0] == 0
    assert orjson.loads((folder / "resources.jsonl").read_bytes())["databuilder_id"] == "größe"


def test_a_document_is_utf_8_in_every_locale(target: str, tmp_path: Path) -> None:
    name = os.fspath(tmp_path / "source.py")
    Path(name).write_text(SOURCE.replace("Große", "Plain"))
    status, out, errors = shell('"$0" compile "$1"', f"{name}:Plain", **ASCII)
    assert status == 0, errors
    assert 'databuilder_id="größe"' in out.decode()
    ast.parse(out)
    status, out, errors = shell('"$0" endpoints "$1" --json', f"{name}:Plain", **ASCII)
    assert (status, orjson.loads(out)["endpoints"][0]["path"]) == (0, "/größe"), errors


def test_a_message_that_the_locale_cannot_say_is_spelt_out(tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text(SOURCE.replace("Große", "Fails").replace("await", "raise ValueError('größe') #"))
    status, _, errors = shell('"$0" run "$1" --state-dir "$2"', f"{path}:Fails", str(tmp_path / "state"), **ASCII)
    assert status == 1
    assert r"ValueError: gr\xf6\xdfe" in errors
    assert "Traceback" not in errors
