"""``secoda-async bench``: from a journal that was recorded of a real server to figures, and to every error."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from secoda_async.bench.sweep import BenchReport
from secoda_async.load import load_integration
from tests.integrations import MemorySink
from tests.processes import started
from tests.server import serve

COMMAND = str(Path(sys.executable).with_name("secoda-async"))
COUNT = 60
SOURCE = """
import os
import signal
import time
from secoda_async import RateLimit, Resource, SecodaIntegration


class Jobs(SecodaIntegration):
    async def extract(self) -> None:
        await self.http_get("/login?token=" + self.credentials["token"])
        jobs = (await self.http_get("/jobs")).json()
        await self.for_each(jobs, self.one)

    async def one(self, job):
        reply = await self.http_get(f"/jobs/{job}")
        self.work()
        await self.declare_resource(Resource(entity_type="dashboard", databuilder_id=reply.json()["path"]))

    def work(self):
        pass
"""
# Each is run on the journal of the class above.
OTHERS = {
    "burns": "def work(self): sum(number * number for number in range(400_000))",
    "limited": "rate_limits = {'127.0.0.1': RateLimit(1, per=3600)}",
    "asks": "async def extract(self): await self.http_get('/users')",
    "asks_twice": "async def extract(self):\n        for _ in 'ab': await self.http_get('/jobs')",
    "less": "async def extract(self): await self.http_get('/jobs')",
    "fails": "def work(self): raise RuntimeError('no job named ' + self.credentials['token'])",
    "prints": "def work(self): print('{\"figures\": null}')",
    "dies": "def work(self): os._exit(7)",
    "hangs": "def work(self):\n        open('hangs', 'w').write(str(os.getpid()))\n        time.sleep(60)",
    "keeps": "resumable = True",
    "nothing": "async def extract(self): pass",
    "slow": "async def extract(self):\n        import asyncio\n        await asyncio.sleep(0.5)",
    "wrong": "rate_limits = {'http://x': RateLimit(1)}",
    "uploads": "async def extract(self): await self.http_post('/upload', json={})",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the integrations, each in a file of its own, and the journal; the source of it is gone."""
    made = tmp_path_factory.mktemp("bench")
    (made / "folder.svg").mkdir()
    (made / "jobs.py").write_text(SOURCE)
    for name, body in OTHERS.items():
        (made / f"{name}.py").write_text(
            f"{SOURCE.replace('class Jobs', 'class Base')}\n\nclass Jobs(Base):\n    {body}\n"
        )

    async def answer(request: web.Request) -> web.Response:
        body = [*range(COUNT)] if request.path == "/jobs" else {"path": request.path}
        return web.json_response(body)

    async def record(target: str, journal: str, port: int = 0) -> str:
        async with serve(answer) as url:
            found = load_integration(f"{made / target}:Jobs")
            await found(
                credentials={"base_url": url, "token": "geheim-1"},
                record=made / journal,
                state_dir=made / "state",
            ).run(MemorySink())
        return url

    (made / "url").write_text(anyio.run(record, "jobs.py", "journal"))
    (made / "url-uploads").write_text(anyio.run(record, "uploads.py", "journal-uploads"))
    anyio.run(record, "nothing.py", "journal-nothing")
    return made


def bench(folder: Path, *options: object, name: str = "jobs", **more: Any) -> "subprocess.CompletedProcess[str]":
    """The command on the journal, for one round at 0 ms unless the options say otherwise."""
    usual: Sequence[object] = ("--journal", "journal", "--latency", "0", "--rounds", "1", "--concurrency", "10")
    url = (folder / more.pop("url", "url")).read_text()
    return subprocess.run(
        [
            COMMAND,
            "bench",
            f"{name}.py:Jobs",
            *("--credential", f"base_url={url}", "--credential", "token=geheim-1"),
            *map(str, (*usual, *options)),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "COLUMNS": "80", **more},
    )


def report_of(folder: Path, *options: object, **more: Any) -> BenchReport:
    ended = bench(folder, "--json", *options, **more)
    assert ended.returncode == 0, ended.stderr
    return BenchReport.model_validate_json(ended.stdout)


