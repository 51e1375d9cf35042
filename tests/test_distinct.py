"""An upload holds every different line once, in the order of their first occurrence."""

import threading
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.sinks.distinct import _without_repeats, without_repeats


@given(lines=st.lists(st.sampled_from(["a", "b", "ab", "", "é", "a ", '{"x":1}', '{"x":1.0}'])))
def test_every_different_line_stays_once_and_in_order(
    lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    source = folder / "resources.jsonl"
    source.write_text("".join(f"{line}\n" for line in lines))
    result = _without_repeats(source, folder, threading.Event())
    assert result.read_text() == "".join(f"{line}\n" for line in dict.fromkeys(lines))
    if len(set(lines)) == len(lines):
        assert result == source
        assert [entry.name for entry in folder.iterdir()] == ["resources.jsonl"]
    else:
        assert sorted(entry.name for entry in folder.iterdir()) == ["resources.distinct.jsonl", "resources.jsonl"]


async def test_a_cancelled_run_leaves_no_table_behind(tmp_path: Path) -> None:
    source = tmp_path / "resources.jsonl"

    def write() -> None:
        with source.open("w") as file:
            file.writelines(f"{number % 500}\n" for number in range(400_000))

    await anyio.to_thread.run_sync(write)
    with anyio.move_on_after(0.05) as scope:
        await without_repeats(source, tmp_path)
    assert scope.cancelled_caught
    with anyio.fail_after(30):
        while len([entry.name async for entry in anyio.Path(tmp_path).iterdir()]) > 1:  # noqa: ASYNC110 # a thread's end
            await anyio.sleep(0.01)
