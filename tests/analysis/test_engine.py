"""The engine: bounded, alone with the files it was given, and gone without a trace however it ends."""

import subprocess
import sys
import threading
from pathlib import Path

import anyio
import duckdb
import pytest

from secoda_async import DatasetError, SpoolError
from secoda_async.analysis.engine import Connection, analyse
from tests.datasets import write_dataset

SLOW = "select count(*) from range(10000000) a, range(10000000) b where hash(a.range, b.range) = 1"


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


async def test_it_gives_what_was_found_out_and_leaves_nothing(tmp_path: Path) -> None:
    def judge(connection: Connection) -> object:
        assert names(tmp_path) != []
        return connection.execute("select 41 + 1").fetchall()

    assert await analyse(tmp_path, [], judge) == [(42,)]
    assert names(tmp_path) == []


async def test_what_is_raised_passes_and_nothing_is_left(tmp_path: Path) -> None:
    def judge(connection: Connection) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await analyse(tmp_path, [], judge)
    assert names(tmp_path) == []


async def test_only_the_given_files_can_be_read_and_none_written(tmp_path: Path) -> None:
    given = tmp_path / "given.txt"
    other = tmp_path / "other.txt"
    given.write_text("yes")
    other.write_text("secret")

    def judge(connection: Connection) -> list[str]:
        assert connection.execute("select content from read_text($p)", {"p": str(given)}).fetchall() == [("yes",)]
        refused = []
        for statement in (
            f"select * from read_text('{other}')",
            "select * from read_text('/etc/passwd')",
            "select * from read_csv('/etc/passwd')",
            "select * from '/etc/passwd'",
            f"select * from glob('{tmp_path}/*')",
            "select * from read_text('http://127.0.0.1:1/x')",
            f"copy (select 1) to '{tmp_path}/new.csv'",
            f"copy (select 1) to '{given}.2'",
            f"attach '{tmp_path}/new.duckdb'",
            f"export database '{tmp_path}/all'",
            "install httpfs",
            "load httpfs",
            "set enable_external_access = true",
            "set allowed_directories = ['/']",
            f"set allowed_paths = ['{other}']",
            "set memory_limit = '100GB'",
            "reset lock_configuration",
            "select * from tmp_path",
        ):
            try:
                connection.execute(statement).fetchall()
            except duckdb.Error:
                refused.append(statement)
            else:
                raise AssertionError(statement)
        return refused

    assert len(await analyse(tmp_path, [given], judge)) == 18
    assert names(tmp_path) == ["given.txt", "other.txt"]


async def test_a_name_that_looks_like_a_pattern_is_that_file_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a[bc]*?" / "x.txt"
    path.parent.mkdir()
    path.write_text("exact")

    def judge(connection: Connection) -> object:
        return connection.execute("select content from read_text($p)", {"p": str(path)}).fetchall()

    assert await analyse(tmp_path, [path], judge) == [("exact",)]
    (tmp_path / "abx").mkdir()
    (tmp_path / "abx" / "x.txt").write_text("other")
    with pytest.raises(DatasetError, match="is also a pattern of other files' names; rename"):
        await analyse(tmp_path, [path], judge)


async def test_cancelling_interrupts_the_query_and_removes_the_files(tmp_path: Path) -> None:
    running = threading.Event()

    def judge(connection: Connection) -> None:
        running.set()
        connection.execute(SLOW)

    async def cancel(scope: anyio.CancelScope) -> None:
        while not running.is_set():  # noqa: ASYNC110 # a thread's
            await anyio.sleep(0.001)
        await anyio.sleep(0.05)
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel, group.cancel_scope)
        await analyse(tmp_path, [], judge)
    assert names(tmp_path) == []


async def test_a_judge_that_goes_on_after_its_query_was_interrupted_is_interrupted_again(tmp_path: Path) -> None:
    running = threading.Event()
    ended = []

    def judge(connection: Connection) -> None:
        running.set()
        for _ in range(3):
            try:
                connection.execute(SLOW)
            except duckdb.InterruptException:
                ended.append(1)

    async def cancel(scope: anyio.CancelScope) -> None:
        while not running.is_set():  # noqa: ASYNC110 # a thread's
            await anyio.sleep(0.001)
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel, group.cancel_scope)
        await analyse(tmp_path, [], judge)
    assert len(ended) == 3
    assert names(tmp_path) == []


@pytest.mark.parametrize("seconds", [0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064])
async def test_cancelled_at_any_moment_it_leaves_nothing(tmp_path: Path, seconds: float) -> None:
    with anyio.move_on_after(seconds) as scope:
        await analyse(tmp_path, [], lambda connection: connection.execute(SLOW))
    assert scope.cancelled_caught
    assert names(tmp_path) == []


async def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.jsonl cannot be read: No such file"):
        await analyse(tmp_path, [tmp_path / "gone.jsonl"], lambda connection: None)
    with pytest.raises(DatasetError, match=r"cannot be read: Is a directory"):
        await analyse(tmp_path, [tmp_path], lambda connection: None)
    assert names(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match=r"cannot be examined in .*gone: "):
        await analyse(tmp_path / "gone", [], lambda connection: None)


async def test_too_little_memory_is_an_error_that_says_how_much_there_was(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="cannot be examined in 8 MiB of memory"):
        await analyse(
            tmp_path,
            [],
            lambda connection: connection.execute("select list(range) from range(100000000)"),
            memory=8 * 2**20,
        )
    assert names(tmp_path) == []


FULL = """
import resource, sys
from pathlib import Path
import anyio
from secoda_async.analysis.engine import analyse
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # what a full disk is to a program
statement = "create table t as select md5(range::varchar) as a from range(5000000)"
try:
    anyio.run(analyse, Path(sys.argv[1]), [], lambda connection: connection.execute(statement))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_is_an_error_that_says_to_free_space(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"SpoolError the records cannot be examined in {tmp_path}")
    assert done.stdout.endswith("free space there\n")
    assert names(tmp_path) == []


@pytest.mark.parametrize("module", ["secoda_async", "secoda_async.cli", "secoda_async.testing"])
def test_the_engine_and_the_parser_are_imported_by_those_who_use_them(module: str) -> None:
    code = f"import sys, {module}; print([name for name in ('duckdb', 'sqlglot') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_cancelled_before_its_turn_it_never_begins(tmp_path: Path) -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 1
    try:
        await limiter.acquire_on_behalf_of(before)
        with anyio.move_on_after(0.05) as scope:
            await analyse(tmp_path, [], lambda connection: None)
        assert scope.cancelled_caught
    finally:
        limiter.release_on_behalf_of(before)
        limiter.total_tokens = before
    assert names(tmp_path) == []


async def test_a_dataset_of_links_is_read_where_they_point(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "real", [{"a": 1}])
    link = tmp_path / "link.jsonl"
    link.symlink_to(dataset.resources)

    def judge(connection: Connection) -> object:
        return connection.execute("select content from read_text($p)", {"p": str(link.resolve())}).fetchall()

    assert await analyse(tmp_path, [link], judge) == [('{"a":1}\n',)]
