"""What the rules should find, written as plainly as possible, for comparison."""

from collections import defaultdict
from typing import Any

Json = dict[str, Any]
Found = dict[str, list[tuple[int, str]]]

TYPES = ("database", "schema", "table", "column", "dashboard_group", "dashboard", "chart")
ABOVE = {"schema": ["database"], "table": ["schema"], "column": ["table", "column"]}
ABOVE |= {"dashboard": ["dashboard_group"], "chart": ["dashboard"]}
DEFAULTS = {"title": "", "is_pk": False, "hidden": False}


def kept_resources(resources: list[Json], on_conflict: str) -> list[tuple[int, Json]]:
    """What an upload holds, with the numbers of the lines."""
    by_id = defaultdict(list)
    for line, one in enumerate(resources, 1):
        by_id[one["databuilder_id"]].append((line, values(one)))
    kept = []
    for found in by_id.values():
        last = found[-1][1]
        seen = []
        for line, value in found:
            if value in seen:
                continue
            seen.append(value)
            if on_conflict == "error" or (on_conflict == "first" and line == found[0][0]):
                kept.append(line)
            if on_conflict == "last" and value == last:
                kept.append(line)
    return [(line, resources[line - 1]) for line in sorted(kept)]


def values(record: Json) -> Json:
    """A record without what says nothing: fields that are null, or as the models have them anyway."""
    return {name: value for name, value in {**DEFAULTS, **record}.items() if value is not None}


def kept_lineage(lineage: list[Json]) -> list[tuple[int, Json]]:
    kept: list[tuple[int, Json]] = []
    for line, one in enumerate(lineage, 1):
        if one not in [other for _, other in kept]:
            kept.append((line, one))
    return kept


def judge(all_resources: list[Json], all_lineage: list[Json], on_conflict: str) -> Found:
    """Line and id of every breach, by rule."""
    found: Found = defaultdict(list)
    resources = kept_resources(all_resources, on_conflict)
    lineage = kept_lineage(all_lineage)
    first: dict[str, Json] = {}
    for _, one in resources:
        if one["databuilder_id"]:
            first.setdefault(one["databuilder_id"], one)

    fed = {edge["to_identifier"].get("databuilder_id") for _, edge in lineage if is_internal(edge["to_identifier"])}
    fed |= {
        one["parent_databuilder_id"]
        for _, one in resources
        if one["entity_type"] == "chart" and one["databuilder_id"] in fed
    }
    circle = on_circles({id_: one["parent_databuilder_id"] for id_, one in first.items()})
    told = set()
    for line, one in resources:
        kind, id_, parent = one["entity_type"], one["databuilder_id"], one["parent_databuilder_id"]

        def find(rule: str, broken: bool, line: int = line, id_: str = id_) -> None:
            if broken:
                found[rule].append((line, id_))

        find("empty-id", not id_)
        find("column-without-parent", kind == "column" and not parent)
        find("chart-without-parent", kind == "chart" and not parent)
        find("parent-cycle", id_ in circle and first[id_] is one)
        find("unknown-type", kind not in TYPES)
        find("table-without-names", kind == "table" and not (one.get("schema") and one.get("database")))
        find("dashboard-without-group", kind == "dashboard" and not one.get("group"))
        find("chart-without-product", kind == "chart" and not one.get("product"))
        find("missing-parent", kind in {"schema", "table", "dashboard"} and not parent)
        find("unknown-parent", bool(parent) and parent not in first)
        above = first[parent]["entity_type"] if parent and parent in first else None
        find("wrong-parent", kind in TYPES and above in TYPES and above not in ABOVE.get(kind, []))
        find("unfed", kind in {"chart", "dashboard"} and id_ not in fed)
        if on_conflict == "error" and id_ and first[id_] is not one and id_ not in told:
            told.add(id_)
            find("differing-duplicates", True)
    for line, edge in lineage:
        judge_edge(found, line, edge, set(first))
    return {rule: breaches for rule, breaches in found.items() if breaches}


def judge_edge(found: Found, line: int, edge: Json, known: set[str]) -> None:
    start, end = edge["from_identifier"], edge["to_identifier"]
    pair = (start["type"], end["type"])
    ids = [one["databuilder_id"] for one in (start, end) if is_internal(one)]
    if "" in ids:
        found["empty-lineage-end"].append((line, ""))
    unknown = [id_ for id_ in ids if id_ and id_ not in known]
    if unknown:
        found["unknown-lineage-end"].append((line, unknown[0]))
    if end["type"] == "tables_from_query":
        found["query-as-target"].append((line, start.get("databuilder_id", "")))
    elif not (
        (is_internal(end))
        or (is_internal(start) and end["type"].startswith("external_"))
        or pair == ("external_table", "external_table")
    ):
        found["lineage-combination"].append((line, start.get("databuilder_id", "")))
    if pair == ("external_table", "external_table"):
        found["external-lineage"].append((line, ""))
    bare = [one for one in (start, end) if one["type"].startswith("external_")]
    if any(not (one.get("cluster") and one.get("database") and one.get("schema")) for one in bare):
        found["external-names"].append((line, ids[0] if ids else ""))


def is_internal(end: Json) -> bool:
    return bool(end["type"] == "internal_resource")


def on_circles(parents: dict[str, str | None]) -> set[str]:
    circle = set()
    for start in parents:
        above, seen = parents.get(start), set()
        while above and above not in seen:
            if above == start:
                circle.add(start)
                break
            seen.add(above)
            above = parents.get(above)
    return circle
