"""Files of others are read as nothing that is trusted, and what is wrong with a line is told with its place."""

import tracemalloc
from pathlib import Path

import anyio
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from secoda_async import DatasetError, DeclaredLineage, InternalResource, Kind, Resource
from secoda_async.pipeline.encode import encode
from secoda_async.reading import MAX_LINE, find_fault, read_dataset
from tests.datasets import edge, internal, resource, write_bytes, write_dataset, write_lines
from tests.effort import examples

GOOD = b'{"entity_type":"table","databuilder_id":"a"}'
EDGE = b'{"from_identifier":{"type":"internal_resource","databuilder_id":"a"},"to_identifier":{"type":"%b"%b}}'


async def faults(folder: Path, resources: bytes = b"", lineage: bytes = b"") -> list[tuple[str, int, str]]:
    return [tuple(fault) for fault in (await read_dataset(write_bytes(folder, resources, lineage))).faults]


async def test_good_files_are_counted_and_have_no_fault(tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path, [resource("table", "a"), resource("x", "b", "a")], [edge(internal("a"), internal("b"))]
    )
    reading = await read_dataset(dataset)
    reading.require()
    assert (reading.resources.lines, reading.lineage.lines, reading.fault_count) == (2, 1, 0)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"\n", 1, "the line is empty"),
        (GOOD + b"\n \t\n" + GOOD, 2, "the line is empty"),
        (GOOD + b"\n\r\n", 2, "the line is empty"),
        (b"\xef\xbb\xbf" + GOOD, 1, "the file begins with a byte order mark; write UTF-8 without one"),
        (GOOD.decode().encode("utf-16"), 1, "the file is UTF-16; write UTF-8"),
        (b"\x1f\x8b\x08", 1, "the file is compressed with gzip; unpack it"),
        (b"PK\x03\x04", 1, "the file is a zip archive; unpack it"),
        (b"[" + GOOD + b"]", 1, "the file is a JSON array; write one object a line, such as with: jq -c '.[]'"),
        (b"[\n" + GOOD + b"\n]\n", 1, "the file is a JSON array; write one object a line, such as with: jq -c '.[]'"),
        (GOOD + b"\n" + GOOD[:-9], 2, "the file ends in the middle of this line: it was cut off"),
        (GOOD[:-9] + b"\n" + GOOD, 1, "not JSON: "),
        (GOOD + GOOD, 1, "the file ends in the middle of this line: it was cut off"),
        (GOOD + GOOD + b"\n", 1, "not JSON: "),
        (b'{"entity_type":"\xe9"}\n', 1, "byte 17 of the line is no UTF-8"),
        (b'{"entity_type":"\\ud800"}\n', 1, "not JSON: "),
        (b'{"entity_type":NaN}\n', 1, "not JSON: "),
        (b"null\n", 1, "a JSON object is expected, not NoneType"),
        (b"7\n", 1, "a JSON object is expected, not int"),
        (b"{}\n", 1, "entity_type: Field required; databuilder_id: Field required"),
        (
            b'{"entity_type":1,"databuilder_id":[]}\n',
            1,
            "entity_type: Input should be a valid string; databuilder_id: Input should be a valid string",
        ),
        (b'{"entity_type":"t","databuilder_id":null}\n', 1, "databuilder_id: Input should be a valid string"),
        (GOOD[:-1] + b',"owners":["a",1]}\n', 1, "owners.1: Input should be a valid string"),
        (GOOD[:-1] + b',"databuilder_id":"b"}\n', 1, "the key 'databuilder_id' comes twice in one object"),
        (GOOD[:-1] + b', "databuilder_id" : "b:c"}\n', 1, "the key 'databuilder_id' comes twice in one object"),
        (GOOD[:-1] + b',"x":{"y":1,"\\u0079":1}}\n', 1, "the key 'y' comes twice in one object"),
        (GOOD[:-1] + b',"x":[{"y":1,"y":1}]}\n', 1, "the key 'y' comes twice in one object"),
    ],
)
async def test_what_is_wrong_with_a_file_of_resources(tmp_path: Path, content: bytes, line: int, reason: str) -> None:
    file, number, told = (await faults(tmp_path, content))[0]
    assert (file, number) == ("resources.jsonl", line)
    assert told == reason or (reason == "not JSON: " and told.startswith(reason))  # the rest is the parser's


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ((b"internal_resource", b""), "to_identifier.internal_resource.databuilder_id: Field required"),
        ((b"external_column", b',"table":"t"'), "to_identifier.external_column.column: Field required"),
        (
            (b"internal_resource", b',"databuilder_id":"a","databuilder_id":"b"'),
            "the key 'databuilder_id' comes twice in one object",
        ),
    ],
)
async def test_what_is_wrong_with_a_file_of_lineage(tmp_path: Path, end: tuple[bytes, bytes], reason: str) -> None:
    assert await faults(tmp_path, lineage=EDGE % end) == [("lineage.jsonl", 1, reason)]


async def test_an_unknown_kind_of_end_is_told_with_the_known_ones(tmp_path: Path) -> None:
    ((_, _, reason),) = await faults(tmp_path, lineage=EDGE % (b"s3", b""))
    assert reason.startswith("to_identifier: Input tag 's3'")
    assert "'external_table'" in reason


