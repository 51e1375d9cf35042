"""What a workspace says of a request that it did not take, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import orjson

from secoda_async.network.message import Response, clip
from secoda_async.printable import printable
from secoda_async.redact import CUT, Redactor

_CLIP: Final = 1000  # characters
_READ: Final = 2**20  # bytes of an answer that are worth parsing
_MOST: Final = 20  # messages of one answer
_DEEPEST: Final = 20
# Names that say no more than that a message follows.
_PLAIN: Final = frozenset({"detail", "details", "error", "errors", "message", "messages", "non_field_errors"})


def readable(reply: Response, redact: Redactor) -> str:
    """What an answer says, on one line: the messages of a JSON body by field, or the start of any other body."""
    return redact(_one_line(_messages(reply)))


def _messages(reply: Response) -> str:
    if len(reply.content) <= _READ:
        try:
            found = list(islice(_flatten(orjson.loads(reply.content), "", 0), _MOST + 1))
        except orjson.JSONDecodeError:
            found = []
        if found:
            return "; ".join(found[:_MOST]) + (f"; {CUT}" if len(found) > _MOST else "")
    return clip(reply, _CLIP)


def _flatten(value: object, place: str, depth: int) -> Iterator[str]:
    """Every scalar with the way to it; without what names nothing."""
    if depth > _DEEPEST:
        return
    match value:
        case dict():
            for name, inner in value.items():
                below = place if name in _PLAIN else f"{place}.{name}" if place else str(name)
                yield from _flatten(inner, below, depth + 1)
        case list():
            for number, inner in enumerate(value):
                below = f"{place}[{number}]" if isinstance(inner, dict | list) else place
                yield from _flatten(inner, below, depth + 1)
        case None | "":
            return
        case _:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            yield f"{place}: {text}" if place else text


def _one_line(text: str) -> str:
    """Clipped, and without what would move a terminal's cursor; a text that is cut ends in `CUT`."""
    line = " ".join(text.split())
    cut = line if len(line) <= _CLIP else line[:_CLIP] + CUT
    return printable(cut, len(cut))
