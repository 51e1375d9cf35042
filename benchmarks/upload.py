"""How fast `SecodaSink` uploads what a run has left, beside a bare aiohttp upload of the same files."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from typing import Any, Final, NamedTuple
from urllib.request import urlopen

import orjson

from benchmarks.harness import Report, median, process, run
from benchmarks.runners.records_rows import COLUMNS

LEAST: Final = 0.9
"""Of the speed of bare aiohttp."""
_WAYS: Final = {
    "SecodaSink": ("uploaded", "exchange"),
    "bare aiohttp": ("uploaded_bare", "loop-1"),
    "bare aiohttp, in pieces of 4 MiB": ("uploaded_bare", "loop-4"),
    "bare aiohttp, files read in a thread": ("uploaded_bare", "thread-1"),
}
_MB: Final = 1e6
_MIB: Final = 2**20
_PATIENCE: Final = 600.0


class Size(NamedTuple):
    """How much is measured."""

    tables: int
    rounds: int
    times: int
    """Uploads of one process; the first, which also imports, is told beside the others."""


QUICK: Final = Size(tables=25_000, rounds=7, times=5)  # 200 MB
FULL: Final = Size(tables=62_000, rounds=15, times=5)  # 500 MB


def main(*, full: bool, size: Size | None = None) -> Report:
    """Measure, print and save."""
    size = size or (FULL if full else QUICK)
    report = Report("upload")
    uploads: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
    with process("benchmarks.runners.receiver") as receiver, tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{receiver['port']}"
        whole = _run("uploaded", "run", url, folder, size.tables)
        for _ in range(size.rounds):
            for way, (runner, how) in _WAYS.items():
                uploads[way].append(_run(runner, how, url, size.times, *whole["files"]))
        with urlopen(f"{url}/received") as answer:
            received = orjson.loads(answer.read())
        ceiling = _ceiling(receiver["port"], whole["bytes"])

    size_mb = whole["bytes"] / _MB
    figures = {way: _figures(runs, size_mb) for way, runs in uploads.items()}
    report.say(
        f"{size.tables:,} tables of {COLUMNS} columns, {whole['records']:,} records, {size_mb:,.0f} MB; {size.rounds} "
        f"interleaved rounds, {size.times} uploads each; the receiver alone takes {ceiling:,.0f} MB/s"
    )
    report.table(
        ("the upload itself", "MB/s", "the first of a process", "peak MiB"),
        [
            (way, f"{one['mb_per_second']:,.0f}", f"{one['first_mb_per_second']:,.0f}", f"{one['peak_mib']:.0f}")
            for way, one in figures.items()
        ],
    )
    ours, bare = (figures[way]["mb_per_second"] for way in ("SecodaSink", "bare aiohttp"))
    report.goal("speed of the upload, of bare aiohttp", ours / bare, at_least=LEAST)
    seconds = whole["seconds"]
    report.table(
        ("a whole run", *seconds, "peak MiB"),
        [("seconds", *(f"{one:.2f}" for one in seconds.values()), f"{whole['peak_bytes'] / _MIB:.0f}")],
    )
    sizes = {length for length, _ in received}
    report.check(all(whole_body for _, whole_body in received), "every body came to its end")
    report.check(
        len(sizes) == 1 and len(received) == 1 + len(_WAYS) * size.rounds * size.times,
        "all sent as many bytes, each time",
    )
    report.save(
        {
            "size": size._asdict(),
            "receiver_mb_per_second": ceiling,
            "run": whole,
            "received": received,
            "uploads": figures,
            "raw": uploads,
        }
    )
    return report


def _figures(runs: list[dict[str, Any]], size_mb: float) -> dict[str, float]:
    later = [seconds for one in runs for seconds in one["seconds"][1:]]
    return {
        "mb_per_second": size_mb / median(later),
        "first_mb_per_second": size_mb / median([one["seconds"][0] for one in runs]),
        "peak_mib": max(one["peak_bytes"] for one in runs) / _MIB,
    }


def _ceiling(port: int, size: int) -> float:
    """MB/s of a socket that sends from memory: what the receiver takes, and the loopback between them."""
    piece = bytes(_MIB)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        began = time.perf_counter()
        connection.sendall(f"POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode())
        for left in range(size, 0, -_MIB):
            connection.sendall(piece[:left])
        connection.recv(4096)
        return size / _MB / (time.perf_counter() - began)


def _run(runner: str, *arguments: object) -> dict[str, Any]:
    return run([sys.executable, "-m", f"benchmarks.runners.{runner}", *map(str, arguments)], patience=_PATIENCE)
