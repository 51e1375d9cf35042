"""A job in a process of its own: it comes as a line of JSON on standard input, its result goes to standard output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from secoda_async.errors import SecodaAsyncError
from secoda_async.user_code import place_of

_STDOUT: Final = 1
_STDERR: Final = 2
_CLEAN_UP: Final = 2.0  # seconds that a job may take to end in order


class JobDied(Exception):  # noqa: N818 # how a process ended, which is its caller's to tell
    """Raised where a process ended without a result. ``said`` is the last line of its standard error."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"its process ended with status {status}")
        self.said = said


def run_job(module: str, job: bytes) -> bytes:
    """Run ``python -m module``, whose ``serve_job`` is given the job, and return its result.

    Usage: ``Ended.model_validate_json(run_job("secoda_async.bench", job.model_dump_json().encode()))``.
    The process ends when this one does. Raises JobDied.
    """
    # -P: a file of the working directory must not stand in for a module of Python's.
    command = [sys.executable, "-P", "-m", module]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 # this interpreter, and a module of this package
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # it died at once, and has said why
                # By a pipe: others may see a command's arguments and environment. It stays open as long as the job.
                process.stdin.write(job + b"\n")
                process.stdin.flush()
            result = process.stdout.read()
            process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(_CLEAN_UP)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        if result:
            return result
        said.seek(0)
        last = said.read().decode(errors="replace").strip().splitlines()[-1:]
    raise JobDied(process.returncode, "".join(last))


def serve_job(run: Callable[[bytes], bytes]) -> None:
    """Run the job that this process was started for, and end with it, whatever its threads are doing."""
    out = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)  # what an integration prints is no result
    job = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    with os.fdopen(out, "wb") as file:
        file.write(run(job))
    os._exit(0)


def told_of(error: BaseException) -> str:
    """What a job ended in, for a person; not redacted."""
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
    if isinstance(error, SecodaAsyncError):
        return f"{error}{notes}"
    return f"{type(error).__name__}: {error}{place_of(error.__traceback__)}{notes}"


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_CLEAN_UP)
    os._exit(128 + signal.SIGTERM)
