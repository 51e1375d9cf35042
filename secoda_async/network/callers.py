"""Which tasks go on only when the running one does: its own, and those whose ``for_each`` it works for."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any, Final

Tasks = tuple[asyncio.Task[Any] | None, ...]
_chain: Final[ContextVar[Tasks]] = ContextVar("secoda_async_callers", default=())


def halted_here() -> Tasks:
    """The running task and those that wait for its end, as far as is known."""
    me, known = asyncio.current_task(), _chain.get()
    return known if known and known[0] is me else (me,)  # a task that it starts inherits the variable, not the callers


def work_for(callers: Tasks) -> None:
    """Say that these wait for the end of the running task."""
    _chain.set((asyncio.current_task(), *callers))
