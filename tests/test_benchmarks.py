"""What the benchmarks say of what they measured: goals, tables, files."""

from pathlib import Path

import orjson
import pytest
from matplotlib.axes import Axes

from benchmarks.harness import Report, aligned, conclude


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
