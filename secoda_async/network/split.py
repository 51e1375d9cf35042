"""Cuts a body that comes in pieces into lines, and those into JSON values, in bounded memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any, Final, Protocol, TypeVar

import orjson
from typing_extensions import override

T_co = TypeVar("T_co", covariant=True)

_MARK: Final = codecs.BOM_UTF8


class TooLargeError(ValueError):
    """Raised when one line or item is over the cap."""


class Splitter(Protocol[T_co]):
    """What turns a body into parts. Raises ValueError, with the reason, where it is not what it should be."""

    def feed(self, data: bytes) -> Iterator[T_co]:
        """The parts that this piece completes."""

    def finish(self) -> Iterator[T_co]:
        """The parts that the end of the body completes."""


class Pieces(Splitter[bytes]):
    """The body as it comes."""

    @override
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    @override
    def finish(self) -> Iterator[bytes]:
        yield from ()


class ToUTF8:
    """Any charset to UTF-8, without the byte-order mark. Usage: ``utf8.feed(piece)``, at the end ``utf8.finish()``.

    Bytes that the charset does not know become U+FFFD where ``lenient``, and raise UnicodeDecodeError otherwise; those
    of UTF-8 itself pass as they are, for whoever reads them to judge.
    """

    def __init__(self, charset: str, *, lenient: bool) -> None:
        self._start: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        if codecs.lookup(charset).name not in ("utf-8", "ascii", "utf-8-sig"):
            self._decoder = codecs.getincrementaldecoder(charset)("replace" if lenient else "strict")

    def feed(self, data: bytes) -> bytes:
        if self._decoder is not None:
            data = self._decoder.decode(data).encode()
        return data if self._start is None else self._strip_mark(data)

    def finish(self) -> bytes:
        data = b"" if self._decoder is None else self._decoder.decode(b"", final=True).encode()
        start, self._start = self._start or b"", None
        return start + data

    def _strip_mark(self, data: bytes) -> bytes:
        data = (self._start or b"") + data
        if len(data) < len(_MARK) and _MARK.startswith(data):
            self._start = data
            return b""
        self._start = None
        return data.removeprefix(_MARK)


class _ByteLines(Splitter[bytes]):
    r"""Lines of UTF-8 without their end, which is ``\n`` or ``\r\n``; ``most`` is the cap in bytes of one."""

    def __init__(self, charset: str, most: int, *, lenient: bool) -> None:
        self._utf8 = ToUTF8(charset, lenient=lenient)
        self._most = most
        self._open: list[bytes] = []  # of a line that has not ended
        self._size = 0
        self._number = 1

    @override
    def feed(self, data: bytes) -> Iterator[bytes]:
        *ended, rest = self._utf8.feed(data).split(b"\n")
        for line in ended:
            yield self._line(line)
        if rest:
            self._keep(rest)

    @override
    def finish(self) -> Iterator[bytes]:
        last = self._line(self._utf8.finish())
        if last:
            yield last

    def _line(self, end: bytes) -> bytes:
        self._keep(end)
        line = self._open[0] if len(self._open) == 1 else b"".join(self._open)
        self._open, self._size = [], 0
        self._number += 1
        return line.removesuffix(b"\r")

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._most:
            raise TooLargeError(f"line {self._number} is over {self._most} bytes")
        self._open.append(part)


class Lines(Splitter[str]):
    r"""The lines of a text, without their end, which is ``\n`` or ``\r\n``; a last line needs none."""

    def __init__(self, charset: str, most: int) -> None:
        self._lines = _ByteLines(charset, most, lenient=True)

    @override
    def feed(self, data: bytes) -> Iterator[str]:
        return (line.decode(errors="replace") for line in self._lines.feed(data))

    @override
    def finish(self) -> Iterator[str]:
        return (line.decode(errors="replace") for line in self._lines.finish())


class NDJSON(Splitter[Any]):
    """One JSON value a line, read as ``response.json()`` reads it; lines of nothing but space are skipped."""

    def __init__(self, charset: str, most: int) -> None:
        self._lines = _ByteLines(charset, most, lenient=False)
        self._number = 0

    @override
    def feed(self, data: bytes) -> Iterator[Any]:
        return self._values(self._lines.feed(data))

    @override
    def finish(self) -> Iterator[Any]:
        return self._values(self._lines.finish())

    def _values(self, lines: Iterator[bytes]) -> Iterator[Any]:
        for line in lines:
            self._number += 1
            if not line or line.isspace():
                continue
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as exc:
                raise ValueError(f"line {self._number} is no JSON ({exc.msg} at column {exc.colno})") from None
