"""Dotted paths into the body of an answer: ``meta.next_cursor``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

_MOST_KEYS: Final = 12


class MissingPathError(LookupError):
    """Raised when a path is absent; says which part of it is, and what is there in its place."""


def find(body: object, path: str) -> Any:
    """The value at a path; a key may hold dots itself (``@odata.nextLink``). Raises MissingPathError."""
    value, parts, start = body, path.split("."), 0
    while start < len(parts):
        if not isinstance(value, Mapping):
            raise MissingPathError(f"{_at(parts[:start])} is {kind_of(value)} and has no {'.'.join(parts[start:])!r}")
        for stop in range(len(parts), start, -1):  # the longest first
            key = ".".join(parts[start:stop])
            if key in value:
                value, start = value[key], stop
                break
        else:
            missing = ".".join(parts[start:])
            raise MissingPathError(f"{_at(parts[:start])} has no {missing!r}; it has {keys_of(value)}")
    return value


def with_value(body: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """The body with the value at a path, whose objects are made where they are absent."""
    key, _, rest = path.partition(".")
    if not rest:
        return {**body, key: value}
    inner = body.get(key)
    return {**body, key: with_value(inner if isinstance(inner, Mapping) else {}, rest, value)}


def keys_of(value: Mapping[str, Any]) -> str:
    """The names in an object, for a person."""
    return listed(value) if value else "no keys at all"


def listed(names: Iterable[str]) -> str:
    """Names in a row; a long row is cut."""
    shown = [*names]
    more = f" and {len(shown) - _MOST_KEYS} more" if len(shown) > _MOST_KEYS else ""
    return ", ".join(shown[:_MOST_KEYS]) + more


def kind_of(value: object) -> str:
    """What a JSON value is, for a person."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _at(parts: list[str]) -> str:
    return ".".join(parts) or "the body"
