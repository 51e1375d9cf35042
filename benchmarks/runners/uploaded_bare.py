"""Uploads two files by aiohttp alone, with a multipart body of its own, of known length.

``python -m benchmarks.runners.uploaded_bare HOW URL TIMES RESOURCES LINEAGE``. HOW is where the files are read, and in
pieces of how many MiB: ``loop-1``, between two writes, while nothing else runs, or ``thread-1``. Prints one line of
JSON: ``seconds`` of each upload, with its own connection, and ``peak_bytes`` of memory.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import uvloop

from benchmarks.runners.peak import peak_bytes

MIB = 2**20


async def upload(url: str, how: str, files: dict[str, Path]) -> float:
    where, _, mib = how.partition("-")
    size = int(mib) * MIB
    boundary = f"secoda-async-{secrets.token_hex(16)}"
    heads = {
        field: (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{path.name}"\r\n'
            "Content-Type: application/x-ndjson\r\n\r\n"
        ).encode()
        for field, path in files.items()
    }
    end = f"--{boundary}--\r\n".encode()

    async def body() -> AsyncIterator[bytes]:
        for field, path in files.items():
            yield heads[field]
            with path.open("rb", buffering=0) as file:
                while piece := await asyncio.to_thread(file.read, size) if where == "thread" else file.read(size):
                    yield piece
            yield b"\r\n"
        yield end

    length = sum(len(heads[field]) + path.stat().st_size + 2 for field, path in files.items()) + len(end)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session, session.post(url, data=body(), headers=headers) as reply:
        reply.raise_for_status()
        await reply.read()
    return time.perf_counter() - began


def main() -> None:
    how, url, times, resources, lineage = sys.argv[1:]
    files = {"resources_file": Path(resources), "lineages_file": Path(lineage)}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seconds = [runner.run(upload(f"{url}/import", how, files)) for _ in range(int(times))]
    print(orjson.dumps({"seconds": seconds, "peak_bytes": peak_bytes()}).decode())


if __name__ == "__main__":
    main()
