"""Status 0 says one thing only: all of it was extracted and delivered."""

import asyncio
import sys
import textwrap
from pathlib import Path

import anyio
import pytest

from secoda_async import (
    ConfigurationError,
    CredentialError,
    IncompleteRunError,
    OutputError,
    RulesError,
    RunError,
    UploadError,
)
from secoda_async.cli.failure import ExitStatus, exit_status

ENDS = """
    import asyncio, os, signal
    from secoda_async import Resource, SecodaIntegration

    class Ends(SecodaIntegration):
        async def extract(self) -> None:
            await self.declare_resource(Resource(entity_type="table", databuilder_id="x"))
            {body}
"""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        *[(SystemExit(code), 1) for code in (0, None, "", 1, 2, 130)],
        (SystemExit(143), 143),
        (KeyboardInterrupt(), 130),
        (asyncio.CancelledError(), 1),
        (GeneratorExit(), 1),
        (BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError()]), 1),
        (ExceptionGroup("several", [ValueError()]), 1),
        (RunError("no"), 1),
        (IncompleteRunError("no"), 1),
        (OutputError("no"), 1),
        (UploadError("no", ambiguous=True), 1),
        (RulesError("no", breaches=()), 3),
        (ConfigurationError("no"), 2),
        (CredentialError("no"), 2),
    ],
    ids=repr,
)
def test_no_error_ends_in_status_0(error: BaseException, status: int) -> None:
    assert exit_status(error) == status
    assert ExitStatus(status) is not ExitStatus.COMPLETE


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(0)", 1),
        ("raise SystemExit", 1),
        ("raise asyncio.CancelledError", 1),
        ("raise GeneratorExit", 1),
        ("raise KeyboardInterrupt", 130),
        ("asyncio.current_task().cancel(); await asyncio.sleep(1)", 1),
        ("[task.cancel() for task in asyncio.all_tasks()]; await asyncio.sleep(1)", 1),
        ("asyncio.get_running_loop().create_task(asyncio.sleep(9)); await asyncio.sleep(0)", 1),
        ("self.http_get('http://x.example/')", 1),
        ("self.map([1], print)", 1),
        ("asyncio.get_running_loop().stop()", 1),
        ("os.kill(os.getpid(), signal.SIGINT); await asyncio.sleep(9)", 130),
        ("os.kill(os.getpid(), signal.SIGTERM); await asyncio.sleep(9)", 143),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143),
    ],
)
async def test_whatever_extract_does_a_run_that_lost_something_is_not_status_0(
    body: str, status: int, tmp_path: Path
) -> None:
    (tmp_path / "ends.py").write_text(textwrap.dedent(ENDS).replace("{body}", body))
    command = [Path(sys.executable).with_name("secoda-async"), "run", tmp_path / "ends.py:Ends"]
    with anyio.fail_after(60):
        done = await anyio.run_process([*map(str, command), "--out", str(tmp_path / "out")], check=False)
    assert done.returncode == status, done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert (tmp_path / "out" / "run.json").exists() is (status == 0)
