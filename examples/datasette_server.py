"""Runs a real Datasette over SQLite files, as a process of its own on a free port."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_READY = "Uvicorn running on "


@contextmanager
def serve_datasette(files: Sequence[Path], *options: str) -> Iterator[str]:
    """Serve the files until the block ends; gives the base URL.

    Usage: ``with serve_datasette(files, "--setting", "max_returned_rows", "10") as url: ...``.
    Raises RuntimeError with the last thing Datasette said where it does not start.
    """
    # -P: a file called datasette.py in the working directory is not what is meant.
    command = [sys.executable, "-P", "-m", "datasette", "serve", *map(str, files), "--port", "0", *options]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        # What nobody reads fills the pipe, and then the server stands still.
        reader = threading.Thread(target=process.stderr.read)
        try:
            last = "it said nothing"
            for line in process.stderr:
                if _READY in line:
                    break
                last = line.strip() or last
            else:
                raise RuntimeError(f"Datasette did not start: {last}")
            reader.start()
            yield line.partition(_READY)[2].split()[0]
        finally:
            process.terminate()
            process.wait()
            if reader.ident is not None:
                reader.join()
