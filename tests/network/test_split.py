"""A body that comes in pieces gives the same lines, values and items however it is cut, or says what is wrong."""

import itertools
import json
import tracemalloc
from collections.abc import Sequence
from typing import Any

import ijson
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secoda_async.network.json_items import JSONItems
from secoda_async.network.split import NDJSON, Lines, Splitter, TooLargeError

BIG = 2**40


def read(splitter: Splitter[Any], body: bytes, size: int = 7) -> list[Any]:
    parts = [part for start in range(0, len(body), size) for part in splitter.feed(body[start : start + size])]
    return [*parts, *splitter.finish()]


def items(
    body: bytes, path: Sequence[str] = (), *, size: int = 7, charset: str = "utf-8", most: int = BIG
) -> list[Any]:
    return read(JSONItems(path, charset, most), body, size)


texts = st.text("ab\r\n\u2028\x85é€😀 ")


@given(texts, st.sampled_from(["utf-8", "utf-16", "utf-16-le", "latin-1", "utf-8-sig"]), st.integers(1, 9))
def test_lines_end_in_lf_or_crlf_and_nowhere_else(text: str, charset: str, size: int) -> None:
    body = text.encode(charset, errors="replace")
    expected = body.decode(charset).split("\n")
    expected = [line.removesuffix("\r") for line in (expected if expected[-1] else expected[:-1])]
    if expected and expected[-1] == "" and not text.endswith("\n"):
        expected.pop()  # nothing but a carriage return is left of the last line
    assert read(Lines(charset, BIG), body, size) == expected


def test_bytes_that_the_charset_does_not_know_are_replaced_in_lines() -> None:
    assert read(Lines("utf-8", BIG), b"a\xff\nb\xc3") == ["a\ufffd", "b\ufffd"]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert read(Lines("utf-8", BIG), b"\xef\xbb\xbfa\nb", 1) == ["a", "b"]
    assert read(Lines("utf-8", BIG), b"\xef\xbb", 1) == ["\ufffd"]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('ab."\\é', max_size=3), inner, max_size=4),
    max_leaves=12,
)
writers = st.sampled_from([
    orjson.dumps,
    lambda value: json.dumps(value, indent=1).encode(),
    lambda value: json.dumps(value, ensure_ascii=False).encode(),
])  # fmt: skip


@given(st.lists(values), writers, st.integers(1, 20), st.sampled_from(["\n", "\r\n", "\n \n"]))
def test_ndjson_is_one_value_a_line(wanted: list[Any], write: Any, size: int, end: str) -> None:
    lines = [write(value).replace(b"\n", b" ") for value in wanted]
    assert read(NDJSON("utf-8", BIG), end.encode().join(lines), size) == wanted
    assert read(NDJSON("utf-8", BIG), end.encode().join([*lines, b""]), size) == wanted


@pytest.mark.parametrize(
    ("body", "good", "says"),
    [
        (b'1\n\n{"a":\n2', [1], r"line 3 is no JSON \(.* at column"),
        (b"1\n2 3\n", [1], "line 2 is no JSON"),
        (b"NaN\n", [], "line 1 is no JSON"),
        (b'"\xff"\n', [], "line 1 is no JSON"),
        (b'"\\ud800"', [], "line 1 is no JSON"),
        (b'1\n{"a": 1', [1], "line 2 is no JSON"),
        (b"1\n" + b"[" * 2000, [1], "line 2 is no JSON"),
    ],
)
def test_a_line_that_is_no_json_is_named_after_those_before_it_were_given(
    body: bytes, good: list[Any], says: str
) -> None:
    splitter = NDJSON("utf-8", BIG)
    parts = itertools.chain(splitter.feed(body), splitter.finish())
    assert [next(parts) for _ in good] == good
    with pytest.raises(ValueError, match=says):
        next(parts)


def test_a_line_over_the_cap_is_refused_as_soon_as_it_is() -> None:
    lines = Lines("utf-8", 10)
    assert list(lines.feed(b"0123456789\r\n"[:10] + b"\nabc")) == ["0123456789"]
    with pytest.raises(TooLargeError, match="line 2 is over 10 bytes"):
        list(lines.feed(b"defghijkl"))


@given(values, writers, st.integers(1, 30))
def test_items_are_those_that_json_reads(value: Any, write: Any, size: int) -> None:
    body = write(value)
    expected = orjson.loads(body)
    if isinstance(expected, list):
        assert items(body, size=size) == expected
    elif isinstance(expected, dict):
        assert items(body, size=size) == [*expected.items()]
    else:
        with pytest.raises(ValueError, match="neither an array nor an object at the root"):
            items(body, size=size)


names = st.sampled_from(["a", "b", "a.b", "item", ""])