def test_every_point_asks_for_what_was_recorded_and_declares_all_of_it(folder: Path) -> None:
    report = report_of(folder, "--concurrency", "5,adaptive", "--rounds", "3", "--latency", "2ms")
    assert [point.concurrency for point in report.points] == [5, None]
    assert report.recorded == report.asked == COUNT + 2
    for point in report.points:
        figures = point.figures
        assert (figures.requests, figures.attempts, figures.answers) == (COUNT + 2,) * 3
        assert figures.records == COUNT
        assert figures.retries == {}
        assert figures.in_memory
        assert len(point.seconds) == 3
        assert figures.seconds == sorted(point.seconds)[1]
        assert point.requests_per_second == pytest.approx(figures.requests / figures.seconds)
        assert point.bottlenecks
        assert sum(point.cpu.values()) == pytest.approx(1, abs=0.01) or not point.cpu
    assert report.points[0].figures.peak_in_flight == 5
    assert report.best == max(report.points, key=lambda one: one.requests_per_second).concurrency
    assert report.replay_requests_per_second > max(point.requests_per_second for point in report.points)


def test_concurrency_is_what_binds_where_answers_take_their_time(folder: Path) -> None:
    [one, ten] = report_of(folder, "--latency", "50ms", "--concurrency", "1,10").points
    assert one.bottlenecks[0].what in {"slots", "requests that follow one another"}
    assert ten.bottlenecks[0].text.startswith("slots: ")
    assert one.figures.seconds > (COUNT + 2) * 0.05
    assert one.figures.efficiency is not None
    assert one.figures.efficiency > 0.7


def test_a_limit_that_is_given_is_kept_and_named(folder: Path) -> None:
    report = report_of(folder, "--limit", "127.0.0.1=30/1")
    [point] = report.points
    assert point.bottlenecks[0].what == "rate limit of 127.0.0.1"
    assert point.figures.seconds > 2
    assert report.limits == {"127.0.0.1": [(30, 1.0)]}


def test_of_several_limits_of_a_key_the_slowest_is_what_binds(folder: Path) -> None:
    [point] = report_of(folder, "--limit", "127.0.0.1=30/1", "--limit", "127.0.0.1=1000/1").points
    assert point.bottlenecks[0].what == "rate limit of 127.0.0.1"
    assert point.bottlenecks[0].share > 0.5


@pytest.mark.parametrize("limit", ["none", "127.0.0.1=none", "127.0.0.1=1000/1"])
def test_a_declared_limit_can_be_left_out_or_replaced(limit: str, folder: Path) -> None:
    [point] = report_of(folder, "--limit", limit, name="limited").points
    assert point.figures.requests == COUNT + 2


def test_code_that_burns_the_processor_is_named(folder: Path) -> None:
    [point] = report_of(folder, name="burns").points
    assert point.bottlenecks[0].what == "your code"
    assert re.match(r"your code: \d+ % of CPU", point.bottlenecks[0].text)


def test_time_without_requests_is_told_as_that(folder: Path) -> None:
    [point] = report_of(folder, name="slow").points
    assert point.bottlenecks[0].what == "waiting for something else than requests"
    assert point.figures.efficiency is None


def test_errors_are_repeated_until_all_is_there_and_the_same_by_the_same_seed(folder: Path) -> None:
    options = ("--error-rate", "10%", "--concurrency", "10,30", "--jitter", "10%")
    first, second = report_of(folder, *options).points
    [other] = report_of(folder, *options, "--seed", "2", "--concurrency", "30").points
    assert set(first.figures.retries) == {"503", "ConnectError"}
    assert first.figures.retries == second.figures.retries != other.figures.retries
    for point in (first, second, other):
        assert point.figures.records == COUNT
        assert point.figures.attempts == COUNT + 2 + sum(point.figures.retries.values())
        assert point.figures.answers == COUNT + 2


def test_what_may_not_be_sent_twice_survives_the_errors_too(folder: Path) -> None:
    report = report_of(
        folder, "--error-rate", "50%", "--journal", "journal-uploads", "--seed", "5", name="uploads", url="url-uploads"
    )
    assert report.points[0].figures.requests == 1


def test_an_integration_that_keeps_journals_leaves_none(folder: Path, tmp_path: Path) -> None:
    assert report_of(folder, name="keeps", TMPDIR=str(tmp_path)).asked == COUNT + 2
    assert [*tmp_path.iterdir()] == []


