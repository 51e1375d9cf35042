"""``dev``: a workspace on this machine that a run can be uploaded to, and that says what each sync did."""

import signal
import socket
from pathlib import Path

import anyio
import orjson
import pytest

from tests.command_line import COMMAND, command, one_message
from tests.processes import started

SOURCE = """
from secoda_async import Resource, SecodaIntegration


class Tables(SecodaIntegration):
    async def extract(self):
        await self.declare_resource(Resource(entity_type="database", databuilder_id="d", title="d"))
"""


async def test_the_command_that_it_prints_uploads_to_it_and_it_tells_of_the_sync(tmp_path: Path) -> None:
    (tmp_path / "source.py").write_text(SOURCE)
    with started([COMMAND, "dev", "--port", "0"]) as process:
        assert process.stderr is not None
        said = [process.stderr.readline().decode().strip() for _ in range(7)]
        key = next(line for line in said if line.startswith("export SECODA_API_KEY="))
        run = next(line for line in said if line.startswith("secoda-async run")).split()
        run[2] = "source.py:Tables"
        status, _, errors = await command(
            *run[1:], env={"SECODA_API_KEY": key.removeprefix("export SECODA_API_KEY=")}, cwd=tmp_path
        )
        assert status == 0, errors
        line = await anyio.to_thread.run_sync(process.stderr.readline)
        assert "sync: 1 resource, 0 lineage; 1 added, 0 changed, 0 removed" in line.decode()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_json_is_one_line_that_a_program_reads() -> None:
    with started([COMMAND, "dev", "--port", "0", "--json", "--integration-id", "mine"]) as process:
        assert process.stdout is not None
        ready = orjson.loads(process.stdout.readline())
        assert ready["url"].startswith("http://127.0.0.1:")
        assert ready["integration_id"] == "mine"
        process.terminate()
        assert process.wait() == 0


@pytest.mark.parametrize("given", ["a/b", "..", ""])
async def test_an_id_that_nothing_could_be_uploaded_to_is_an_error_before_it_serves(given: str) -> None:
    status, out, errors = await command("dev", "--port", "0", "--integration-id", given)
    assert (status, out) == (2, "")
    assert f"integration_id must be the id of an integration, not {given!r}" in one_message(errors)


async def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, _, errors = await command("dev", "--port", taken.getsockname()[1])
    assert status == 2
    assert "is in use; give another one with --port" in one_message(errors)
