"""Each benchmark, with so little to do that it says nothing of time: what it compares is equal, and nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from benchmarks.harness import ROOT


def measured(name: str, size: str, results: Path) -> dict[str, Any]:
    """The figures of a benchmark in a process of its own; ``size`` is written as its `Size` is called."""
    program = f"from benchmarks import {name} as one; one.main(full=False, size=one.Size({size}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "BENCHMARK_RESULTS": str(results)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [path] = results.glob("*.json")
    figures: dict[str, Any] = orjson.loads(path.read_bytes())
    return figures


def test_records_are_the_same_lines_here_and_there_and_all_are_in_the_spool(tmp_path: Path) -> None:
    figures = measured("records", "rounds=2, count=30, whole=1_000, runs=1", tmp_path)
    assert figures["broken"] == []
    assert figures["whole"][0]["records"] == 1_000
    assert figures["whole"][0]["bytes"] > 200 * 1_000
    assert {goal["name"].partition(":")[0] for goal in figures["goals"]} == {"table", "column", "lineage", "mix"}
    assert all(ns > 0 for stages in figures["ns"].values() for stage, ns in stages.items() if "beyond" not in stage)


def test_an_upload_is_received_whole_and_of_one_size_from_all(tmp_path: Path) -> None:
    figures = measured("upload", "tables=20, rounds=1, times=2", tmp_path)
    assert figures["broken"] == []
    assert figures["run"]["records"] == 20 * 22 + 1
    assert len(figures["received"]) == 1 + 3 * 2
    assert all(size > figures["run"]["bytes"] for size, _ in figures["received"])
    assert set(figures["run"]["seconds"]) == {"extract", "check", "upload", "accept"}
    assert [goal["at_least"] for goal in figures["goals"]] == [0.9]


def test_memory_tells_each_number_of_records_and_how_a_loop_without_await_ends(tmp_path: Path) -> None:
    figures = measured("memory", "counts=(1_000, 2_000, 30_000), not_awaited=300_000, rounds=1", tmp_path)
    assert figures["broken"] == []
    assert {count: [one["declared"] for one in runs] for count, runs in figures["awaited"].items()} == {
        "1000": [1_000],
        "2000": [2_000],
        "30000": [30_000],
    }
    assert [one["ended"] for one in figures["not_awaited"]] == ["BackpressureError"]
    [goal] = figures["goals"]
    assert (goal["name"], goal["at_most"], goal["unit"]) == ("30,000 records over 2,000", 20, "MB")
    assert [path.name for path in tmp_path.glob("*.svg")]
