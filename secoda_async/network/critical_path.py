"""How long the requests took that had to be answered, one after the other, before the running task came where it is.

A task begins where the one that started it was, and each answer that it waits for adds its latency. `each` of the
workers begins every item anew, and hands on the longest. What a task learns from others by `asyncio.gather`, a task
group or a queue of its own is not seen, so a chain may be longer than this says, and is never shorter.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

_so_far: Final[ContextVar[float]] = ContextVar("secoda_async_critical_path", default=0.0)

so_far: Final = _so_far.get
"""Seconds of latency behind the running task."""
go_on_from: Final = _so_far.set
"""Say what is behind it."""


def wait_for(seconds: float) -> None:
    """The running task has taken in what had so many seconds behind it."""
    if seconds > _so_far.get():
        _so_far.set(seconds)
