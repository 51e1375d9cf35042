"""What the benchmarks say of what they measured: goals, tables, files."""

import math
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from matplotlib.axes import Axes

from benchmarks.crawl import FLOOR, Cell, Row, crawl
from benchmarks.eta import Look, judge
from benchmarks.harness import ROOT, Report, aligned, conclude


@pytest.mark.parametrize(
    ("figure", "bounds", "mark"),
    [
        (1.3, {"at_least": 1.3}, "met"),
        (1.29, {"at_least": 1.3}, "SHORT"),
        (1.05, {"at_most": 1.05}, "met"),
        (1.06, {"at_most": 1.05}, "SHORT"),
        (float("nan"), {"at_least": 1.3}, "SHORT"),
    ],
)
def test_a_goal_is_marked_beside_its_figure(
    figure: float, bounds: dict[str, float], mark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("speed", tmp_path)
    report.goal("against the script", figure, **bounds)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "against the script" in line]
    assert line.split()[0] == mark
    assert conclude([report]) == 0  # a goal that falls short is no failure
    [line] = [line for line in capsys.readouterr().out.splitlines() if "against the script" in line]
    assert line.split()[-1] == mark


def test_a_goal_without_a_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at_least"):
        Report("speed", tmp_path).goal("against the script", 1.0)


def test_a_broken_promise_fails_the_command_and_is_told_again_at_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("speed", tmp_path)
    report.check(True, "one that is kept")
    report.check(False, "the same lines")
    assert conclude([report]) == 1
    assert capsys.readouterr().err == "broken: speed: the same lines\n"


def test_the_columns_of_a_table_stand_under_each_other() -> None:
    assert aligned(("runner", "a second"), [("one", 1), ("another", 1000)]) == [
        "runner   a second",
        "-----------------",
        "one             1",
        "another      1000",
    ]


def test_figures_text_and_plots_are_files_of_one_name_with_what_they_were_measured_on(tmp_path: Path) -> None:
    def draw(axes: Axes) -> None:
        axes.barh(["ours"], [2.0])

    report = Report("speed", tmp_path)
    report.say("what was seen")
    report.goal("against the script", 2.0, at_least=1.3)
    report.plot("bars", draw)
    report.save({"ratio": 2.0}, scrapy="2.0")
    names = sorted(path.name.partition("-")[2] for path in tmp_path.iterdir())
    assert names == ["speed-bars.svg", "speed.json", "speed.txt"]
    assert len({path.name.partition("-")[0] for path in tmp_path.iterdir()}) == 1
    [figures] = [orjson.loads(path.read_bytes()) for path in tmp_path.glob("*.json")]
    assert figures["ratio"] == 2.0
    assert figures["goals"] == [
        {"name": "against the script", "figure": 2.0, "at_least": 1.3, "at_most": None, "unit": "x", "met": True}
    ]
    assert figures["machine"]["platform"]
    assert figures["packages"]["scrapy"] == "2.0"
    [text] = [path.read_text() for path in tmp_path.glob("*.txt")]
    assert "what was seen" in text
    assert figures["python"] in text
    [svg] = [path.read_text() for path in tmp_path.glob("*.svg")]
    assert "<svg" in svg


@pytest.mark.timeout(300)
def test_a_tiny_crawl_measures_every_runner_that_needs_no_environment_of_its_own(tmp_path: Path) -> None:
    runners = ["floor", "tuned", "handwritten", "ours", "cold", "warm"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.crawl", "--tables", "120", "--latency", "0", "--rounds", "1"),
            *("--runners", *runners),
        ],
        cwd=ROOT,
        env={**os.environ, "BENCHMARK_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept   each wrote the same lines, every record once" in done.stdout
    [figures] = [orjson.loads(path.read_bytes()) for path in tmp_path.glob("*.json")]
    [cell] = figures["cells"]
    assert (cell["tables"], cell["requests"], cell["latency_ms"]) == (120, 1 + 5 + 120, 0)
    assert sorted(cell["rows"]) == sorted(runners)
    for row in cell["rows"].values():
        assert len(row["runs"]) == 1
        assert row["requests_per_second"] == pytest.approx(126 / row["runs"][0])
        assert row["title"] in done.stdout
    assert figures["server_answers_per_second"] > 0
    assert {goal["at_least"] for goal in figures["goals"]} == {1.3, 1.0, 1.2, 0.95}
    table = done.stdout.partition("== goals")[2]
    assert all(goal["name"] in table and ("met" if goal["met"] else "SHORT") in table for goal in figures["goals"])
    [plot] = tmp_path.glob("*.svg")
    assert plot.name.endswith("-crawl-120-tables.svg")
    assert "<svg" in plot.read_text()


LOSES_ONE = """
import json, pathlib, sys

into = pathlib.Path(sys.argv[3])
into.mkdir()
(into / "lineage.jsonl").write_text("")
(into / "resources.jsonl").write_text('{"entity_type": "database"}\\n')
print(json.dumps({"seconds": 0.001, "packages": {}}))
"""


def test_a_runner_that_writes_other_lines_than_the_rest_breaks_a_promise_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "crawl.py").write_text(LOSES_ONE)
    cell = Cell(20, 0, [FLOOR, Row("hasty", "one that is fast", str(tmp_path))])
    report = crawl([cell], Report("crawl", tmp_path / "results"))
    assert "each wrote the same lines, every record once: not hasty" in report.broken
    assert conclude([report]) == 1


def test_how_far_off_an_end_was_told_counts_from_the_first_quarter_on() -> None:
    """A crawl of 10 s whose end is told 2 s too late at first, then well, then 1 s too early."""
    told = {1: 90.0, 2: 50.0, 3: 9.0, 4: 8.0, 5: 5.0, 6: 4.0, 7: 3.0, 8: 1.0, 9: 1.0}
    looks = [Look(float(at), left) for at, left in told.items()]
    judged = judge(looks, 10.0)
    assert judged["off"] == [20.0, 0.0, -10.0]
    assert judged["worst"] == 20.0
    assert judged["off_the_rest"] == [pytest.approx(200 / 7), 0.0]


def test_an_end_that_is_not_told_is_off_by_any_amount() -> None:
    looks = [Look(1.0, None), Look(2.0, None), Look(3.0, 1.0)]
    assert judge(looks, 4.0)["off"] == [math.inf, math.inf, 0.0]
    assert judge(looks, 4.0)["worst"] == math.inf
