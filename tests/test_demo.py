"""The demo: the workspace holds what SQLite holds, and whatever was started is stopped."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from examples.datasette_server import serve_datasette
from examples.demo import Holdings, compare, from_sqlite
from examples.demo_data import make_databases

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def demo(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The demo in a process group of its own, with the folder for its temporary files."""
    with subprocess.Popen(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def assert_nothing_is_left(process: "subprocess.Popen[str]", folder: Path) -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert list(folder.iterdir()) == []


def test_the_demo_delivers_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "The same: every id, every detail of every column, every lineage." in said
    assert_nothing_is_left(process, tmp_path)


@pytest.mark.parametrize("to_all", [True, False], ids=["ctrl-c", "sigterm"])
def test_a_stopped_demo_stops_what_it_started(to_all: bool, tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("secoda-async run"):
                break
        if to_all:
            os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to every process of the group
        else:
            process.terminate()
        said.extend(process.stdout)
    assert process.returncode == 130, "".join(said)
    assert "What was delivered" not in "".join(said)
    assert "Traceback" not in "".join(said)
    assert_nothing_is_left(process, tmp_path)


def test_the_databases_are_the_same_every_time_and_of_a_real_size(tmp_path: Path) -> None:
    holdings = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        holdings.append(from_sqlite(make_databases(tmp_path / name)))
    assert holdings[0] == holdings[1]
    resources, lineage = holdings[0]
    kinds = [resource["entity_type"] for resource in resources.values()]
    assert kinds.count("database") == 5
    assert kinds.count("table") >= 400
    assert kinds.count("column") >= 6000
    assert {kind for kind, _, _ in lineage} == {"internal_resource", "tables_from_query"}


@pytest.fixture
def holdings(tmp_path: Path) -> Holdings:
    return from_sqlite(make_databases(tmp_path, areas=1)[:1])


def judged(expected: Holdings, delivered: Holdings) -> tuple[int, str]:
    console = Console(width=400, file=io.StringIO(), record=True)
    return compare(expected, delivered, console), console.export_text()


def test_equal_holdings_are_found_equal(holdings: Holdings) -> None:
    status, _ = judged(holdings, (dict(holdings[0]), set(holdings[1])))
    assert status == 0


def test_a_missing_resource_a_changed_column_and_a_foreign_lineage_are_found(holdings: Holdings) -> None:
    resources, lineage = holdings
    gone = {id_: record for id_, record in resources.items() if id_ != "sales.main.account.id"}
    changed = {**resources, "sales.main.account.id": {**resources["sales.main.account.id"], "is_pk": False}}
    more = lineage | {("internal_resource", "a", "b")}
    for delivered, told in [
        ((gone, lineage), "sales.main.account.id"),
        ((changed, lineage), "'is_pk': False"),
        ((resources, more), "only the workspace has it"),
        (({}, set()), "does not hold what SQLite holds"),
    ]:
        status, text = judged(holdings, delivered)
        assert status == 1
        assert told in text


def test_a_datasette_that_does_not_start_is_an_error_with_its_own_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("no database at all, and longer than a header of one hundred bytes: " * 5)
    with pytest.raises(RuntimeError, match=r"not start: .*file is not a database"), serve_datasette([broken]):
        pass


def test_datasette_is_stopped_when_the_block_raises(tmp_path: Path) -> None:
    file = tmp_path / "d.db"
    sqlite3.connect(file).close()
    addresses = []

    def use(url: str) -> None:
        addresses.append(f"{url}/-/versions.json")
        urllib.request.urlopen(addresses[0]).close()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), serve_datasette([file]) as url:
        use(url)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(addresses[0])
