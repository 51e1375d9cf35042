"""Bounds how many requests a run makes, so that a loop without an end has one."""

from __future__ import annotations

import anyio
from typing_extensions import override

from secoda_async.errors import RequestBudgetError
from secoda_async.network.message import Layer, Request, Response, Transport


class Budget(Layer):
    """Lets so many requests through. Raises RequestBudgetError for each one more, when those have ended."""

    def __init__(self, inner: Transport, most: int) -> None:
        super().__init__(inner)
        self._most = most
        self._asked = 0
        self._in_flight = 0
        self._quiet = anyio.Event()

    @override
    async def send(self, request: Request) -> Response:
        self._asked += 1
        if self._asked > self._most:
            if self._in_flight:  # the error may end the run, and what was let through is worth an answer
                await self._quiet.wait()
            raise RequestBudgetError(
                f"{request} would be one more than the {self._most:,} requests that max_requests allows; "
                "look for a loop that has no end, or raise it",
                request=request,
            )
        self._in_flight += 1
        try:
            return await self._inner.send(request)
        finally:
            self._in_flight -= 1
            if not self._in_flight and self._asked >= self._most:
                self._quiet.set()
