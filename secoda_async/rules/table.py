"""The rules, as data: what each says, where that was read, and the SQL that finds what breaks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from secoda_async.models import EntityType
from secoda_async.rules.verdict import Severity
from secoda_async.spool_index import Kind

PARENTS: Final[dict[EntityType, tuple[EntityType, ...]]] = {
    EntityType.DATABASE: (),
    EntityType.SCHEMA: (EntityType.DATABASE,),
    EntityType.TABLE: (EntityType.SCHEMA,),
    EntityType.COLUMN: (EntityType.TABLE, EntityType.COLUMN),
    EntityType.DASHBOARD_GROUP: (),
    EntityType.DASHBOARD: (EntityType.DASHBOARD_GROUP,),
    EntityType.CHART: (EntityType.DASHBOARD,),
}
"""What each type may stand under, parents before children; nothing: under the integration itself. Source: the Secoda
SDK documentation.
"""

LINEAGE: Final = (
    ("internal_resource", "internal_resource"),
    ("internal_resource", "external_table"),
    ("external_table", "internal_resource"),
    ("internal_resource", "external_column"),
    ("external_column", "internal_resource"),
    ("external_table", "external_table"),
    ("tables_from_query", "internal_resource"),
)
"""From what to what lineage goes. Source: the Secoda SDK documentation."""

_SDK: Final = "Secoda's SDK documentation"
_FORMAT: Final = "Secoda's JSONL file format"
_UNSURE: Final = "Secoda's documentation, of which one page contradicts another"
_OURS: Final = "this project"


def _texts(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_TYPES: Final = _texts(tuple(EntityType))
_ALLOWED: Final = ", ".join(f"('{kind}', '{parent}')" for kind, parents in PARENTS.items() for parent in parents)
_PAIRS: Final = ", ".join(f"('{start}', '{end}')" for start, end in LINEAGE)
_BY_PARENT: Final = "rules.resource join rules.parent on md5_number(resource.parent) = parent.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    id: str
    severity: Severity
    says: str
    """What is wrong where it is broken."""
    to_do: str
    source: str
    """Where it was read: a page of Secoda's documentation, or this project."""
    kind: Kind = Kind.RESOURCES
    """The file that its samples are in."""
    finds: str = ""
    """SQL that gives line, id and note of each breach; none where the rule is judged elsewhere. See `judge`."""
    strict: Severity = Severity.ERROR
    """Its severity under ``strict``."""


def _error(id_: str, says: str, to_do: str, source: str, finds: str = "", *, kind: Kind = Kind.RESOURCES) -> Rule:
    return Rule(id=id_, severity=Severity.ERROR, says=says, to_do=to_do, source=source, finds=finds, kind=kind)


def _warning(id_: str, says: str, to_do: str, source: str, finds: str = "", *, kind: Kind = Kind.RESOURCES) -> Rule:
    return Rule(id=id_, severity=Severity.WARNING, says=says, to_do=to_do, source=source, finds=finds, kind=kind)


