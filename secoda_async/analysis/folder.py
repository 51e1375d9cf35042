"""A folder for what an analysis writes on the way, gone at its end however it ends."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread

from secoda_async.errors import SpoolError


@asynccontextmanager
async def temporary_folder(work: Path, prefix: str) -> AsyncIterator[Path]:
    """A new folder in ``work``. Raises SpoolError where it cannot be made.

    Usage: ``async with temporary_folder(spool.directory, "rules-") as folder``.
    """
    with anyio.CancelScope(shield=True):  # or a folder that is made in that moment would stay
        try:
            folder = await to_thread.run_sync(lambda: tempfile.TemporaryDirectory(prefix=prefix, dir=work))
        except OSError as exc:
            raise SpoolError(f"{work} cannot be written: {exc.strerror or exc}; free space there") from exc
    try:
        yield Path(folder.name)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(folder.cleanup)
