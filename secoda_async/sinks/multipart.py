"""A multipart/form-data body of files, read while it is sent, whose length is known beforehand."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from anyio import to_thread

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
            sent = 0
            while sent < size:
                piece = await to_thread.run_sync(_read, path, sent, min(PIECE, size - sent))
                if not piece:
                    raise OSError(f"{path} ended {size - sent} bytes early")
                sent += len(piece)
                yield piece
            yield b"\r\n"
        yield self._end


def _read(path: Path, offset: int, size: int) -> bytes:
    """Opened anew for each piece: a file that is held across an await stays open where the request is cut off."""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        return file.read(size)
