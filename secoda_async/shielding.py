"""Work whose clean-up is not cut short, whoever cancels it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anyio
from anyio import AsyncFile


async def shieldable(work: Callable[[], Awaitable[None]]) -> None:
    """Do it in a task of its own: anyio's shields hold there, while a task that asyncio cancels has none.

    Usage: ``await shieldable(self._deliver)``. Raises what ``work`` raises, as itself.
    """
    errors: list[BaseException] = []

    async def body() -> None:
        try:
            await work()
        except BaseException as exc:  # noqa: BLE001 # raised below, as itself instead of in a group
            errors.append(exc)

    async with anyio.create_task_group() as group:
        group.start_soon(body)
    if errors:
        raise errors[0]


@asynccontextmanager
async def opened(path: Path, mode: Literal["rb", "wb"]) -> AsyncIterator[AsyncFile[bytes]]:
    """An open file, which is closed although its task is cancelled: ``async with opened(path, "wb") as file``."""
    file = await anyio.open_file(path, mode)
    try:
        yield file
    finally:
        with anyio.CancelScope(shield=True):
            await file.aclose()
