"""A multipart/form-data body of files, read while it is sent, whose length is known beforehand."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import anyio

PIECE: Final = 2**20  # 64 KiB pieces send at two thirds of the speed


class MultipartFiles:
    """Files as form fields (RFC 7578). Each `open` reads them anew, so a repeated attempt sends the same bytes.

    Usage: ``MultipartFiles([("resources_file", path, 1234)])``: field, file, and the bytes of it to send.
    """

    def __init__(self, files: Sequence[tuple[str, Path, int]]) -> None:
        boundary = f"secoda-async-{secrets.token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts = [
            (
                f"--{boundary}\r\n"
                f'Content-Disposition: form-data; name="{field}"; filename="{path.name}"\r\n'
                "Content-Type: application/x-ndjson\r\n\r\n".encode(),
                path,
                size,
            )
            for field, path, size in files
        ]
        self._end = f"--{boundary}--\r\n".encode()

    @property
    def length(self) -> int:
        """Bytes in all."""
        return sum(len(head) + size + 2 for head, _, size in self._parts) + len(self._end)

    async def open(self) -> AsyncIterator[bytes]:
        """The body from its beginning, in pieces of at most 1 MiB and some. Raises OSError where a file is short."""
        for head, path, size in self._parts:
            yield head
            async with await anyio.open_file(path, "rb") as file:
                left = size
                while left:
                    piece = await file.read(min(PIECE, left))
                    if not piece:
                        raise OSError(f"{path} ended {left} bytes early")
                    left -= len(piece)
                    yield piece
            yield b"\r\n"
        yield self._end
