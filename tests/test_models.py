"""The models are secodadk's, field for field; what they add is the report of keywords that are no field."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import secoda_async
from secoda_async import DeclaredLineage, EntityType, ExternalTable, InternalResource, Resource, TablesFromSQLQuery
from secoda_async.models import unknown_keywords
from tests.peer import Peer

MODELS = ["Resource", "InternalResource", "ExternalTable", "ExternalColumn", "TablesFromSQLQuery", "DeclaredLineage"]


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer("records.py") as peer:
        yield peer


def without_texts(schema: Any) -> Any:
    """A JSON schema without what documents it."""
    if isinstance(schema, dict):
        return {
            name: without_texts(part)
            for name, part in schema.items()
            # A property may be called so too; then it is a schema and no text.
            if not (name in ("description", "title") and isinstance(part, str))
        }
    return [without_texts(part) for part in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", MODELS)
def test_fields_types_order_and_defaults_are_those_of_secodadk(name: str, peer: Peer) -> None:
    model: type[BaseModel] = getattr(secoda_async, name)
    theirs = peer.ask({"schema": name})
    assert without_texts(model.model_json_schema()) == without_texts(theirs["json"])
    ours = {name: [field.is_required(), repr(field.default)] for name, field in model.model_fields.items()}
    assert ours == theirs["defaults"]
    assert list(ours) == list(theirs["defaults"])


raw = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["true", "no", "1", "2024-02-30", "2024-02-29T01:02:03Z", "1e3", "12"]),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)
raw_end = st.one_of(
    raw,
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(
                ["internal_resource", "external_table", "external_column", "tables_from_query", "x"]
            ),
            "databuilder_id": raw,
            "table": raw,
            "column": raw,
            "sql": raw,
        },
    ),
)


def check_the_same_is_taken(peer: Peer, name: str, fields: dict[str, Any]) -> None:
    theirs = peer.ask({"model": name, "fields": fields})
    errors = None
    try:
        getattr(secoda_async, name)(**fields)
    except ValidationError as exc:
        errors = [[error["type"], list(error["loc"])] for error in exc.errors()]
    assert errors == theirs.get("errors")


@given(
    fields=st.fixed_dictionaries({}, optional=dict.fromkeys(Resource.model_fields, raw)),
    sound=st.booleans(),
)
def test_a_resource_is_refused_where_secodadk_refuses_it_and_for_the_same_reasons(
    fields: dict[str, Any], sound: bool, peer: Peer
) -> None:
    needed = {"entity_type": "table", "databuilder_id": "t"} if sound else {}
    check_the_same_is_taken(peer, "Resource", {**needed, **fields})


@given(fields=st.fixed_dictionaries({}, optional={"from_identifier": raw_end, "to_identifier": raw_end}))
def test_a_lineage_is_refused_where_secodadk_refuses_it_and_for_the_same_reasons(
    fields: dict[str, Any], peer: Peer
) -> None:
    check_the_same_is_taken(peer, "DeclaredLineage", fields)


def test_entity_types_are_the_documented_strings_and_any_other_string_passes() -> None:
    assert [*EntityType] == ["database", "schema", "table", "column", "dashboard_group", "dashboard", "chart"]
    assert Resource(entity_type=EntityType.CHART, databuilder_id="c").entity_type == "chart"
    assert Resource(entity_type="job", databuilder_id="j").entity_type == "job"


def test_a_keyword_that_is_no_field_is_ignored_and_reported_with_its_class() -> None:
    keywords: dict[str, Any] = {"entity_type": "column", "databuilder_id": "c", "table": "t", "Title": "x"}
    resource = Resource(**keywords)
    assert list(unknown_keywords(resource)) == [("Resource", "table"), ("Resource", "Title")]
    assert resource.model_dump() == Resource(entity_type="column", databuilder_id="c").model_dump()
    assert list(unknown_keywords(Resource.model_validate(keywords))) == [("Resource", "table"), ("Resource", "Title")]


def test_unknown_keywords_of_the_ends_are_reported_too_given_as_models_or_as_dictionaries() -> None:
    ends: dict[str, Any] = {
        "from_identifier": {"type": "internal_resource", "databuilder_id": "a", "id": "a"},
        "to_identifier": ExternalTable.model_validate({"table": "t", "catalog": "c"}),
    }
    lineage = DeclaredLineage(**ends, kind="x")  # type: ignore[call-arg] # what is tested
    found = [("DeclaredLineage", "kind"), ("InternalResource", "id"), ("ExternalTable", "catalog")]
    assert list(unknown_keywords(lineage)) == found


@pytest.mark.parametrize(
    "record",
    [
        Resource(entity_type="table", databuilder_id="t", title=None, schema="s"),
        DeclaredLineage(
            from_identifier=TablesFromSQLQuery(sql="select 1"), to_identifier=InternalResource(databuilder_id="a")
        ),
    ],
)
def test_a_record_of_fields_alone_reports_nothing(record: Resource | DeclaredLineage) -> None:
    assert list(unknown_keywords(record)) == []


def test_aliases_and_allowed_extras_of_a_subclass_are_no_unknown_keywords() -> None:
    from pydantic import ConfigDict, Field

    class Aliased(Resource):
        team: str = Field(default="", validation_alias="squad")

    class Open(Resource):
        model_config = ConfigDict(extra="allow")

    known: dict[str, Any] = {"entity_type": "table", "databuilder_id": "t"}
    assert list(unknown_keywords(Aliased(**known, squad="a"))) == []
    assert list(unknown_keywords(Aliased(**known, squid="a"))) == [("Aliased", "squid")]
    assert list(unknown_keywords(Open(**known, anything=1))) == []
