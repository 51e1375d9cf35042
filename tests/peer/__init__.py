"""The real secodadk, asked in a process of its own: its pins must not touch ours.

The scripts beside this file run with the peer's Python and import nothing of this project.
"""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

import pytest

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-secodadk" / "bin" / "python"


def peer_python() -> Path:
    """The interpreter that has secodadk. Fails the test, and never skips it, where there is none."""
    if not PYTHON.exists():
        pytest.fail(f"the environment with the real secodadk is missing ({PYTHON}); `make test` makes it")
    return PYTHON


class Peer:
    """One long-lived process that answers a line with a line.

    Usage: ``with Peer("records.py") as peer: peer.ask({"model": "Resource", "fields": {...}})``.
    """

    def __init__(self, script: str) -> None:
        self._process = subprocess.Popen(
            [str(peer_python()), "-P", "-W", "ignore", str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="ascii",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the peer ended with status {self._process.wait()}; it says why on stderr"
        return json.loads(answer)
