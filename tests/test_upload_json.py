"""``upload --json``: one document on standard output, whatever became of the upload."""

from pathlib import Path

import orjson
import pytest

from secoda_async.testing import FakeWorkspace
from tests.command_line import command

LINE = b'{"entity_type": "database", "databuilder_id": "d", "title": "d"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "resources.jsonl").write_bytes(LINE)
    (tmp_path / "lineage.jsonl").write_bytes(b"")
    return tmp_path


async def upload(folder: Path, url: str, key: str = "key", *options: str) -> tuple[int, dict[str, object], str]:
    status, out, errors = await command(
        *("upload", folder, "--integration-id", "mine", "--base-url", url, "--json", *options),
        cwd=folder,
        env={"SECODA_API_KEY": key},
    )
    return status, orjson.loads(out), errors


async def test_what_was_found_out_and_delivered_is_one_document(folder: Path) -> None:
    async with FakeWorkspace(api_key="key") as workspace:
        workspace.create_integration("mine", integration_id="mine")
        status, told, errors = await upload(folder, workspace.url, "key", "--quiet")
        assert (status, errors) == (0, "")
        assert (told["delivery"], told["error"], told["lacks"]) == ("delivered", None, "")
        assert isinstance(told["diff"], dict)
        assert told["diff"]["added"] == 1
        assert isinstance(told["verdict"], dict)
        status, told, _ = await upload(folder, workspace.url, "key", "--dry-run")
        assert (status, told["delivery"]) == (0, "nothing")
        assert len(workspace.syncs("mine")) == 1


async def test_a_refusal_is_in_it_and_on_standard_error(folder: Path) -> None:
    async with FakeWorkspace(api_key="key") as workspace:
        workspace.create_integration("mine", integration_id="mine")
        status, told, errors = await upload(folder, workspace.url, "geheimer-falscher-key")
    assert (status, told["delivery"]) == (1, "nothing")
    assert "check the API key" in str(told["error"])
    assert "check the API key" in errors
    assert "geheim" not in errors + str(told)
