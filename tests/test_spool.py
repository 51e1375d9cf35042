"""A run's files say truly how far the run came."""

import hashlib
import zlib
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secoda_async import Batch, Kind, Spool, SpoolError
from secoda_async.spool import KEPT_RUNS, State, new_run_id, replace_file


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
    spool._writers[Kind.RESOURCES].close()
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("this test needs a device that is always full, which Linux has")
    spool._writers[Kind.RESOURCES]._file = full.open("wb", buffering=0)
    with pytest.raises(SpoolError, match="No space left"):
        spool.append(Batch(0, Kind.RESOURCES, b"{}\n", 1))
    spool.close()


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
