"""``validate`` judges a folder whoever wrote it, and says what it found in plain text and one exit status."""

import gzip
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from typer.testing import CliRunner

from examples.datasette import Datasette
from examples.datasette_server import serve_datasette
from examples.demo_data import make_databases
from secoda_async import JSONLSink, Verdict
from secoda_async.cli.app import app
from secoda_async.dataset import open_dataset
from secoda_async.rules.judge_dataset import judge_dataset
from tests.datasets import edge, internal, query, resource, write_bytes, write_dataset
from tests.integrations import MemorySink, integration, table
from tests.processes import started

COMMAND = str(Path(sys.executable).with_name("secoda-async"))
GOOD = b'{"entity_type":"database","databuilder_id":"d"}\n'


def validate(folder: Path, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["validate", str(folder), *options])
    return result.exit_code, result.stdout, result.stderr


def test_nothing_broken_is_status_0(tmp_path: Path) -> None:
    write_bytes(tmp_path, GOOD)
    assert validate(tmp_path) == (0, "no rule is broken by 1 resource and 0 lineages\n", "")


def test_warnings_are_status_0_and_under_strict_3(tmp_path: Path) -> None:
    write_dataset(tmp_path, [resource("view", "v")])
    status, output, _ = validate(tmp_path)
    assert status == 0
    assert output == (
        "warning unknown-type (1): an entity_type is none that Secoda documents\n"
        "    resources.jsonl:1 v (view)\n"
        "    to do: use one of database, schema, table, column, dashboard_group, dashboard, chart\n"
        "0 kinds of error, 1 kind of warning in 1 resource and 0 lineages: fit to be delivered\n"
    )
    status, output, _ = validate(tmp_path, "--strict")
    assert status == 3
    assert output.startswith("error unknown-type (1): ")
    assert output.endswith("not fit to be delivered\n")


def test_errors_are_status_3_and_come_first_and_samples_are_few(tmp_path: Path) -> None:
    write_dataset(tmp_path, [resource("view", "v"), *(resource("column", f"c{n}") for n in range(1000))])
    status, output, _ = validate(tmp_path)
    assert status == 3
    lines = output.splitlines()
    assert lines[0] == "error column-without-parent (1,000): a column has no parent_databuilder_id"
    assert lines[5:7] == ["    resources.jsonl:6 c4", "    … and 995 more"]
    assert lines[8].startswith("warning unknown-type (1)")


def test_a_policy_for_records_that_differ(tmp_path: Path) -> None:
    write_dataset(tmp_path, [resource("database", "d"), resource("database", "d", title="other")])
    assert validate(tmp_path)[0] == 3
    assert validate(tmp_path, "--on-conflict", "first")[0] == 0
    assert validate(tmp_path, "--on-conflict", "last")[0] == 0
    assert validate(tmp_path, "--on-conflict", "never")[0] == 2


def test_json_is_the_whole_verdict_and_nothing_else(tmp_path: Path) -> None:
    write_dataset(tmp_path, [resource("column", "c")])
    status, output, error = validate(tmp_path, "--json")
    assert (status, error) == (3, "")
    verdict = Verdict.model_validate_json(output)
    assert [breach.rule for breach in verdict.errors] == ["column-without-parent"]
    assert orjson.loads(output)["passed"] is False


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (GOOD + b"\n" + GOOD, "resources.jsonl:2 (the line is empty)"),
        (b"\xef\xbb\xbf" + GOOD, "resources.jsonl:1 (the file begins with a byte order mark; write UTF-8 without one)"),
        (GOOD + GOOD[:-5], "resources.jsonl:2 (the file ends in the middle of this line: it was cut off)"),
        (GOOD + b'{"entity_type":"\xff"}\n', "resources.jsonl:2 (byte 17 of the line is no UTF-8)"),
        (b"[" + GOOD + b"]", "resources.jsonl:1 (the file is a JSON array; write one object a line"),
        (GOOD[:-2] + b',"entity_type":"x"}\n', "resources.jsonl:1 (the key 'entity_type' comes twice in one object)"),
        (gzip.compress(GOOD, mtime=0), "resources.jsonl:1 (the file is compressed with gzip; unpack it)"),
        (
            b'{"entity_type":"t","databuilder_id":7}\n',
            "resources.jsonl:1 (databuilder_id: Input should be a valid string)",
        ),
    ],
)
def test_a_line_that_is_no_record_is_told_with_its_place_field_and_reason(
    tmp_path: Path, content: bytes, told: str
) -> None:
    write_bytes(tmp_path, content)
    status, output, _ = validate(tmp_path)
    assert status == 3
    assert output.startswith("error malformed-line (1): a line is no record\n")
    assert told in output