def test_any_credential_will_do_where_only_the_recording_is_asked(folder: Path) -> None:
    assert report_of(folder, "--credential", "token=any").asked == COUNT + 2


def test_what_an_integration_prints_is_no_figure(folder: Path) -> None:
    assert report_of(folder, name="prints").asked == COUNT + 2


def test_a_person_is_shown_a_table_a_plot_and_the_bottleneck_in_words(folder: Path) -> None:
    ended = bench(folder, "--concurrency", "1,10,adaptive", "--latency", "20ms")
    assert ended.returncode == 0, ended.stderr
    table = ended.stdout.split("\n\n")[0].splitlines()
    assert " ".join(table[0].split()) == "at once req/s records/s seconds efficient peak retries CPU memory"
    assert [line.split()[0] for line in table[1:]] == ["1", "10", "adaptive"]
    assert max(map(len, table)) <= 80
    assert "…" not in ended.stdout
    assert "\x1b" not in ended.stdout
    assert re.search(r"^ +1 █+", ended.stdout, re.MULTILINE)
    assert re.search(r"^ +10 +slots: \d+ % \(10 at once\)", ended.stdout, re.MULTILINE)
    assert re.search(r"^best: .* requests/s, ", ended.stdout, re.MULTILINE)
    assert re.search(r"^replay: from memory; it serves [\d,]+ requests a second at most", ended.stdout, re.MULTILINE)
    assert "asked for" not in ended.stdout
    assert ended.stderr == (
        f"Jobs: {COUNT + 2} recorded answers, latency 20 ms; 1 round of concurrency 1, 10, adaptive; "
        "takes 1 s at least\n"
    )


def test_answers_that_were_not_asked_for_are_told(folder: Path) -> None:
    ended = bench(folder, "--quiet", name="less")
    assert f"asked for: 1 of {COUNT + 2} recorded answers" in ended.stdout
    assert ended.stderr == ""


def test_usual_points_that_take_long_are_left_out_and_told(folder: Path) -> None:
    from secoda_async.bench.plan import Conditions
    from secoda_async.bench.sweep import plan

    found = load_integration(f"{folder / 'jobs.py'}:Jobs")
    conditions = Conditions(target="jobs.py:Jobs", journal=folder / "journal", latency=0.5)
    planned = plan(found, conditions, {"base_url": (folder / "url").read_text()}, rounds=2)
    assert planned.points == [10, 100, None]
    assert planned.left_out == [(1, (COUNT + 2) * 0.5)]
    assert planned.seconds == pytest.approx(2 * (COUNT + 2) * 0.5 * (0.1 + 0.01))
    limited = conditions.model_copy(update={"limits": {"127.0.0.1": [(1, 1.0)]}})
    assert plan(found, limited, {"base_url": "http://x"}, rounds=1).left_out == []


def test_figures_are_written_as_json_and_hold_no_credential(folder: Path, tmp_path: Path) -> None:
    ended = bench(folder, "--report", tmp_path / "bench.json")
    assert ended.returncode == 0
    written = (tmp_path / "bench.json").read_text()
    assert "geheim" not in written + ended.stdout + ended.stderr
    assert orjson.loads(written)["format"] == 1


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is an extra")
def test_a_plot_is_drawn_of_whatever_points_there_are(folder: Path, tmp_path: Path) -> None:
    from secoda_async.bench.plot import plot

    ended = bench(folder, "--plot", tmp_path / "bench.svg", "--concurrency", "10,20,adaptive", "--json")
    assert ended.returncode == 0, ended.stderr
    whole = (tmp_path / "bench.svg").read_text()
    report = BenchReport.model_validate_json(ended.stdout)
    drawn = []
    for points in (report.points[:1], report.points[2:]):
        plot(report.model_copy(update={"points": points}), tmp_path / "part.svg")
        drawn.append((tmp_path / "part.svg").read_text())
    assert all(text.startswith("<?xml") and "<svg" in text for text in (whole, *drawn))
    assert len({whole, *drawn}) == 3


