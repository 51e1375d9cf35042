"""What a command takes from outside its line: settings, and secrets that never stand on it."""

from pathlib import Path

import orjson
import pytest

from tests.command_line import command, one_message

SOURCE = """
from secoda_async import Input, Resource, SecodaIntegration


class Tables(SecodaIntegration):
    inputs = {"token": Input()}

    async def extract(self) -> None:
        await self.declare_resource(Resource(entity_type="table", databuilder_id=self.credentials["token"][:2]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "source.py").write_text(SOURCE)
    return tmp_path


async def test_show_settings_tells_every_value_and_its_origin_and_runs_nothing(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.secoda-async]\nmax_body = 1000\n")
    status, out, errors = await command(
        *("run", "source.py:Tables", "--show-settings", "--concurrency", "7", "--set", "timeout=30"),
        cwd=folder,
        env={"SECODA_ASYNC_STRICT": "true", "COLUMNS": "200"},
    )
    assert (status, errors) == (0, "")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line.strip()}
    assert rows["concurrency"] == "7 --concurrency"
    assert rows["strict"] == "True SECODA_ASYNC_STRICT"
    assert rows["max_body"] == f"1000 {folder / 'pyproject.toml'}"
    assert rows["timeout"].endswith("--set timeout")
    assert not (folder / ".secoda-async").exists()


async def test_credentials_come_from_standard_input(folder: Path) -> None:
    status, out, _ = await command(
        *("run", "source.py:Tables", "--credentials-file", "-"), cwd=folder, stdin=b'{"token": "xy-geheim"}'
    )
    assert (status, orjson.loads(out)["databuilder_id"]) == (0, "xy")


async def test_two_secrets_cannot_both_be_standard_input(folder: Path) -> None:
    status, _, errors = await command(
        *("run", "source.py:Tables", "--credentials-file", "-", "--upload", "--integration-id", "x"),
        *("--api-key-file", "-"),
        cwd=folder,
        stdin=b"{}",
    )
    assert status == 2
    assert "cannot both be standard input" in one_message(errors)


async def test_json_prints_the_report_alone_on_standard_output(folder: Path) -> None:
    given = ("run", "source.py:Tables", "--credential", "token=xy-geheim", "--json")
    status, out, _ = await command(*given, "--out", "out", cwd=folder)
    assert (status, orjson.loads(out)["resources"]) == (0, {"table": 1})
    status, out, errors = await command(*given, cwd=folder)
    assert (status, out) == (2, "")
    assert "add --out or --upload, or use --report FILE" in one_message(errors)
