"""Hosts with limits that they do not tell of, on virtual time: what a control has to find out."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from secoda_async.network.message import Request, Response, Transport

REFUSAL = 0.002  # seconds a refusal takes: it comes back fast


@dataclass
class Host(Transport):
    """Takes everything, and needs ``latency`` seconds for it, give or take a tenth."""

    latency: float
    seed: int = 1
    answers: list[tuple[float, int]] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    @override
    async def send(self, request: Request) -> Response:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            refusal = self.refuse(now())
            await asyncio.sleep(REFUSAL if refusal else self.service())
        finally:
            self.in_flight -= 1
        status = refusal or 200
        self.answers.append((now(), status))
        return Response(request, status, headers=CIMultiDictProxy(CIMultiDict(self.headers(status))))

    @override
    async def aclose(self) -> None:
        return

    def refuse(self, moment: float) -> int:
        """The status of a refusal; 0: it is taken."""
        return 0

    def service(self) -> float:
        return self.latency * (1 + 0.1 * (2 * self.random.random() - 1))

    def headers(self, status: int) -> dict[str, str]:
        return {}

    # What a test asks about it.

    def after(self, seconds: float, requests: int) -> list[tuple[float, int]]:
        """The answers after a warm-up: both so many seconds and so many requests."""
        return [(moment, status) for moment, status in self.answers[requests:] if moment >= seconds]


def now() -> float:
    return asyncio.get_running_loop().time()


def refused(answers: list[tuple[float, int]]) -> float:
    return sum(status != 200 for _, status in answers) / len(answers)


def per_second(answers: list[tuple[float, int]]) -> float:
    """Good answers a second."""
    return sum(status == 200 for _, status in answers) / (answers[-1][0] - answers[0][0])


@dataclass
class Sliding(Host):
    """Takes so many in any ``per`` seconds, and refuses more."""

    requests: int = 20
    per: float = 1.0
    status: int = 429
    taken: deque[float] = field(default_factory=deque)
    tells: bool = False

    @override
    def refuse(self, moment: float) -> int:
        while self.taken and self.taken[0] <= moment - self.per:
            self.taken.popleft()
        if len(self.taken) >= self.requests:
            return self.status
        self.taken.append(moment)
        return 0

    @override
    def headers(self, status: int) -> dict[str, str]:
        return {"Retry-After": "1"} if self.tells and status == self.status else {}


@dataclass
class FewAtOnce(Host):
    """Takes so many at once, and refuses more."""

    most: int = 16
    status: int = 429

    @override
    def refuse(self, moment: float) -> int:
        return self.status if self.in_flight > self.most else 0


@dataclass
class Pool(Host):
    """Works on so many at once, lets others wait, and gets slower by ``thrash`` for each that waits."""

    size: int = 15
    thrash: float = 0.0
    breaks_above: int = 10**9

    def __post_init__(self) -> None:
        super().__post_init__()
        self.free_at = [0.0] * self.size

    @override
    def refuse(self, moment: float) -> int:
        return 503 if self.in_flight > self.breaks_above else 0

    @override
    def service(self) -> float:
        worker = min(range(self.size), key=self.free_at.__getitem__)
        work = super().service() * (1 + self.thrash * max(0, self.in_flight - self.size))
        self.free_at[worker] = max(now(), self.free_at[worker]) + work
        return self.free_at[worker] - now()


@dataclass
class Changing(Host):
    """Becomes slower or faster by itself."""

    latencies: Callable[[int], float] = lambda _: 0.05
    served: int = 0

    @override
    def service(self) -> float:
        self.served += 1
        self.latency = self.latencies(self.served)
        return super().service()


@dataclass
class Planned(Host):
    """Answers with the statuses that it is given, one after another."""

    statuses: Iterator[int] = field(default_factory=lambda: iter(()))

    @override
    def refuse(self, moment: float) -> int:
        status = next(self.statuses, 200)
        return 0 if status == 200 else status


@dataclass
class Unsteady(Host):
    """Fails at so many of a hundred requests, whatever its load, and takes everything else."""

    percent: float = 3.0
    status: int = 503

    @override
    def refuse(self, moment: float) -> int:
        return self.status if self.random.random() < self.percent / 100 else 0


@dataclass
class Dying(Unsteady):
    """The same, until it fails at everything for a while."""

    dead: tuple[float, float] = (5.0, 35.0)

    @override
    def refuse(self, moment: float) -> int:
        return self.status if self.dead[0] <= moment < self.dead[1] else super().refuse(moment)