async def test_faults_are_kept_in_a_bounded_number_and_all_counted(tmp_path: Path) -> None:
    reading = await read_dataset(write_lines(tmp_path, [b"{}"] * 5000, [b"[]"] + [b"{}"] * 3000))
    assert [fault.line for fault in reading.resources.faults] == [1, 2, 3, 4, 5]
    assert reading.resources.fault_count == 5000
    assert reading.lineage.faults[0].reason.startswith("the file is a JSON array")
    assert reading.lineage.fault_count == 1
    with pytest.raises(
        DatasetError, match=r"^resources\.jsonl, line 1: entity_type: Field required; .* \(and 5,000 more lines\)$"
    ):
        reading.require()


async def test_crlf_is_no_fault_but_counted(tmp_path: Path) -> None:
    reading = await read_dataset(write_bytes(tmp_path, GOOD + b"\n" + GOOD + b"\r\n" + GOOD + b"\r\n"))
    reading.require()
    assert (reading.resources.carriage_returns, reading.resources.first_carriage_return) == (2, 2)


async def test_a_last_line_needs_no_newline(tmp_path: Path) -> None:
    assert await faults(tmp_path, GOOD + b"\n" + GOOD) == []


async def test_a_line_over_the_cap_is_refused_without_being_gathered(tmp_path: Path) -> None:
    dataset = write_bytes(tmp_path, GOOD + b"\n")
    with dataset.resources.open("ab") as file:
        for _ in range(100):
            file.write(b" " * 2**20)
        file.write(b"\n{}\n")
    tracemalloc.start()
    try:
        reading = await read_dataset(dataset)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(fault.line, fault.reason[:33]) for fault in reading.faults] == [
        (2, "the line is longer than 32 MiB"),
        (3, "entity_type: Field required; data"),
    ]
    assert peak < 4 * MAX_LINE


async def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path)
    dataset.lineage.unlink()
    with pytest.raises(DatasetError, match=r"lineage\.jsonl cannot be read: No such file or directory"):
        await read_dataset(dataset)


async def test_what_a_terminal_would_obey_is_spelt_out(tmp_path: Path) -> None:
    key = orjson.dumps("\x1b[31m\u202e" + "x" * 500)
    ((_, _, reason),) = await faults(tmp_path, GOOD[:-1] + b",%b:1,%b:2}" % (key, key))
    assert reason.startswith(r"the key '\\x1b[31m\\u202exxx")
    assert len(reason) < 200


async def test_nesting_over_what_can_be_read_is_a_fault(tmp_path: Path) -> None:
    for depth in (900, 1020, 1100, 100_000):
        deep = b'{"y":' * depth + b"1" + b"}" * depth
        found = await faults(tmp_path, GOOD[:-1] + b',"x":%b}' % deep)
        assert len(found) <= 1


async def test_cancelled_it_ends(tmp_path: Path) -> None:
    dataset = write_lines(tmp_path, [GOOD] * 300_000)
    with anyio.move_on_after(0.01) as scope:
        await read_dataset(dataset)
    assert scope.cancelled_caught


text = st.text(st.characters(codec="utf-8"), max_size=8)
resources = st.builds(
    Resource,
    entity_type=text,
    databuilder_id=text,
    description=st.none() | text,
    owners=st.none() | st.lists(text, max_size=2),
    external_updated_at=st.none() | st.datetimes(),
    sort_order=st.none() | st.integers(-(2**63), 2**63),
)
lineages = st.builds(
    DeclaredLineage,
    from_identifier=st.builds(InternalResource, databuilder_id=text),
    to_identifier=st.builds(InternalResource, databuilder_id=text),
)


@given(records=st.lists(resources, max_size=5), edges=st.lists(lineages, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_this_package_writes_has_no_fault(
    tmp_path: Path, records: list[Resource], edges: list[DeclaredLineage]
) -> None:
    dataset = write_bytes(tmp_path, b"".join(map(encode, records)), b"".join(map(encode, edges)))
    assert find_fault(dataset.resources, Kind.RESOURCES) is None
    assert find_fault(dataset.lineage, Kind.LINEAGE) is None


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda s: s.encode("utf-8", "surrogatepass")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_whatever_is_more_than_a_fault(tmp_path: Path, content: bytes) -> None:
    dataset = write_bytes(tmp_path, content, content)
    for kind in Kind:
        fault = find_fault(dataset.file(kind), kind)
        assert (fault is None) == (content == b"")
        assert fault is None or fault.reason.isprintable()


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    text,
    st.lists(text | st.integers(), max_size=2),
) | st.sampled_from(["1", "true", "2024-01-01T00:00:00Z", "2024-01-01", 1e300, {}, {"a": 1}, 2**70])


@given(
    record=st.dictionaries(st.sampled_from(["unknown", *Resource.model_fields]), values, max_size=6),
    whole=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(500, fast=150))
def test_a_line_is_taken_exactly_where_the_model_takes_it(
    tmp_path: Path, record: dict[str, object], whole: bool
) -> None:
    line = orjson.dumps({**({"entity_type": "t", "databuilder_id": "a"} if whole else {}), **json_equal(record)})
    try:
        Resource.model_validate(orjson.loads(line))
        taken = True
    except ValidationError:
        taken = False
    assert (find_fault(write_bytes(tmp_path, line).resources, Kind.RESOURCES) is None) is taken


def json_equal(record: dict[str, object]) -> dict[str, object]:
    """Integers as large as orjson writes them."""
    return {
        name: float(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value
        for name, value in record.items()
        if not isinstance(value, list) or all(not isinstance(one, int) or -(2**63) <= one < 2**64 for one in value)
    }
