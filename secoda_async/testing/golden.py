"""Compares the records of a test with those that a file holds, which somebody has looked at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import orjson

from secoda_async.testing.difference import compare, fields_of
from secoda_async.testing.extract import Records

UPDATE: Final = "SECODA_ASYNC_UPDATE_GOLDEN"
"""The environment variable that has golden files written; ``pytest --secoda-update-golden`` sets it."""
_UPDATE_IT: Final = f"run pytest with --secoda-update-golden (or set {UPDATE}=1), then look at what it wrote"


def assert_golden(records: Records, path: Path | str) -> None:
    """Raise AssertionError where the records are not those of the file: ``assert_golden(records, "tests/jobs.json")``.

    The message tells each record that is missing, new or changed, and its fields. The order of records does not count.
    With ``pytest --secoda-update-golden``, or the environment variable ``SECODA_ASYNC_UPDATE_GOLDEN``, the file is
    written instead: JSON that reads well in a code review, sorted by id.
    """
    __tracebackhide__ = True
    path = Path(path)
    held = _document(records)
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(held, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        return
    if not path.is_file():
        raise AssertionError(f"there is no golden file {path}; {_UPDATE_IT}")
    expected = _read(path)
    difference = compare((expected["resources"], expected["lineage"]), (held["resources"], held["lineage"]))
    if lines := [*difference.lines]:
        raise AssertionError(
            "\n".join((f"the records are not those of {path}:", *lines, f"Where that is meant, {_UPDATE_IT}."))
        )


def _document(records: Records) -> dict[str, list[dict[str, Any]]]:
    resources = sorted(map(fields_of, records.resources), key=lambda fields: str(fields["databuilder_id"]))
    lineage = sorted(map(fields_of, records.lineage), key=orjson.dumps)
    return {"resources": resources, "lineage": lineage}


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        found = orjson.loads(path.read_bytes())
        if all(isinstance(one, dict) for name in ("resources", "lineage") for one in found[name]):
            return {name: found[name] for name in ("resources", "lineage")}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    raise AssertionError(f"{path} is no golden file: it has no lists of resources and lineage; {_UPDATE_IT}")