def test_a_plot_without_matplotlib_is_refused_before_anything_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from secoda_async import ConfigurationError
    from secoda_async.bench.plot import require_plots

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'secoda-async\[bench\]'"):
        require_plots(Path("bench.svg"))


@pytest.mark.parametrize(
    ("options", "name", "status", "told"),
    [
        (["--journal", "none"], "jobs", 2, "there is no journal at none. Record one with: secoda-async run jobs.py"),
        (
            ["--journal", "jobs.py"],
            "jobs",
            2,
            r"jobs\.py cannot be read or copied: file is not a database.* Record one",
        ),
        (["--journal", "journal-nothing"], "jobs", 2, "holds no answer at all, so there is nothing to replay"),
        (["--limit", "api.x.com=5"], "jobs", 2, r"no recorded request is meant by it; the journal's hosts are 127\.0"),
        (["--limit", "http://x=5"], "jobs", 2, "'http://x' is no host"),
        (["--plot", "no/bench.svg"], "jobs", 2, "--plot: there is no folder no; make it"),
        (["--plot", "bench.txt"], "jobs", 2, r"--plot bench\.txt: end its name in \.svg"),
        (["--plot", "folder.svg"], "jobs", 2, r"--plot folder\.svg is a folder; name a file in it"),
        (["--report", "no/bench.json"], "jobs", 2, "--report: there is no folder no; make it"),
        (["--report", "folder.svg"], "jobs", 2, r"--report folder\.svg is a folder; name a file in it"),
        ([], "wrong", 2, "'http://x' is no host"),
        ([], "none", 2, r"there is no file none\.py"),
        (
            [],
            "asks",
            1,
            r"concurrency 10 failed: GET .*/users is not in the recording; record it again\nRecord one with",
        ),
        ([], "asks_twice", 1, "was sent once when it was recorded, and is asked for once more; record it again"),
        ([], "fails", 1, r"failed: RuntimeError: no job named \[redacted\], in work at .*fails\.py:"),
        ([], "dies", 1, "concurrency 10 failed: its process ended with status 7"),
        (["--error-rate", "1"], "jobs", 1, r"concurrency 10 failed: GET .*5 attempts"),
    ],
)
def test_each_fault_is_one_message_that_says_what_to_do(
    options: list[str], name: str, status: int, told: str, folder: Path
) -> None:
    ended = bench(folder, "--quiet", *options, name=name)
    assert ended.returncode == status
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert re.search(told, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "geheim" not in ended.stderr


def test_a_missing_journal_says_how_one_is_recorded(folder: Path) -> None:
    ended = subprocess.run(
        [COMMAND, "bench", "jobs.py:Jobs"], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert "--journal is missing. Record one with: secoda-async run jobs.py:Jobs --record FILE --out" in ended.stderr


def test_a_journal_of_another_integration_is_refused(folder: Path) -> None:
    (folder / "other.py").write_text(SOURCE.replace("class Jobs", "class Other"))
    ended = subprocess.run(
        [COMMAND, "bench", "other.py:Other", "--journal", "journal"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert (
        "journal is a journal of Jobs, not of Other. Record one with: secoda-async run other.py:Other" in ended.stderr
    )


def test_a_credential_that_is_missing_is_named(folder: Path) -> None:
    ended = subprocess.run(
        [COMMAND, "bench", "jobs.py:Jobs", "--journal", "journal", "-q", "--rounds", "1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "the credential 'token' is missing" in ended.stderr


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_whoever_ends_the_command_ends_its_run_even_where_that_blocks(
    number: signal.Signals, status: int, folder: Path, tmp_path: Path
) -> None:
    pid_file = folder / "hangs"
    pid_file.unlink(missing_ok=True)
    url = (folder / "url").read_text()
    command = [COMMAND, "bench", "hangs.py:Jobs", "--journal", "journal", "--latency", "0", "--concurrency", "2"]
    credentials = ["--credential", f"base_url={url}", "--credential", "token=geheim-1"]
    with started([*command, *credentials], cwd=folder, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        until(lambda: pid_file.exists() and pid_file.read_text() != "")
        pid = int(pid_file.read_text())
        assert b"geheim" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == status
        until(lambda: not alive(pid))
    if number != signal.SIGKILL:
        assert [*tmp_path.iterdir()] == []


def until(holds: Any) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