@given(st.lists(names, max_size=4), values, st.dictionaries(names, values, max_size=3), writers, st.integers(1, 30))
def test_items_are_found_at_any_path_whatever_stands_beside_it(
    path: list[str], value: Any, beside: dict[str, Any], write: Any, size: int
) -> None:
    document = value
    for name in reversed(path):
        document = {**beside, name: document, **{f"{key}!": other for key, other in beside.items()}}
    if isinstance(value, list | dict):
        expected = value if isinstance(value, list) else [*value.items()]
        assert items(write(document), path, size=size) == expected
    else:
        with pytest.raises(ValueError, match="neither an array nor an object at"):
            items(write(document), path, size=size)


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    ("body", "path", "says"),
    [
        (b'{"a": [1]}', ["b"], "there is nothing at the path 'b'"),
        (b'{"a": {"c": [1]}, "b": {"d": [1]}}', ["a", "d"], "there is nothing at the path 'a.d'"),
        (b'{"x": {"a": [1]}}', ["a"], "there is nothing at the path 'a'"),
        (b'{"a": [{"b": [1]}]}', ["a", "b"], "there is an array at the path 'a'"),
        (b'{"a": null}', ["a", "b"], "there is no object at the path 'a'"),
        (b'{"a": null}', ["a"], "there is neither an array nor an object at the path 'a'"),
        (b"[[1]]", ["a"], "there is an array at the root"),
        (b'{"a": [1], "a": [2]}', ["a"], "the path 'a' is there twice"),
        (b"", [], "it ends too early"),
        (b"[1", [], "it ends too early"),
        (b'{"a": [1]', ["a"], "it ends too early"),
        (b'["\\u12', [], "invalid"),
        (b"[1] 2", [], "trailing garbage"),
        (b"[1,]", [], "unallowed token"),
        (b'{"x": nope, "a": [1]}', ["a"], "invalid"),
        (b"[NaN]", [], "invalid char"),
        (b"[1e999]", [], "a number is too large"),
        (b"[" + b"9" * 5000 + b"]", [], "more digits than Python reads"),
        (b'["\xff"]', [], "no UTF-8|invalid bytes in UTF8"),
        (b'["\\ud800"]', [], "half a surrogate pair"),
        (b'["\\ud800\\u0041"]', [], "half a surrogate pair"),
        (b'["\\udc00"]', [], "half a surrogate pair"),
        (b"[" * 2000, [], "nested over 1024 levels"),
        (b'{"x": ' + b"[" * 2000, ["a"], "nested over 1024 levels"),
    ],
)
def test_what_is_no_document_with_items_there_is_an_error(body: bytes, path: list[str], says: str, size: int) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        items(body, path, size=size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_escapes_are_read_wherever_they_are_cut(size: int) -> None:
    text = '\\ " \ud83d\ude00 \\u0041'.encode("utf-16", "surrogatepass").decode("utf-16")
    assert items(json.dumps([text, "\\\\ud800"]).encode(), size=size) == [text, "\\\\ud800"]


def test_integers_are_exact_whatever_their_size() -> None:
    wanted = [2**63, 2**64, -(2**70), 10**100]
    assert items(json.dumps(wanted).encode()) == wanted


@given(values, st.sampled_from(["utf-16", "utf-16-be", "utf-8-sig", "utf-32"]), st.integers(1, 9))
@example([1], "utf-8-sig", 1)
def test_items_are_read_in_the_charset_of_the_answer(value: Any, charset: str, size: int) -> None:
    body = json.dumps([value], ensure_ascii=False).encode(charset)
    assert items(body, size=size, charset=charset) == [orjson.loads(orjson.dumps(value))]


def test_depth_is_counted_from_the_root_and_all_that_orjson_reads_is_read() -> None:
    deep = b"[" * 1023 + b"]" * 1023
    (item,) = items(b"[" + deep + b"]", size=1000)
    for _ in range(1023):
        (item,) = item or [None]
    assert item is None


def test_an_item_over_the_cap_is_refused_while_it_arrives_and_smaller_ones_never_are() -> None:
    small = b"[" + b",".join([b'"' + b"x" * 80 + b'"'] * 1000) + b"]"
    assert len(items(small, size=333, most=100)) == 1000
    nested = b"[" + b",".join([b'[{"a":"' + b"x" * 60 + b'"}]'] * 1000) + b"]"
    assert len(items(nested, size=333, most=100)) == 1000
    for body in (b'["' + b"x" * 300, b'[{"a": [' + b"1," * 300, b'{"skipped": "' + b"x" * 300):
        with pytest.raises(TooLargeError, match="one item is over 100 bytes"):
            items(body, most=100)


@pytest.mark.parametrize("deep", [b"[" * 2**20, b'{"a":' * 2**18])
def test_a_hostile_depth_takes_little_memory(deep: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match="nested over 1024 levels, the most that are read"):
        items(deep, size=2**18)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 2**20


def test_the_tokens_are_found_by_the_library_in_c() -> None:
    assert ijson.backend_name == "yajl2_c"
