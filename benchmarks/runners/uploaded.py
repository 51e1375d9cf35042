"""Uploads by `SecodaSink`.

``python -m benchmarks.runners.uploaded run URL FOLDER TABLES``: a run that declares so many tables of 20 columns and
delivers them. Prints where its time went, and where its files are.

``… exchange URL TIMES RESOURCES LINEAGE``: the upload alone, of files that a run has left. Prints the seconds of
each, with its own connection. Both print the peak of memory of this process.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from typing_extensions import override

from benchmarks.runners.peak import peak_bytes
from benchmarks.runners.receiver import INTEGRATION
from benchmarks.runners.records_ours import OURS
from benchmarks.runners.records_rows import crawl
from secoda_async import SecodaIntegration, SecodaSink, Spool
from secoda_async.dataset import Dataset
from secoda_async.process import run_in_process
from secoda_async.spool_index import Kind


class Uploading(SecodaSink):
    """Keeps the times of its commit, and what it was given."""

    times: tuple[float, float]
    files: dict[str, Any]

    @override
    async def commit(self, spool: Spool) -> None:
        began = time.perf_counter()
        await super().commit(spool)
        self.times = (began, time.perf_counter())
        files = [spool.file(kind) for kind in Kind]
        self.files = {
            "files": [str(file.path) for file in files],
            "bytes": sum(file.bytes for file in files),
            "records": sum(file.records for file in files),
        }


class Tables(SecodaIntegration):
    """As many as it is told to, and one that ends the lineage."""

    tables: int

    @override
    async def extract(self) -> None:
        for n in range(self.tables):
            for kind, keywords in crawl(n):
                if kind == "lineage":
                    await self.declare_lineage(OURS[kind](**keywords))
                else:
                    await self.declare_resource(OURS[kind](**keywords))
        kind, keywords = crawl(self.tables)[0]
        await self.declare_resource(OURS[kind](**keywords))
        self.extracted = time.perf_counter()


def sink(url: str) -> Uploading:
    return Uploading(api_key="of-no-workspace", integration_id=INTEGRATION, base_url=url)


def run(url: str, folder: str, tables: str) -> dict[str, Any]:
    uploading = sink(url)
    integration = Tables(credentials={}, state_dir=Path(folder), first_sync=True)
    integration.tables = int(tables)
    began = time.perf_counter()
    integration.start(uploading)
    ended = time.perf_counter()
    sending, sent = uploading.times
    seconds = {
        "extract": integration.extracted - began,
        "check": sending - integration.extracted,
        "upload": sent - sending,
        "accept": ended - sent,
    }
    return {"seconds": seconds, **uploading.files}


def exchange(url: str, times: str, *paths: str) -> dict[str, Any]:
    dataset = Dataset(*map(Path, paths))
    uploading = sink(url)

    async def upload() -> list[float]:
        marks = [time.perf_counter()]
        for _ in range(int(times)):
            await uploading.upload(dataset)
            marks.append(time.perf_counter())
        return [after - before for before, after in pairwise(marks)]

    return {"seconds": run_in_process(upload)}


def main() -> None:
    what, *arguments = sys.argv[1:]
    found = {"run": run, "exchange": exchange}[what](*arguments)
    print(orjson.dumps({**found, "peak_bytes": peak_bytes()}).decode())


if __name__ == "__main__":
    main()
