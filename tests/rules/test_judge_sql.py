"""A statement that hangs, crashes or eats memory costs itself alone, and no process stays."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from secoda_async.rules.judge_sql import SQLLimits, judge_sql

# Answers as the parser does, but obeys what the statement says.
OBEYS = """
import os, sys, time, json
sys.stdout.write("ready\\n"); sys.stdout.flush()
open(PIDS, "a").write(f"{os.getpid()}\\n")
while len(head := sys.stdin.buffer.read(4)) == 4:
    sql = sys.stdin.buffer.read(int.from_bytes(head, "big")).decode()
    if sql == "hang":
        time.sleep(1000)
    if sql == "crash":
        os.abort()
    if sql == "half":
        sys.stdout.write('["reads"'); sys.stdout.flush(); os._exit(0)
    if sql == "long":
        sys.stdout.write("x" * 100_000); sys.stdout.flush()
        continue
    print(json.dumps(["nothing" if sql == "nothing" else "reads", ""]), flush=True)
"""


def write_statements(folder: Path, *statements: str | None) -> Path:
    path = folder / "statements.jsonl"
    path.write_bytes(b"".join(orjson.dumps([n, 1, f"id{n}", sql]) + b"\n" for n, sql in enumerate(statements, 1)))
    return path


def obeying(folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-c", f"PIDS = {str(folder / 'pids')!r}\n{OBEYS}")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children() -> str:
    """Those of this process, where the system tells them."""
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return path.read_text() if path.exists() else ""


def processes(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "pids").read_text().splitlines()]


async def judged(statements: Path, **options: Any) -> dict[str, list[tuple[int, str]]]:
    breaches = await judge_sql(statements, "lineage.jsonl", **options)
    return {breach.rule: [(sample.line, sample.note) for sample in breach.samples] for breach in breaches}


@pytest.mark.parametrize("bad", ["hang", "crash", "half", "long"])
async def test_a_bad_statement_costs_itself_alone(tmp_path: Path, bad: str) -> None:
    statements = write_statements(tmp_path, "a", bad, "nothing", bad, "b")
    found = await judged(statements, command=obeying(tmp_path), limits=SQLLimits(statement=0.3))
    assert found["sql-names-no-table"] == [(3, "")]
    told = "it took more than 0.3 s" if bad == "hang" else "the parser did not survive it"
    assert found["sql-not-judged"] == [(2, told), (4, told)]
    assert len(processes(tmp_path)) == 3
    assert not any(map(is_alive, processes(tmp_path)))


async def test_the_whole_has_a_limit_too(tmp_path: Path) -> None:
    statements = write_statements(tmp_path, "hang", "hang", "hang", "a")
    limits = SQLLimits(statement=0.3, whole=0.5)
    found = await judged(statements, command=obeying(tmp_path), limits=limits)
    assert found["sql-not-judged"][-1] == (4, "0.5 s were not enough for all statements")


async def test_cancelling_leaves_no_process(tmp_path: Path) -> None:
    statements = write_statements(tmp_path, "a", "hang")

    async def cancel(scope: anyio.CancelScope) -> None:
        while not await anyio.Path(tmp_path / "pids").exists():  # noqa: ASYNC110 # a process's
            await anyio.sleep(0.005)
        await anyio.sleep(0.05)
        scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel, group.cancel_scope)
        await judge_sql(statements, "lineage.jsonl", command=obeying(tmp_path))
    assert len(processes(tmp_path)) == 1
    assert not any(map(is_alive, processes(tmp_path)))


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.005, 0.02, 0.05, 0.1])
async def test_cancelled_at_any_moment_no_process_stays(tmp_path: Path, seconds: float) -> None:
    statements = write_statements(tmp_path, "hang")
    with anyio.move_on_after(seconds):
        await judge_sql(statements, "lineage.jsonl", command=obeying(tmp_path))
    assert children() == ""


@pytest.mark.parametrize("command", [("/no/such/program",), (sys.executable, "-c", "raise SystemExit(1)")])
async def test_a_parser_that_does_not_start_judges_nothing_and_ends_nothing(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    found = await judged(write_statements(tmp_path, "a", "b"), command=command)
    assert found == {"sql-not-judged": [(line, "the parser could not be started") for line in (1, 2)]}


async def test_every_statement_is_judged_however_long_the_file_is(tmp_path: Path) -> None:
    statements = write_statements(tmp_path, *["x" * 200_000, "nothing"] * 20)
    (breach,) = await judge_sql(statements, "lineage.jsonl", command=obeying(tmp_path))
    assert (breach.rule, breach.count) == ("sql-names-no-table", 20)
    assert [sample.line for sample in breach.samples] == [2, 4, 6, 8, 10]


async def test_without_statements_no_process_is_started(tmp_path: Path) -> None:
    assert await judged(write_statements(tmp_path), command=("/no/such/program",)) == {}


async def test_what_was_too_long_to_be_written_is_told(tmp_path: Path) -> None:
    found = await judged(write_statements(tmp_path, None), command=("/no/such/program",))
    assert found == {"sql-not-judged": [(1, "longer than 262,144 characters")]}


async def test_the_real_parser_survives_what_is_nested_too_deeply(tmp_path: Path) -> None:
    deep = "(" * 50_000 + "select 1" + ")" * 50_000
    wide = "select " + " + ".join(["1"] * 40_000) + " from t"
    statements = write_statements(tmp_path, deep, "select 1", wide, "select 1 from t", "'); drop table t; --", "\x00")
    found = await judged(statements)
    assert (2, "") in found["sql-names-no-table"]
    told = [line for breaches in found.values() for line, _ in breaches]
    assert 1 in told
    assert 4 not in told


def test_the_parser_ends_when_nobody_is_left_to_ask(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "secoda_async" / "rules" / "parse_sql.py"
    done = subprocess.run(
        [sys.executable, "-P", program], input=b"\x00\x00", capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"ready\n"
