"""A command as a process of its own, that never outlives its test."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def started(command: Sequence[object], **options: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """A process with its output in pipes; killed where the test ends before it does.

    Usage: ``with started([COMMAND, "run", ...]) as process: ...``.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen([str(part) for part in command], **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
