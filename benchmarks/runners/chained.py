"""The same GETs through the whole chain of layers and through bare aiohttp, in turn: what each costs this process.

Usage: ``python -m benchmarks.runners.chained URL SUFFIX REQUESTS IN_FLIGHT ROUNDS``; what is asked for is
``/tables/<n><suffix>``.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import orjson
from yarl import URL

from secoda_async import BearerAuth, RateLimit
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.process import run_in_process
from secoda_async.redact import Redactor
from secoda_async.settings import Settings

Get = Callable[[int], Awaitable[int]]
"""Asks for the n-th, and gives the number of bytes of its body."""

TOKEN = "a-token-of-forty-characters-or-thereabouts"


def chained(url: str, suffix: str, client: Client) -> Get:
    async def get(n: int) -> int:
        reply = await client.request("GET", f"/tables/{n}{suffix}", follow_redirects=True)
        return len(reply.content)

    return get


def bare(url: str, suffix: str, session: aiohttp.ClientSession) -> Get:
    async def get(n: int) -> int:
        async with session.get(f"{url}/tables/{n}{suffix}") as reply:
            return len(await reply.read())

    return get


async def spend(get: Get, requests: int, in_flight: int) -> tuple[float, int]:
    """Processor seconds of this process, and bytes of the bodies."""
    left = iter(range(requests))
    received = 0

    async def work() -> None:
        nonlocal received
        for n in left:
            size = await get(n % 1000)
            received += size

    gc.collect()
    before = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return time.process_time() - before, received


async def main(url: str, suffix: str, requests: int, in_flight: int, rounds: int) -> None:
    host = URL(url).authority
    settings = Settings(
        base_url=url,
        rate_limits={host: RateLimit(100_000)},
        allowed_hosts=[host],
        endpoints=[f"GET {host}/{URL(url).path.strip('/')}/tables/**"],
    )
    auth = BearerAuth(TOKEN)
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "User-Agent": "secoda-async/0.0.0",
        "Accept-Encoding": "gzip, deflate",
    }
    findings = Findings()
    async with (
        Client(settings, traffic=Traffic(), findings=findings, redact=Redactor(), auth=auth) as client,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        ways = {"chain": chained(url, suffix, client), "aiohttp": bare(url, suffix, session)}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        sizes = set()
        for _ in range(rounds + 1):
            for way, get in ways.items():
                taken, received = await spend(get, requests, in_flight)
                seconds[way].append(taken)
                sizes.add(received)
    result = {way: taken[1:] for way, taken in seconds.items()}  # the first opened connections, and found the slots
    print(orjson.dumps({"seconds": result, "equal": len(sizes) == 1, "findings": len(findings.list())}).decode())


if __name__ == "__main__":
    url, suffix, *numbers = sys.argv[1:]
    run_in_process(lambda: main(url, suffix, *map(int, numbers)))
