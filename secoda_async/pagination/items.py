"""Where the items of a page are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from secoda_async.pagination.paths import keys_of, kind_of, listed

COMMON: Final = (
    "data",
    "items",
    "results",
    "records",
    "value",
    "values",
    "content",
    "entries",
    "objects",
    "rows",
    "nodes",
    "members",
)
_WRAPPERS: Final = ("data", "result", "results", "response", "payload", "_embedded")


class NoItemsError(LookupError):
    """Raised when it is not clear which list of a body holds the items; says which there are."""


def guess_items(body: object) -> str:
    """The path of the list of items; empty where the body itself is the list. Raises NoItemsError."""
    if isinstance(body, list):
        return ""
    if not isinstance(body, Mapping):
        raise NoItemsError(f"the body is {kind_of(body)}, where a page of items was expected")
    found: list[str] = _of_objects(body)
    for name in _WRAPPERS:
        if not found and isinstance(inner := body.get(name), Mapping):
            found = [f"{name}.{path}" for path in _of_objects(inner)]
    if len(found) > 1:
        common = [path for path in found if path.rpartition(".")[2] in COMMON]
        if len(common) != 1:
            raise NoItemsError(f'any of {listed(found)} may hold the items; choose with items="…"')
        found = common
    if found:
        return found[0]
    lists: list[str] = [name for name, value in body.items() if isinstance(value, list)]
    if len(lists) == 1:  # of plain values
        return lists[0]
    raise NoItemsError(f'no list of objects is in the body, which has {keys_of(body)}; say where with items="…"')


def _of_objects(body: Mapping[str, Any]) -> list[str]:
    """The lists that may hold items: of objects, or empty."""
    return [name for name, value in body.items() if isinstance(value, list) and (not value or _is_object(value[0]))]


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)
