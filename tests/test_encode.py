"""The line of a record is JSON-equal to the one that the real secodadk writes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, field_serializer

import secoda_async
from secoda_async import (
    DeclaredLineage,
    EncodeError,
    EntityType,
    ExternalColumn,
    InternalResource,
    Resource,
    TablesFromSQLQuery,
)
from secoda_async.models import Record
from secoda_async.pipeline.encode import describe, encode
from tests.effort import examples
from tests.peer import Peer


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer("records.py") as peer:
        yield peer


text = st.text(max_size=20)
some_text = st.none() | text
minutes = st.integers(-1439, 1439).map(lambda count: timedelta(minutes=count))
seconds = st.integers(-86399, 86399).map(lambda count: timedelta(seconds=count))
offsets = st.one_of(st.just(timedelta(0)), minutes, seconds)
moments = st.one_of(
    st.datetimes(timezones=st.none() | offsets.map(timezone)).map(lambda moment: {"$datetime": moment.isoformat()}),
    # Read by pydantic itself, which gives them a zone of its own making.
    st.datetimes(timezones=st.none() | minutes.map(timezone)).map(lambda moment: moment.isoformat()),
    st.sampled_from(["2024-05-06T07:08:09Z", "2024-05-06 07:08:09.1+05:30", "2024-05-06", "1714980000"]),
    st.integers(-(10**10), 10**12),
)
flags = st.none() | st.booleans() | st.sampled_from([0, 1, "yes", "off"])
unknown = st.dictionaries(
    st.sampled_from(["table", "Title", "tags", "model_config", "self", "größe"]), st.integers() | text, max_size=2
)
resource_fields = st.builds(
    lambda fields, more: {**more, **fields},
    st.fixed_dictionaries(
        {"entity_type": text | st.sampled_from([*map(str, EntityType)]), "databuilder_id": text},
        optional={
            "parent_databuilder_id": some_text,
            "title": some_text,
            "description": some_text,
            "definition": some_text,
            "external_updated_at": st.none() | moments,
            "native_type": some_text,
            "owners": st.none() | st.lists(text, max_size=3),
            "sort_order": st.none() | st.integers() | st.booleans(),
            "type": some_text,
            "is_pk": flags,
            "hidden": flags,
            "schema": some_text,
            "database": some_text,
            "group": some_text,
            "product": some_text,
        },
    ),
    unknown,
)
place = {"cluster": some_text, "database": some_text, "schema": some_text}
end_fields = {
    "InternalResource": st.fixed_dictionaries({"databuilder_id": text}, optional={"id": text}),
    "ExternalTable": st.fixed_dictionaries({"table": text}, optional={**place, "name": text}),
    "ExternalColumn": st.fixed_dictionaries({"table": text, "column": text}, optional=place),
    "TablesFromSQLQuery": st.fixed_dictionaries({"sql": text}, optional={"dialect": text}),
}
TYPES = {name: getattr(secoda_async, name).model_fields["type"].default for name in end_fields}
ends = st.one_of(
    st.builds(lambda fields, name=name: {"$model": name, "fields": fields}, strategy)
    if as_model
    else st.builds(lambda fields, name=name: {"type": TYPES[name], **fields}, strategy)
    for name, strategy in end_fields.items()
    for as_model in (True, False)
)
lineage_fields = st.fixed_dictionaries({"from_identifier": ends, "to_identifier": ends}, optional={"kind": text})


def revive(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "$datetime" in value:
        return datetime.fromisoformat(value["$datetime"])
    if "$model" in value:
        return build(value["$model"], value["fields"])
    return value


def build(model: str, fields: dict[str, Any]) -> Any:
    return getattr(secoda_async, model)(**{name: revive(value) for name, value in fields.items()})


def check_the_same_line(peer: Peer, model: str, fields: dict[str, Any]) -> None:
    line = encode(build(model, fields))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    # Pairs instead of dictionaries: the same fields in the same order, none of them twice.
    theirs = peer.ask({"model": model, "fields": fields})["line"]
    assert json.loads(line, object_pairs_hook=list) == json.loads(theirs, object_pairs_hook=list)


@settings(max_examples=examples(600, fast=200))
@given(fields=resource_fields)
@example(fields={"entity_type": "t", "databuilder_id": 'a\nb\r\u2028\x00"\\\U0001f600', "title": "\n"})
@example(fields={"entity_type": "t", "databuilder_id": "i", "sort_order": 2**63})
@example(fields={"entity_type": "t", "databuilder_id": "i", "sort_order": 2**64})
@example(fields={"entity_type": "t", "databuilder_id": "i", "sort_order": -(2**200)})
@example(
    fields={"entity_type": "t", "databuilder_id": "i", "external_updated_at": {"$datetime": "0001-01-01T00:00:00"}}
)
@example(
    fields={
        "entity_type": "t",
        "databuilder_id": "i",
        "external_updated_at": {"$datetime": "0001-01-01T00:00:00+14:00"},
    }
)
@example(
    fields={
        "entity_type": "t",
        "databuilder_id": "i",
        "external_updated_at": {"$datetime": "9999-12-31T23:59:59.999999"},
    }
)
@example(
    fields={
        "entity_type": "t",
        "databuilder_id": "i",
        "external_updated_at": {"$datetime": "1900-01-01T00:00:00+00:19:32"},
    }
)
@example(
    fields={
        "entity_type": "t",
        "databuilder_id": "i",
        "external_updated_at": {"$datetime": "1900-01-01T00:00:00-00:00:32"},
    }
)
def test_a_resource_is_written_as_secodadk_writes_it(fields: dict[str, Any], peer: Peer) -> None:
    check_the_same_line(peer, "Resource", fields)


@settings(max_examples=examples(300, fast=100))
@given(fields=lineage_fields)
def test_a_lineage_is_written_as_secodadk_writes_it(fields: dict[str, Any], peer: Peer) -> None:
    check_the_same_line(peer, "DeclaredLineage", fields)


def line_of(record: Record) -> Any:
    return json.loads(encode(record))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Amsterdam", "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize("year", [1850, 1935, 2024])
def test_named_zones_are_written_as_pydantic_writes_them(zone: str, year: int) -> None:
    # Before about 1940 some of them are minutes and seconds away from UTC.
    moment = datetime(year, 7, 1, 12, 0, 0, 5, tzinfo=ZoneInfo(zone))
    record = Resource(entity_type="table", databuilder_id="t", external_updated_at=moment)
    assert line_of(record) == record.model_dump(mode="json")


def test_utc_is_written_as_z() -> None:
    record = Resource(entity_type="t", databuilder_id="t", external_updated_at=datetime(2024, 1, 2, tzinfo=UTC))
    assert line_of(record)["external_updated_at"] == "2024-01-02T00:00:00Z"


def test_an_entity_type_and_any_other_string_are_written_as_they_are() -> None:
    assert line_of(Resource(entity_type=EntityType.CHART, databuilder_id="c"))["entity_type"] == "chart"
    assert line_of(Resource(entity_type="job", databuilder_id="j"))["entity_type"] == "job"


def test_an_unknown_keyword_is_not_in_the_line_not_even_where_pydantic_writes_it() -> None:
    class Own(Resource):
        pass

    keywords: dict[str, Any] = {"entity_type": "t", "databuilder_id": "t", "table": "x"}
    for record in (Resource(**keywords), Resource(**keywords, sort_order=2**70), Own(**keywords)):
        assert "table" not in line_of(record)


def test_a_record_changed_after_it_was_made_is_written_as_it_is_now() -> None:
    record = Resource(entity_type="t", databuilder_id="t")
    record.title = "later"
    assert line_of(record)["title"] == "later"


class WithSerializer(Resource):
    @field_serializer("title")
    def shout(self, title: str | None) -> str:
        return (title or "").upper()


class WithAlias(Resource):
    model_config = ConfigDict(serialize_by_alias=True)
    team: str = Field(default="data", serialization_alias="squad")


class WithField(Resource):
    cost: float = 1.5


class WithExtras(Resource):
    model_config = ConfigDict(extra="allow")


class OwnEnd(InternalResource):
    note: str = "n"


@pytest.mark.parametrize(
    "record",
    [
        WithSerializer(entity_type="t", databuilder_id="t", title="quiet"),
        WithAlias(entity_type="t", databuilder_id="t"),
        WithField(entity_type="t", databuilder_id="t"),
        WithExtras.model_validate({"entity_type": "t", "databuilder_id": "t", "anything": [1, {"a": None}]}),
        DeclaredLineage(from_identifier=OwnEnd(databuilder_id="a"), to_identifier=InternalResource(databuilder_id="b")),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_subclass_is_written_as_pydantic_writes_it(record: Record) -> None:
    assert line_of(record) == record.model_dump(mode="json")
    assert encode(record).endswith(b"}\n")
    assert encode(record).count(b"\n") == 1


def test_the_subclasses_say_something_that_the_fields_alone_do_not() -> None:
    assert line_of(WithSerializer(entity_type="t", databuilder_id="t", title="quiet"))["title"] == "QUIET"
    assert line_of(WithAlias(entity_type="t", databuilder_id="t"))["squad"] == "data"
    assert line_of(WithField(entity_type="t", databuilder_id="t"))["cost"] == 1.5


STRINGS = [name for name, field in Resource.model_fields.items() if "str" in str(field.annotation)]


@pytest.mark.parametrize("name", STRINGS)
def test_a_lone_surrogate_is_refused_with_the_names_of_record_and_field(name: str) -> None:
    fields: dict[str, Any] = {"entity_type": "table", "databuilder_id": "db.s.t"}
    fields[name] = ["fine", "ab\ud83d"] if name == "owners" else "ab\ud83d"
    with pytest.raises(EncodeError) as caught:
        encode(Resource(**fields))
    message = str(caught.value)
    assert message.startswith("Resource " + ("'ab\\ud83d'" if name == "databuilder_id" else "'db.s.t'"))
    assert f" {name} holds a lone surrogate (U+D83D at character 2)" in message
    message.encode()  # can be shown


def test_a_lone_surrogate_in_an_end_of_a_lineage_is_found_too() -> None:
    lineage = DeclaredLineage(
        from_identifier=TablesFromSQLQuery(sql="select '\udfff'"), to_identifier=InternalResource(databuilder_id="v")
    )
    with pytest.raises(
        EncodeError, match=r"'v'.* from_identifier\.sql holds a lone surrogate \(U\+DFFF at character 8\)"
    ):
        encode(lineage)


def test_a_lone_surrogate_in_a_subclass_is_refused_alike() -> None:
    with pytest.raises(EncodeError, match=r"WithField 'x' .* title holds a lone surrogate"):
        encode(WithField(entity_type="t", databuilder_id="x", title="\ud800"))


def test_a_value_that_json_has_no_form_for_is_refused_by_name() -> None:
    record = Resource(entity_type="t", databuilder_id="x")
    record.title = object()  # type: ignore[assignment] # pydantic does not check an assignment
    with pytest.raises(EncodeError, match="Resource 'x' cannot be written as JSON"):
        encode(record)


def test_a_record_is_described_on_one_clipped_line_that_no_terminal_obeys() -> None:
    shown = describe(Resource(entity_type="t", databuilder_id="\x1b[31m\n" + "x" * 10_000))
    assert shown.isprintable()
    assert len(shown) < 200
    lineage = DeclaredLineage(
        from_identifier=ExternalColumn(table="t", column="c"), to_identifier=InternalResource(databuilder_id="v")
    )
    assert "'t'" in describe(lineage) or "table='t'" in describe(lineage)
    assert "v" in describe(lineage)
