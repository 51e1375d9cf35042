"""The real command, as a process of its own."""

import os
import sys
from pathlib import Path

import anyio

COMMAND = str(Path(sys.executable).with_name("secoda-async"))


async def command(
    *arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None, stdin: bytes | None = None
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    done = await anyio.run_process(
        [COMMAND, *map(str, arguments)],
        check=False,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        cwd=cwd,
        input=stdin,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def one_message(errors: str) -> str:
    """The one line that says what happened; there must be no traceback beside it."""
    assert "Traceback" not in errors
    [line] = [line for line in errors.splitlines() if line.startswith("error: ")]
    return line
