"""Undoes the content coding of a body (RFC 9110, section 8.4), piece by piece and in bounded memory."""

from __future__ import annotations

import abc
import zlib
from collections.abc import Iterator
from typing import Final, Protocol

from typing_extensions import override

ACCEPTED: Final = "gzip, deflate"
"""What is asked for: every coding that is understood here."""
PIECE: Final = 2**18
"""Most bytes that are decoded at once."""
_INPUT: Final = 2**14  # bytes taken in at once: zlib copies what it has not read yet, after each piece and each member
_MEMBER: Final = b"\x1f\x8b"  # each begins so
_MOST_CODINGS: Final = 5  # around each other; each multiplies what a small body can decode to


class CodingError(ValueError):
    """Raised when a body is not what its Content-Encoding says, or ends too early."""


class UnknownCodingError(ValueError):
    """Raised when a Content-Encoding cannot be undone here."""


class Decoder(Protocol):
    """Undoes one coding. Memory: the input, and `PIECE` bytes."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What can be decoded now, in pieces of `PIECE` bytes at most. Raises CodingError."""

    def finish(self) -> None:
        """Raises CodingError where the body is not at its end. One without any bytes is: HEAD, 204 and 304 are so."""


def decoder_for(content_encoding: str) -> Decoder | None:
    """What undoes a ``Content-Encoding``: ``gzip`` (``x-gzip``), ``deflate``, ``identity``, or several of them.

    None where there is nothing to undo. Raises UnknownCodingError for any other.
    """
    codings = [coding for coding in (name.strip().lower() for name in content_encoding.split(",")) if coding]
    codings = [coding for coding in codings if coding != "identity"]
    if len(codings) > _MOST_CODINGS:
        raise UnknownCodingError(f"has {len(codings)} codings around each other, more than {_MOST_CODINGS}")
    decoder: Decoder | None = None
    for coding in codings:  # in the order in which they were applied, so the last is undone first
        one: Decoder
        match coding:
            case "gzip" | "x-gzip":
                one = _Gzip()
            case "deflate":
                one = _Deflate()
            case _:
                raise UnknownCodingError(f"is {coding!r}; only gzip and deflate can be undone")
        decoder = one if decoder is None else _Chain(one, decoder)
    return decoder


class _Inflate(Decoder):
    """What gzip and deflate share: a stream of zlib, and what comes before and after it."""

    _name = ""

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = None
        self._ended = False
        self._start = b""

    @override
    def feed(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for begin in range(0, len(view), _INPUT):
            yield from self._feed(bytes(view[begin : begin + _INPUT]))

    def _feed(self, data: bytes) -> Iterator[bytes]:
        full = False
        while data or full:
            if self._stream is None and not (data := self._open(data)):
                return
            assert self._stream is not None
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error as exc:
                raise CodingError(f"is no {self._name} ({str(exc).rpartition(': ')[2]})") from None
            if piece:
                yield piece
            full = len(piece) == PIECE  # then zlib may hold more, also where it has read all that it was given
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                data, full = self._stream.unused_data, False
                self._stream, self._ended = None, True

    @override
    def finish(self) -> None:
        if self._stream is not None or self._start:
            raise CodingError(f"is cut off within its {self._name}")

    @abc.abstractmethod
    def _open(self, data: bytes) -> bytes:
        """Make the stream that reads this; what it shall read, nothing where there is none yet."""


class _Gzip(_Inflate):
    """One or more members, as RFC 1952 has it. Zero bytes may follow the last: tapes and some servers pad with them."""

    _name = "gzip"

    @override
    def _open(self, data: bytes) -> bytes:
        if self._ended:
            data = data.lstrip(b"\0")
            if not data.startswith(_MEMBER[: len(data)]):
                raise CodingError("goes on after the end of its gzip")
        if data:
            self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return data


class _Deflate(_Inflate):
    """With the header of zlib, as RFC 9110 has it, or bare, as many servers have it."""

    _name = "deflate"

    @override
    def _open(self, data: bytes) -> bytes:
        if self._ended:
            if data.strip(b"\0"):
                raise CodingError("goes on after the end of its deflate")
            return b""
        data = self._start + data
        if len(data) < 2:
            self._start = data
            return b""
        self._start = b""
        has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
        self._stream = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        return data


class _Chain(Decoder):
    """Undoes ``outer``, then ``inner``."""

    def __init__(self, outer: Decoder, inner: Decoder) -> None:
        self._outer = outer
        self._inner = inner

    @override
    def feed(self, data: bytes) -> Iterator[bytes]:
        for piece in self._outer.feed(data):
            yield from self._inner.feed(piece)

    @override
    def finish(self) -> None:
        self._outer.finish()
        self._inner.finish()