RULES: Final = (
    _error(
        "malformed-line",
        "a line is no record",
        "write one JSON object a line, in UTF-8, as the models have it; until then no other rule is judged",
        _FORMAT,
    ),
    _error(
        "empty-id",
        "a resource has an empty databuilder_id",
        "give it an id that is unique and never changes",
        _SDK,
        "select line, '' as id, concat('a ', type) as note from rules.resource where coalesce(id, '') = ''",
    ),
    _error(
        "empty-lineage-end",
        "an internal end of a lineage has an empty databuilder_id",
        "give it the id of a resource, or leave the lineage out",
        _SDK,
        """
        select line, '' as id, concat_ws(' and ',
            case when from_type = 'internal_resource' and coalesce(from_id, '') = '' then 'from_identifier' end,
            case when to_type = 'internal_resource' and coalesce(to_id, '') = '' then 'to_identifier' end) as note
        from rules.lineage
        where (from_type = 'internal_resource' and coalesce(from_id, '') = '')
           or (to_type = 'internal_resource' and coalesce(to_id, '') = '')
        """,
        kind=Kind.LINEAGE,
    ),
    _error(
        "column-without-parent",
        "a column has no parent_databuilder_id",
        "give it the id of its table, or of the column it is nested in",
        _SDK,
        "select line, id, '' as note from rules.resource where type = 'column' and coalesce(parent, '') = ''",
    ),
    _error(
        "chart-without-parent",
        "a chart has no parent_databuilder_id",
        "give it the id of its dashboard",
        _SDK,
        "select line, id, '' as note from rules.resource where type = 'chart' and coalesce(parent, '') = ''",
    ),
    _error(
        "differing-duplicates",
        "records share a databuilder_id and differ",
        "make their ids differ, or choose which one counts: on_conflict (--on-conflict) first or last",
        _OURS,
        "select line, id, concat('differs from line ', first_line) as note from differing where id <> ''",
    ),
    _error(
        "query-as-target",
        "a lineage goes to a query: to_identifier is tables_from_query",
        "let the query be from_identifier, and name the resource it feeds as to_identifier",
        _SDK,
        "select line, coalesce(from_id, '') as id, '' as note from rules.lineage where to_type = 'tables_from_query'",
        kind=Kind.LINEAGE,
    ),
    _error(
        "parent-cycle",
        "a resource stands under itself: its parents go in a circle",
        "correct parent_databuilder_id of one of them",
        _OURS,
        "select line, id, concat('its parent is ', left(parent, 200)) as note "
        "from rules.cycle join rules.resource using (line)",
    ),
    _warning(
        "carriage-return",
        "a line ends in a carriage return and a newline",
        "end lines with a newline alone",
        _FORMAT,
    ),
    _warning(
        "unknown-type",
        "an entity_type is none that Secoda documents",
        f"use one of {', '.join(EntityType)}",
        _SDK,
        f"select line, id, type as note from rules.resource where type not in ({_TYPES})",
    ),
    _warning(
        "table-without-names",
        "a table has no schema or no database",
        "fill both: Secoda finds a table by them where lineage names it from outside",
        _SDK,
        """
        select line, id, concat_ws(' and ',
            case when not has_schema then 'no schema' end, case when not has_database then 'no database' end) as note
        from rules.resource where type = 'table' and not (has_schema and has_database)
        """,
    ),
    _warning(
        "dashboard-without-group",
        "a dashboard has no group",
        "fill group with the name of its dashboard group",
        _UNSURE,
        "select line, id, '' as note from rules.resource where type = 'dashboard' and not has_group",
    ),
    _warning(
        "chart-without-product",
        "a chart has no product",
        "fill product with the name of what draws it",
        _UNSURE,
        "select line, id, '' as note from rules.resource where type = 'chart' and not has_product",
    ),
    _warning(
        "missing-parent",
        "a schema, table or dashboard stands under nothing",
        "give it the id of its database, schema or dashboard group",
        _UNSURE,
        "select line, id, concat('a ', type) as note from rules.resource "
        "where type in ('schema', 'table', 'dashboard') and coalesce(parent, '') = ''",
    ),
    _warning(
        "wrong-parent",
        "a resource stands under one of the wrong type",
        "keep to integration > database > schema > table > column > nested column, "
        "and integration > dashboard_group > dashboard > chart",
        _SDK,
        f"""
        select resource.line as line, resource.id as id, concat('a ', resource.type, ' under a ', parent.type) as note
        from {_BY_PARENT}
        where parent.line is not null and resource.type in ({_TYPES}) and parent.type in ({_TYPES})
            and (resource.type, parent.type) not in ({_ALLOWED})
        """,
    ),
    _warning(
        "unknown-parent",
        "a parent_databuilder_id is the id of no resource",
        "declare the parent too, or correct the id",
        _OURS,
        f"""
        select resource.line as line, resource.id as id, concat('its parent is ', left(resource.parent, 200)) as note
        from {_BY_PARENT} where parent.line is null
        """,
    ),
    _warning(
        "unknown-lineage-end",
        "an internal end of a lineage is the id of no resource",
        "declare that resource too, or name it as an external table or column",
        _OURS,
        """
        select line, first(id order by side) as id, string_agg(side, ' and ' order by side) as note from (
            select line, from_id as id, 'from_identifier' as side from rules.lineage
                where from_type = 'internal_resource' and md5_number(from_id) in (select key from rules.unknown_end)
            union all
            select line, to_id as id, 'to_identifier' as side from rules.lineage
                where to_type = 'internal_resource' and md5_number(to_id) in (select key from rules.unknown_end)
        ) group by line
        """,
        kind=Kind.LINEAGE,
    ),
    _warning(
        "lineage-combination",
        "a lineage goes from and to what Secoda does not connect",
        "keep to the combinations it supports: internal and internal, internal and external table or column, "
        "external table and external table, query to internal",
        _SDK,
        f"""
        select line, coalesce(from_id, to_id, '') as id, concat(from_type, ' to ', to_type) as note from rules.lineage
        where (from_type, to_type) not in ({_PAIRS}) and to_type <> 'tables_from_query'
        """,
        kind=Kind.LINEAGE,
    ),
    _warning(
        "external-lineage",
        "a lineage goes from one external table to another",
        "name an internal resource at one end",
        _UNSURE,
        "select line, '' as id, '' as note from rules.lineage "
        "where from_type = 'external_table' and to_type = 'external_table'",
        kind=Kind.LINEAGE,
    ),
    _warning(
        "external-names",
        "an external end of a lineage lacks its cluster, database or schema",
        "fill all three",
        _UNSURE,
        """
        select line, coalesce(from_id, to_id, '') as id, concat_ws(' and ',
            case when starts_with(from_type, 'external_') and not from_named then 'from_identifier' end,
            case when starts_with(to_type, 'external_') and not to_named then 'to_identifier' end) as note
        from rules.lineage
        where (starts_with(from_type, 'external_') and not from_named)
           or (starts_with(to_type, 'external_') and not to_named)
        """,
        kind=Kind.LINEAGE,
    ),
    _warning(
        "unfed",
        "no lineage goes into a chart, or into a dashboard or any of its charts",
        "declare which tables or queries it draws from",
        _OURS,
        """
        select line, id, concat('a ', type) as note from rules.resource
        where type in ('chart', 'dashboard')
            and md5_number(id) not in (select key from rules.fed)
        """,
    ),
    _warning(
        "sql-does-not-parse",
        "the SQL of a lineage's query does not parse in any dialect that was tried",
        "send the statement as the source runs it, without templates or placeholders",
        _OURS,
        kind=Kind.LINEAGE,
    ),
    _warning(
        "sql-names-no-table",
        "the SQL of a lineage's query reads no table, so it feeds nothing",
        "leave such a lineage out",
        _OURS,
        kind=Kind.LINEAGE,
    ),
    Rule(
        id="sql-not-judged",
        severity=Severity.WARNING,
        says="the SQL of a lineage's query could not be judged within the limits of length and time",
        to_do="look at the statement; what it feeds may be incomplete in the workspace",
        source=_OURS,
        kind=Kind.LINEAGE,
        strict=Severity.WARNING,  # it says nothing against the record
    ),
)
"""In the order in which they are told."""

BY_ID: Final = {rule.id: rule for rule in RULES}
