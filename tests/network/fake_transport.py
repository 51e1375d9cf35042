"""A transport at the seam: it answers what it is told to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from typing_extensions import override

from secoda_async.network.message import Request, Response, Transport

Answer = Callable[[Request], Response | Exception]


@dataclass
class FakeTransport(Transport):
    """Answers what it is told to, and remembers what it was asked; while ``hold`` is not set, nobody gets an answer."""

    answer: Answer = lambda request: Response(request, 200)
    asked: list[Request] = field(default_factory=list)
    closed: int = 0
    hold: asyncio.Event | None = None

    @override
    async def send(self, request: Request) -> Response:
        self.asked.append(request)
        if self.hold is not None:
            await self.hold.wait()
        answer = self.answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @override
    async def aclose(self) -> None:
        self.closed += 1
