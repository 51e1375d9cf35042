"""One run as a process of its own: a job comes as a line of JSON on standard input, its figures go to standard output.

It ends when standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Final

from secoda_async.bench.measure import Ended, measure
from secoda_async.bench.plan import Job, how_to_record
from secoda_async.errors import ConfigurationError, ReplayError, SecodaAsyncError
from secoda_async.load import load_integration
from secoda_async.redact import Redactor
from secoda_async.user_code import place_of

_STDOUT: Final = 1
_STDERR: Final = 2
_CLEAN_UP: Final = 2.0  # seconds that a run may take to end in order


def main() -> None:
    """Make one run."""
    out = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)  # what an integration prints is no figure
    job = Job.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    with os.fdopen(out, "wb") as file:
        file.write(run(job).model_dump_json().encode())


def run(job: Job) -> Ended:
    """Make one run, and tell how it ended."""
    redact = Redactor.of(job.credentials)
    try:
        found = load_integration(job.conditions.target)
        redact = Redactor.of(job.credentials, found.inputs)
        return Ended(figures=measure(job, found))
    except (Exception, SystemExit) as error:  # noqa: BLE001 # a user's file may raise anything
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
        told = str(error) if isinstance(error, SecodaAsyncError) else _with_place(error)
        if isinstance(error, ReplayError):
            notes += f"\n{how_to_record(job.conditions.target, job.conditions.journal)}"
        return Ended(error=redact(f"{told}{notes}"), is_usage=isinstance(error, ConfigurationError))


def _with_place(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}{place_of(error.__traceback__)}"


def _end_with_the_starter() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_CLEAN_UP)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
