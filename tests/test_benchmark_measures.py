"""Each benchmark, with so little to do that it says nothing of time: what it compares is equal, and nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from benchmarks.harness import ROOT
from benchmarks.scaling import Point, explain


def measured(name: str, size: str, results: Path, *arguments: str) -> dict[str, Any]:
    """The figures of a benchmark in a process of its own; ``size`` is written as its `Size` is called."""
    program = (
        f"import sys; from benchmarks import {name} as one; one.main(*sys.argv[1:], full=False, size=one.Size({size}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
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
    assert len(figures["received"]) == 1 + 4 * 2
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


def test_scaling_makes_every_request_at_each_number_at_once_and_adaptive(tmp_path: Path) -> None:
    figures = measured("scaling", "at_once=(1, 4), turns=3, most_tables=12, rounds=1", tmp_path)
    assert figures["broken"] == []
    assert {at_once: [one["requests"] for one in runs] for at_once, runs in figures["crawls"].items()} == {
        "1": [5],
        "4": [14],
        "0": [14],
    }
    assert [point["allowed"] for point in figures["points"]] == [5 / 0.5, 14 / 0.5]
    assert [path.name for path in tmp_path.glob("*-throughput.svg")]


def point(at_once: int, a_second: float, busy: float) -> Point:
    return Point(at_once, 100, a_second, at_once * 10, busy, loop_us=busy * 1e6 / a_second)


def test_a_bend_is_found_where_more_at_once_bring_little_and_its_reason_in_the_loop() -> None:
    said = explain([point(10, 99, 0.02), point(100, 950, 0.2), point(1000, 4500, 0.9)], ceiling=100_000)
    assert said[0].startswith("up to 100 at once the latency decides")
    assert said[1].startswith("it bends between 100 and 1,000 at once: 10.0 times as many bring 4.74 times")
    assert "the event loop's thread decides there: 90% busy" in said[2]
    assert "makes 5,000 requests a second at most" in said[2]


def test_a_bend_that_the_loop_does_not_explain_is_said_to_be_none_of_it() -> None:
    said = explain([point(10, 99, 0.02), point(100, 200, 0.04)], ceiling=250)
    assert [line.partition(":")[0] for line in said] == [
        "it bends between 10 and 100 at once",
        "the event loop's thread does not explain it",
    ]


def test_a_line_without_a_bend_has_none() -> None:
    assert explain([point(10, 99, 0.02), point(100, 950, 0.2)], ceiling=100_000)[-1] == "it does not bend"


def test_a_profile_tells_the_layers_of_a_crawl_at_each_latency(tmp_path: Path) -> None:
    figures = measured("cpu_profile", "tables=1_000, records=0, rounds=1", tmp_path, "crawl")
    assert figures["broken"] == []
    assert list(figures["profiles"]) == ["0 ms", "20 ms"]
    for profile in figures["profiles"].values():
        assert {"network: aiohttp", "building records"} <= profile["layers"].keys()  # each is a fifth or more
    assert [one["each"] for runs in figures["raw"].values() for one in runs] == [1_041, 1_041]


def test_a_profile_is_in_place_of_benchmarks() -> None:
    command = [sys.executable, "-m", "benchmarks", "--profile", "crawl", "memory"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "name none beside it" in done.stderr
