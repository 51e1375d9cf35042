"""A run's files say truly how far the run came."""

import hashlib
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from anyio import to_thread
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import (
    Batch,
    ConfigurationError,
    DatasetError,
    JSONLSink,
    Kind,
    RunError,
    Spool,
    SpoolError,
    Target,
)
from secoda_async.baselines import Baselines
from secoda_async.dataset import find_dataset
from secoda_async.spool import KEPT_RUNS, State, new_run_id, read_range, replace_file
from secoda_async.spool_index import Outcome, Range, ScopeEnd, read_index
from tests.integrations import integration, table


def manifest(spool: Spool) -> dict:
    return orjson.loads((spool.directory / "manifest.json").read_bytes())


@settings(max_examples=30)
@given(batches=st.lists(st.tuples(st.sampled_from(list(Kind)), st.lists(st.integers(), min_size=1, max_size=5))))
def test_the_index_describes_every_batch_and_the_manifest_the_files(tmp_path_factory, batches) -> None:
    spool = Spool.create(tmp_path_factory.mktemp("state"), new_run_id())
    for kind, numbers in batches:
        lines = b"".join(orjson.dumps(n % 2**63) + b"\n" for n in numbers)
        spool.append(Batch(0, kind, lines, len(numbers)))
    spool.complete()
    for kind in Kind:
        content = (spool.directory / kind.filename).read_bytes()
        assert content == b"".join(
            b"".join(orjson.dumps(n % 2**63) + b"\n" for n in numbers) for k, numbers in batches if k is kind
        )
        told = manifest(spool)["files"][kind]
        assert told == {
            "bytes": len(content),
            "records": content.count(b"\n"),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    rows = [orjson.loads(line) for line in (spool.directory / "index.jsonl").read_bytes().splitlines()]
    assert len(rows) == len(batches)
    for row in rows:
        content = (spool.directory / f"{row['kind']}.jsonl").read_bytes()
        part = content[row["offset"] : row["offset"] + row["length"]]
        assert (zlib.crc32(part), part.count(b"\n"), row["scope"]) == (row["crc32"], row["records"], 0)
    spool.close()


def test_the_manifest_follows_the_run(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, new_run_id())
    assert (manifest(spool)["state"], manifest(spool)["format"]) == (State.EXTRACTING, 1)
    spool.complete()
    assert manifest(spool)["state"] == State.COMPLETE
    spool.accept()
    assert manifest(spool)["state"] == State.ACCEPTED
    spool.close()
    failed = Spool.create(tmp_path, new_run_id())
    failed.fail("no answer")
    assert (manifest(failed)["state"], manifest(failed)["error"]) == (State.FAILED, "no answer")
    failed.close()


def test_others_cannot_read_a_run(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path / "state", new_run_id())
    spool.close()
    for folder in (spool.directory, spool.directory.parent, tmp_path / "state"):
        assert folder.stat().st_mode & 0o077 == 0


def test_the_state_folder_keeps_itself_out_of_version_control(tmp_path: Path) -> None:
    Spool.create(tmp_path / "state", new_run_id()).close()
    assert (tmp_path / "state" / ".gitignore").read_text() == "*\n"


def test_old_runs_are_pruned_but_never_one_that_is_still_going(tmp_path: Path) -> None:
    going = Spool.create(tmp_path, "0-oldest")
    for number in range(6):
        Spool.create(tmp_path, f"{number + 1}").close()
    kept = sorted(entry.name for entry in (tmp_path / "runs").iterdir())
    assert kept == ["0-oldest", "4", "5", "6"]
    assert len(kept) == KEPT_RUNS + 1
    going.append(Batch(0, Kind.RESOURCES, b"{}\n", 1))
    going.close()
    Spool.create(tmp_path, "7").close()
    assert "0-oldest" not in {entry.name for entry in (tmp_path / "runs").iterdir()}


def test_a_state_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="state_dir"):
        Spool.create(tmp_path / "file" / "state", new_run_id())


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, new_run_id())
    spool._files.of_kind[Kind.RESOURCES].close()
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this test needs a device that is always full, which Linux has")
    spool._files.of_kind[Kind.RESOURCES]._file = full.open("wb", buffering=0)
    with pytest.raises(SpoolError, match="No space left"):
        spool.append(Batch(0, Kind.RESOURCES, b"{}\n", 1))
    spool.close()


def test_what_the_disk_was_told_to_write_ahead_is_all_there(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, new_run_id())
    batches = [bytes([65 + number]) * 700_000 + b"\n" for number in range(5)]
    for lines in batches:
        spool.append(Batch(0, Kind.RESOURCES, lines, 1))
    spool.complete()
    spool.close()
    assert spool.file(Kind.RESOURCES).path.read_bytes() == b"".join(batches)


def test_run_ids_sort_by_time_and_differ() -> None:
    made = [new_run_id() for _ in range(50)]
    assert len(set(made)) == 50
    assert [name[:20] for name in made] == sorted(name[:20] for name in made)


