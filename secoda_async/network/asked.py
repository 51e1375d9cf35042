"""Which request the running task had answered last: where a record that it declares comes from."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from secoda_async.network.message import Request

last_asked: Final[ContextVar[Request | None]] = ContextVar("secoda_async_last_asked", default=None)