def test_crlf_is_a_warning(tmp_path: Path) -> None:
    write_bytes(tmp_path, GOOD.replace(b"\n", b"\r\n"))
    status, output, _ = validate(tmp_path)
    assert status == 0
    assert output.startswith("warning carriage-return (1): ")


def test_what_is_no_dataset_is_wrong_usage(tmp_path: Path) -> None:
    for folder, told in ((tmp_path / "gone", "there is no folder"), (tmp_path, "holds no resources.jsonl")):
        status, output, error = validate(folder)
        assert (status, output) == (2, "")
        assert told in error
        assert "with both JSONL files" in error


def test_nothing_in_a_record_is_obeyed_by_the_terminal(tmp_path: Path) -> None:
    ids = ["[bold]x[/bold]", "[/nope]", "\x1b[2Jx", ":smile:", "a\rb", "\u202egnp"]
    write_dataset(tmp_path, [resource("column", id_) for id_ in ids])
    status, output, _ = validate(tmp_path)
    assert status == 3
    for shown in ("[bold]x[/bold]", "[/nope]", r"\x1b[2Jx", ":smile:", r"a\rb"):
        assert f" {shown}\n" in output
    assert not any(hidden in output for hidden in "\x1b\r\u202e")


async def test_the_files_of_a_real_run_are_judged_as_they_are(tmp_path: Path, state_dir: Path) -> None:
    async def extract(self: Any) -> None:
        for _ in range(2):  # a repeat is no conflict
            await self.declare_resource(table("t", schema="s", database="d"))
        await self.declare_resource(table("u"))

    await integration(extract).run(JSONLSink(tmp_path / "out"))
    await integration(extract).run(MemorySink())
    spools = [path.parent async for path in anyio.Path(state_dir).glob("runs/*/manifest.json")]
    for folder in (tmp_path / "out", *map(Path, spools)):
        verdict = await judge_dataset(await anyio.to_thread.run_sync(open_dataset, folder), tmp_path)
        assert {breach.rule: breach.count for breach in verdict.breaches} == {
            "missing-parent": 2,
            "table-without-names": 1,
        }
        assert verdict.resources == 3


async def test_what_the_datasette_example_extracts_breaks_no_rule(tmp_path: Path) -> None:
    def serve() -> Any:
        return serve_datasette(make_databases(tmp_path, areas=1))

    context = await anyio.to_thread.run_sync(serve)
    with context as url:
        await Datasette(credentials={"base_url": url}).run(JSONLSink(tmp_path / "out"))
    dataset = await anyio.to_thread.run_sync(open_dataset, tmp_path / "out")
    verdict = await judge_dataset(dataset, tmp_path, strict=True)
    assert verdict.resources > 100
    assert verdict.lineage > 10
    assert verdict.breaches == ()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_ends_it_and_its_parser(tmp_path: Path, number: signal.Signals, status: int) -> None:
    deep = "select " + "(" * 400 + "1" + ")" * 400  # takes the parser seconds
    lineage = [edge(query(f"{deep} + {n} from t"), internal("d")) for n in range(500)]
    write_dataset(tmp_path / "data", [resource("database", "d")], lineage)
    with started([COMMAND, "validate", tmp_path / "data"], env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            pytest.skip("only Linux tells the children of a process")
        parser = _wait(lambda: [int(pid) for pid in children.read_text().split()])
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
        assert process.returncode == status
        assert b"Traceback" not in error
    _wait(lambda: not is_running(parser[0]))


def is_running(pid: int) -> bool:
    try:
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait(what: Any) -> Any:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.005)
    raise AssertionError("it never came")
