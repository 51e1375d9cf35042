"""Finds the items of an array or object within a JSON document of any size, while it arrives."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import ijson
from typing_extensions import override

from secoda_async.network.message import MOST_LEVELS
from secoda_async.network.split import Splitter, TooLargeError, ToUTF8

_AT_ONCE: Final = 2**16  # bytes that are parsed in one go
_OPENING: Final = {"start_map": "an object", "start_array": "an array"}
_CLOSING: Final = frozenset({"end_map", "end_array"})
_FAULT: Final = re.compile(r"(?:b['\"])?(?:(?:lexical|parse) error: )?(.*?)(?:\\n|\n|$)")

Event = tuple[str, Any]


class JSONItems(Splitter[Any]):
    """The items of the array, or the (name, value) pairs of the object, that a path of names leads to.

    An item is what ``response.json()`` has there, but that integers are exact whatever their size. ``most`` is the cap
    of one item in bytes of JSON, to within `_AT_ONCE`. The document is read to its end, so that a cut one is an error.
    """

    # ijson finds the tokens. What it would build of them takes memory quadratic in the depth, makes a lone surrogate a
    # question mark, and with `use_float` refuses integers of 2**63 and more; built here it is faster, too.

    def __init__(self, path: Sequence[str], charset: str, most: int) -> None:
        self._path = path
        self._most = most
        self._at_once = min(_AT_ONCE, most)
        self._utf8 = ToUTF8(charset, lenient=False)
        self._escapes = _Escapes()
        self._events: list[Event] = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._depth = 0  # open arrays and objects
        self._on_path = 0  # how many of them, from the outermost, lead to what the path names
        self._name = ""
        self._found = False
        self._within = False  # what the path names
        self._pairs = False
        # The open item: the array or object that is being filled, and those around it, each with the name in it.
        self._filling: Any = None
        self._around: list[tuple[Any, str]] = []
        self._size = 0  # bytes that the open item, or the open token, has taken so far

    @override
    def feed(self, data: bytes) -> Iterator[Any]:
        data = self._escapes.feed(self._utf8.feed(data))
        for start in range(0, len(data), self._at_once):
            yield from self._parse(data[start : start + self._at_once])

    @override
    def finish(self) -> Iterator[Any]:
        rest = self._escapes.feed(self._utf8.finish()) + self._escapes.finish()
        if rest:
            yield from self._parse(rest)
        yield from self._parse(b"")  # which is the end to ijson
        if not self._found:
            raise ValueError(f"there is nothing at {_shown(self._path)}")

    def _parse(self, data: bytes) -> Iterator[Any]:
        fault = ""
        try:
            self._parser.send(data)
        except StopIteration:
            pass
        except SystemError:  # Python's own cap on digits; the event that ijson leaves behind must not be looked at
            self._events.clear()
            fault = "a number has more digits than Python reads"
        except UnicodeDecodeError:
            fault = "it is no UTF-8"
        except (ijson.JSONError, ValueError, ArithmeticError) as exc:
            fault = _reason(exc)
        self._size += len(data)
        if self._events:
            if self._filling is None:
                self._size = 0
            yield from self._follow()
            self._events.clear()
        if fault:
            raise ValueError(fault)
        if self._size > self._most:
            raise TooLargeError(f"one item is over {self._most} bytes")

    def _follow(self) -> Iterator[Any]:
        events = iter(self._events)
        while self._within or self._walk(events):
            yield from self._take(events)
            if self._within:
                return

    def _walk(self, events: Iterator[Event]) -> bool:
        """Look for what the path names. Whether it begins here."""
        for event, value in events:
            if event == "map_key":
                self._name = value
                continue
            if event in _CLOSING:
                self._depth -= 1
                self._on_path = min(self._on_path, self._depth)
                continue
            depth = self._depth
            if event in _OPENING:
                self._deepen()
            if depth != self._on_path or (depth and self._name != self._path[depth - 1]):
                continue
            if depth == len(self._path):
                self._begin(event)
                return True
            if event != "start_map":
                raise ValueError(f"there is {_OPENING.get(event, 'no object')} at {_shown(self._path[:depth])}")
            self._on_path = depth + 1
        return False

    def _begin(self, event: str) -> None:
        where = _shown(self._path)
        if event not in _OPENING:
            raise ValueError(f"there is neither an array nor an object at {where}")
        if self._found:  # what the first one held has been given out
            raise ValueError(f"{where} is there twice")
        self._found = self._within = True
        self._pairs = event == "start_map"

    def _take(self, events: Iterator[Event]) -> Iterator[Any]:
        """Build the items, up to the end of what the path names."""
        for event, value in events:
            made = value
            if event == "map_key":
                self._name = value
                continue
            if event in _CLOSING:
                self._depth -= 1
                made = self._filling
                if made is None:
                    self._within = False
                    self._on_path = len(self._path)
                    return
                self._filling, self._name = self._around.pop()
                if self._filling is None:
                    self._size = 0
                    yield (self._name, made) if self._pairs else made
                continue
            opens = event in _OPENING
            if opens:
                self._deepen()
                made = {} if event == "start_map" else []
            elif type(value) is Decimal:
                made = _as_float(value)
            if type(self._filling) is dict:
                self._filling[self._name] = made
            elif self._filling is not None:
                self._filling.append(made)
            elif not opens:
                yield (self._name, made) if self._pairs else made
            if opens:
                self._around.append((self._filling, self._name))
                self._filling = made

    def _deepen(self) -> None:
        self._depth += 1
        if self._depth > MOST_LEVELS:
            raise ValueError(f"it is nested over {MOST_LEVELS} levels, the most that are read")


class _Escapes:
    """Passes JSON on, but never half an escape, and refuses lone surrogates, of which ijson would make question marks.

    Raises ValueError for one.
    """

    _PATTERN: Final = re.compile(
        rb"\\(?:"
        rb"(?P<cut>\Z|u[\da-fA-F]{0,3}\Z|u[dD][89abAB][\da-fA-F]{2}(?:\\(?:u[\da-fA-F]{0,3})?)?\Z)"
        rb"|u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}"
        rb"|(?P<lone>u[dD][89a-fA-F])"
        rb"|.)",
        re.DOTALL,
    )

    def __init__(self) -> None:
        self._cut = b""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on."""
        data = self._cut + data
        self._cut = b""
        if b"\\" in data:
            for match in self._PATTERN.finditer(data):
                if match.lastgroup == "lone":
                    raise ValueError("a string has half a surrogate pair")
                if match.lastgroup == "cut":
                    self._cut = match[0]
                    return data[: match.start()]
        return data

    def finish(self) -> bytes:
        """Half an escape at the end of the body, which is an error to the parser."""
        return self._cut


def _as_float(value: Decimal) -> float:
    number = float(value)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _shown(path: Sequence[str]) -> str:
    return f"the path {'.'.join(path)!r}" if path else "the root"


def _reason(exc: BaseException) -> str:
    """The first line of ijson's message: the others show the document."""
    match = _FAULT.match(str(exc))
    reason = match[1] if match else type(exc).__name__
    return "it ends too early" if reason == "premature EOF" else reason
