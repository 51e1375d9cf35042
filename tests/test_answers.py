"""What a workspace says of a refused request is one readable, harmless line."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async import Request, Response
from secoda_async.redact import Redactor
from secoda_async.sinks.answers import readable

KEY = "s3cret-key-of-the-workspace"


def said(content: object) -> str:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return readable(Response(Request("POST", URL("https://x.example")), 400, content=body), Redactor([KEY]))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"detail": "Not found."}, "Not found."),
        (
            {"resources_file": ["Line 3: title is too long.", "Line 4: too."]},
            "resources_file: Line 3: title is too long.; resources_file: Line 4: too.",
        ),
        ({"errors": {"rows": [{}, {"databuilder_id": ["is required"]}]}}, "rows[1].databuilder_id: is required"),
        ({"non_field_errors": ["a", "b"], "code": 7, "empty": None, "ok": False}, "a; b; code: 7; ok: false"),
        (["first", "second"], "first; second"),
        ("plain", "plain"),
        (b"no JSON\n at\tall", "no JSON at all"),
        (b"", ""),
        ({}, "{}"),
    ],
)
def test_messages_are_told_by_field(content: object, line: str) -> None:
    assert said(content) == line


def test_a_key_in_an_answer_is_masked_also_where_json_escapes_it() -> None:
    assert KEY not in said({"detail": f"you sent {KEY}"})
    escaped = "".join(f"\\u{ord(character):04x}" for character in KEY)
    assert "s3cret" not in said(f'{{"detail": "you sent {escaped}"}}'.encode())


def test_an_answer_of_any_size_is_clipped() -> None:
    assert len(said({f"field{n}": "x" * 100 for n in range(1000)})) <= 1001
    assert len(said(b"[" * 3_000_000)) <= 1001
    assert said([f"m{n}" for n in range(50)]).count("; ") == 20


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_every_answer_is_one_printable_line(content: object) -> None:
    try:
        body = orjson.dumps(content)
    except TypeError:  # half a surrogate pair
        return
    assert said(body).isprintable()


def test_nesting_without_end_is_survived() -> None:
    assert len(said(b'{"a":' * 500 + b"1" + b"}" * 500)) <= 1001
