"""A coded body decodes to what was coded, however it is cut into pieces, in bounded memory, or is an error."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.network.decode_body import PIECE, CodingError, UnknownCodingError, decoder_for


def bare(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZip": gzip.compress,
    "deflate": zlib.compress,
    "deflate ": bare,
    "identity, gzip": gzip.compress,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
    "gzip,,deflate": lambda data: zlib.compress(gzip.compress(data)),
}


def decode(coding: str, coded: bytes, size: int = 2**16) -> bytes:
    decoder = decoder_for(coding)
    assert decoder is not None
    pieces = [piece for start in range(0, len(coded), size) for piece in decoder.feed(coded[start : start + size])]
    decoder.finish()
    return b"".join(pieces)


@given(st.sampled_from([*CODINGS]), st.binary(max_size=300), st.integers(1, 50))
def test_what_was_coded_comes_back_however_it_is_cut(coding: str, data: bytes, size: int) -> None:
    assert decode(coding, CODINGS[coding](data), size) == data


@given(st.sampled_from([*CODINGS]), st.binary(max_size=300), st.data())
def test_a_body_that_is_cut_off_is_an_error(coding: str, data: bytes, choice: st.DataObject) -> None:
    coded = CODINGS[coding](data)
    cut = choice.draw(st.integers(1, len(coded) - 1))
    with pytest.raises(CodingError, match=r"is cut off within its (gzip|deflate)"):
        decode(coding, coded[:cut])


@pytest.mark.parametrize("coding", CODINGS)
def test_no_bytes_at_all_are_an_empty_body(coding: str) -> None:
    assert decode(coding, b"") == b""


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.integers(0, 5), st.integers(1, 30))
def test_several_members_and_the_padding_after_them_are_one_body(parts: list[bytes], zeros: int, size: int) -> None:
    coded = b"".join(gzip.compress(part) + bytes(zeros) for part in parts)
    assert decode("gzip", coded, size) == b"".join(parts)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate "])
@pytest.mark.parametrize("size", [1, 1000])
def test_garbage_after_the_end_is_an_error(coding: str, size: int) -> None:
    with pytest.raises(CodingError):
        decode(coding, CODINGS[coding](b"data") + b"garbage", size)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_flipped_bit_is_an_error(coding: str) -> None:
    coded = bytearray(CODINGS[coding](b"data" * 100))
    coded[-1] ^= 1
    with pytest.raises(CodingError, match=f"is no {coding}"):
        decode(coding, bytes(coded))


@given(st.binary(min_size=1), st.sampled_from(["gzip", "deflate", "gzip, gzip"]))
def test_no_bytes_raise_anything_else(data: bytes, coding: str) -> None:
    try:
        decode(coding, data, 7)
    except CodingError:
        return


@pytest.mark.parametrize("header", ["", "identity", " , identity"])
def test_nothing_to_undo(header: str) -> None:
    assert decoder_for(header) is None


@pytest.mark.parametrize(
    ("header", "says"), [("br", "is 'br'; only gzip and deflate"), (", ".join(["gzip"] * 6), "6 codings")]
)
def test_what_cannot_be_undone_is_named(header: str, says: str) -> None:
    with pytest.raises(UnknownCodingError, match=says):
        decoder_for(header)


def test_a_bomb_takes_a_piece_at_a_time_and_no_more() -> None:
    bomb = gzip.compress(gzip.compress(bytes(200 * 2**20), 1))
    decoder = decoder_for("gzip, gzip")
    assert decoder is not None
    tracemalloc.start()
    sizes = [len(piece) for piece in decoder.feed(bomb)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    decoder.finish()
    assert sum(sizes) == 200 * 2**20
    assert max(sizes) <= PIECE
    assert peak < 8 * PIECE


def test_thousands_of_empty_members_are_read_in_linear_time() -> None:
    assert decode("gzip", gzip.compress(b"") * 20_000, 2**19) == b""
