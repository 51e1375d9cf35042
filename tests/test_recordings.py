"""What is committed of recorded runs says nothing of the machine that it was taken on, and holds no credential."""

import re
import sqlite3
import zlib
from pathlib import Path

import pytest

RECORDINGS = sorted((Path(__file__).parent / "recordings").glob("*.journal"))
PRIVATE = re.compile(rb"(?<![\w.])/(?:tmp|root|home|Users|opt|srv|var)/|\beyJ[\w-]{20}|recorded-password")
MOST = 256 * 2**10  # bytes: each clone has all of them, and all their versions


def texts(journal: Path) -> bytes:
    """Everything that stands in a journal."""
    found = []
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        for column, kind in (("data", "entries"), ("data", "pieces"), ("value", "meta")):
            for (value,) in connection.execute(f"select {column} from {kind}"):
                is_packed = kind != "meta"
                found.append(zlib.decompress(value) if is_packed else str(value).encode())
    connection.close()
    return b"\n".join(found)


def test_there_are_recordings() -> None:
    assert RECORDINGS


@pytest.mark.parametrize("journal", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_names_no_place_of_the_machine_and_no_credential(journal: Path) -> None:
    text = texts(journal)
    assert b"http" in text
    assert not PRIVATE.findall(text)


@pytest.mark.parametrize("journal", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_is_small(journal: Path) -> None:
    assert journal.stat().st_size <= MOST