def test_a_small_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def written(state: Path, *, close: bool = True) -> Spool:
    """A spool with two batches."""
    spool = Spool.create(state, new_run_id())
    spool.append(Batch(0, Kind.RESOURCES, b'{"a":1}\n{"a":2}\n', 2), Batch(0, Kind.LINEAGE, b"{}\n", 1))
    if close:
        spool.complete()
        spool.close()
    return spool


def test_a_complete_spool_is_a_dataset(tmp_path: Path) -> None:
    spool = written(tmp_path)
    found = find_dataset(spool.directory)
    assert found.run == spool.run_id
    assert found.dataset.resources.read_bytes() == b'{"a":1}\n{"a":2}\n'
    assert found.scopes == spool.directory / "index.jsonl"


def test_a_spool_is_never_taken_for_complete_unless_it_is(tmp_path: Path) -> None:
    running = written(tmp_path, close=False)
    with pytest.raises(DatasetError, match="it still goes on"):
        find_dataset(running.directory)
    running.append(Batch(0, Kind.RESOURCES, b'{"a":3', 1))
    running.close()
    with pytest.raises(
        DatasetError, match=r"it died.*the last line of resources.jsonl is torn after 6 bytes.*--resume"
    ):
        find_dataset(running.directory)
    failed = written(tmp_path, close=False)
    failed.fail("no answer")
    failed.close()
    with pytest.raises(DatasetError, match=r"it failed \(no answer\)"):
        find_dataset(failed.directory)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content[:-1], "torn after"),
        (lambda content: content + b"{}\n", r"bytes, and manifest\.json tells of"),
        (lambda content: content.replace(b"{", b"[", 1), "not the content"),
        (None, "is missing"),
    ],
)
def test_files_that_are_not_what_was_written_are_refused(tmp_path: Path, kind: Kind, change: Any, told: str) -> None:
    spool = written(tmp_path)
    path = spool.directory / kind.filename
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DatasetError, match=told) as caught:
        find_dataset(spool.directory)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (b'{"format": 2, "state": "complete"}', "has format 2, and this version reads 1"),
        (b'{"format": 1, "sta', "cannot be read"),
        (b"[]", "holds no format"),
        (b'{"format": 1, "state": "complete"}', "holds no folder"),
        (b'{"format": 1, "state": "complete", "folder": "../../../etc"}', "its files cannot be in"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_an_error(tmp_path: Path, told: bytes, message: str) -> None:
    spool = written(tmp_path)
    (spool.directory / "manifest.json").write_bytes(told)
    with pytest.raises(DatasetError, match=message):
        find_dataset(spool.directory)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(told: object, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a JSON object has values, however deep."""
    if not isinstance(told, dict):
        return [above]
    return [above, *(place for name in told for place in places(told[name], (*above, name)))]


@settings(max_examples=300)
@given(data=st.data(), value=values)
def test_whatever_stands_in_a_manifest_it_is_a_dataset_or_a_clear_error(tmp_path_factory, data, value) -> None:
    spool = written(tmp_path_factory.mktemp("state"))
    told = manifest(spool)
    place = data.draw(st.sampled_from(places(told)))
    changed = within = {"all of it": told}
    *above, last = "all of it", *place
    for name in above:
        within = within[name]
    within[last] = value
    (spool.directory / "manifest.json").write_bytes(orjson.dumps(changed["all of it"]))
    try:
        found = find_dataset(spool.directory)
    except DatasetError:
        return
    assert found.dataset.resources.read_bytes() == b'{"a":1}\n{"a":2}\n'


def test_an_index_that_was_changed_is_refused(tmp_path: Path) -> None:
    spool = written(tmp_path)
    (spool.directory / "index.jsonl").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"index\.jsonl has 0 bytes, and manifest\.json tells of"):
        find_dataset(spool.directory)


@pytest.mark.parametrize("line", [b"[]", b"1", b"{}", b'{"name": 1}', b'{"kind": "resources"}', b'{"kind": 1}', b"{"])
def test_a_damaged_row_of_an_index_is_an_error_that_names_the_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "index.jsonl").write_bytes(line)
    with pytest.raises(SpoolError, match="line 1 is damaged"):
        list(read_index(tmp_path / "index.jsonl"))


async def test_a_folder_that_only_a_failed_run_wrote_to_says_so(tmp_path: Path) -> None:
    async def extract(_: Any) -> None:
        raise ValueError("no answer")

    with pytest.raises(ValueError, match="no answer"):
        await integration(extract).run(JSONLSink(tmp_path / "out"))
    with pytest.raises(DatasetError, match=r"since the run failed: see run\.failed\.json"):
        await to_thread.run_sync(find_dataset, tmp_path / "out")


def test_what_a_failed_scope_declared_is_not_part_of_the_dataset(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, new_run_id())
    spool.append(Batch(1, Kind.RESOURCES, b"1\n", 1), Batch(0, Kind.RESOURCES, b"0\n", 1))
    spool.append(Batch(2, Kind.RESOURCES, b"2\n", 1), Batch(1, Kind.RESOURCES, b"11\n", 1))
    spool.end_scope(ScopeEnd(1, 0, "one", Outcome.DEAD, 0.0))
    spool.end_scope(ScopeEnd(2, 0, "two", Outcome.LIVE, 0.0))
    spool.complete()
    spool.close()
    found = find_dataset(spool.directory)
    assert found.dataset.resources.read_bytes() == b"0\n2\n"
    assert (spool.directory / "resources.jsonl").read_bytes() == b"1\n0\n2\n11\n", "what was declared is kept"
    assert found.scopes is not None
    assert [row.scope for row in read_index(found.scopes)] == [0, 2, 2]
    for row in read_index(found.scopes):
        if isinstance(row, Range):
            assert read_range(found.dataset.resources.parent, row) == f"{row.scope}\n".encode()


def test_what_a_scope_without_an_end_declared_is_not_part_of_the_dataset(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, new_run_id())
    spool.append(Batch(0, Kind.RESOURCES, b"0\n", 1), Batch(2, Kind.RESOURCES, b"2\n", 1))
    spool.end_scope(ScopeEnd(2, 1, "inner", Outcome.LIVE, 0.0))  # in scope 1, of which nothing else is known
    spool.complete()
    spool.close()
    assert find_dataset(spool.directory).dataset.resources.read_bytes() == b"0\n"


def test_a_plain_folder_is_a_dataset_and_one_without_both_files_is_none(tmp_path: Path) -> None:
    (tmp_path / "resources.jsonl").touch()
    with pytest.raises(ConfigurationError, match=r"holds no lineage\.jsonl"):
        find_dataset(tmp_path)
    (tmp_path / "lineage.jsonl").touch()
    assert find_dataset(tmp_path).run is None


async def test_what_a_folder_sink_wrote_is_compared_with_its_sums(tmp_path: Path) -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table(1))

    report = await integration(extract).run(JSONLSink(tmp_path / "out"))
    assert (await to_thread.run_sync(find_dataset, tmp_path / "out")).run == report.run
    (tmp_path / "out" / "lineage.jsonl").write_bytes(b"{}\n")
    with pytest.raises(DatasetError, match=r"run\.json tells of 0"):
        await to_thread.run_sync(find_dataset, tmp_path / "out")


async def test_a_full_disk_ends_a_run_in_one_clear_error(tmp_path: Path) -> None:
    """A real run, in a process that may not write more than a part of it."""
    program = (
        "import resource, signal, asyncio; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from tests.integrations import *\n"
        "async def extract(self):\n"
        "    for n in range(10_000): await self.declare_resource(table(n))\n"
        "asyncio.run(integration(extract).run(MemorySink()))"
    )
    done = await anyio.run_process([sys.executable, "-c", program], check=False, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"SpoolError: the run's files in" in done.stderr
    assert b"free space, mend the permissions, or choose another place" in done.stderr
    (run,) = (tmp_path / "state" / "runs").iterdir()
    with pytest.raises(DatasetError, match="it failed"):
        await to_thread.run_sync(find_dataset, run)


async def test_a_second_run_with_the_same_target_is_refused(tmp_path: Path) -> None:
    async def extract(self: Any) -> None:
        with pytest.raises(RunError, match=r"is held by the run .* \(process \d+\)"):
            await integration(nothing).run(JSONLSink(tmp_path / "out"))
        await integration(nothing).run(JSONLSink(tmp_path / "other"))

    async def nothing(_: Any) -> None: ...

    await integration(extract).run(JSONLSink(tmp_path / "out"))
    await integration(nothing).run(JSONLSink(tmp_path / "out"))


async def test_a_baseline_is_the_last_accepted_sync_alone(tmp_path: Path, state_dir: Path) -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table(names.pop()))

    names = ["b", "a"]
    sink = JSONLSink(tmp_path / "out")
    target = await to_thread.run_sync(sink.target)
    store = Baselines(state_dir, target)
    assert await to_thread.run_sync(store.current) is None
    for name in ("a", "b"):
        report = await integration(extract).run(sink)
        found = await to_thread.run_sync(store.current)
        assert found is not None
        assert (found.run, b'"databuilder_id":"%s"' % name.encode() in found.dataset.resources.read_bytes()) == (
            report.run,
            True,
        )
    assert [path.parent for path in found.directory.parent.glob("*/resources.jsonl")] == [found.directory]
    with pytest.raises(IndexError):
        await integration(extract).run(sink)
    assert await to_thread.run_sync(store.current) == found, "a failed run leaves it as it is"
    assert set(await to_thread.run_sync(modes_of_folders, state_dir)) == {0o700}
    for told, message in ((b'{"format": 2}', "has format 2"), (b"{", "is damaged"), (b'{"format": 1}', "is damaged")):
        (found.directory.parent / "current.json").write_bytes(told)
        with pytest.raises(SpoolError, match=message):
            await to_thread.run_sync(store.current)


def modes_of_folders(directory: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in [directory, *directory.rglob("*")] if path.is_dir()]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../x", "CON:1", ""])
def test_no_name_leaves_the_folder_of_baselines(tmp_path: Path, name: str) -> None:
    with Baselines(tmp_path, Target("host:80", name)).held("run"):
        (lock,) = tmp_path.rglob("lock")
        assert lock.parent.parent.parent == tmp_path / "baselines"
        assert ":" not in lock.parent.name
