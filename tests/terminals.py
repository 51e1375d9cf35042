"""A command on a real terminal, and what stands on its screen from moment to moment."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyte
from typing_extensions import override

COLUMNS, LINES = 100, 40
# So that keys such as Ctrl-C are signals to the command.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_LONGEST = 120.0  # seconds without a byte, after which the command is taken to hang


class Moment(NamedTuple):
    """The screen, after some bytes have come."""

    seconds: float
    """Since the command began."""
    sent: bytes
    """What came."""
    screen: pyte.Screen
    """It changes with the next moment."""

    @property
    def text(self) -> str:
        """What is to be read on it."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()


class Screen(pyte.Screen):
    """One on which what is faint is grey; pyte itself leaves it as it is."""

    @override
    def select_graphic_rendition(self, *attributes: int, **options: Any) -> None:
        is_colour = {38, 48}.intersection(attributes)  # there a 2 says how the colour is written
        super().select_graphic_rendition(*(90 if one == 2 and not is_colour else one for one in attributes), **options)


class Terminal:
    """Usage: ``terminal = Terminal([COMMAND, "run", ...])``, then ``for moment in terminal.moments(): ...`` to its end.

    ``status`` is the command's exit status then. A command that has not ended when the loop is left is killed.
    """

    def __init__(
        self,
        command: Sequence[object],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        columns: int = COLUMNS,
        lines: int = LINES,
    ) -> None:
        self.screen = Screen(columns, lines)
        self.status: int | None = None
        self._stream = pyte.ByteStream(self.screen)
        self._command = [str(part) for part in command]
        self._cwd = cwd
        without = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI")
        inherited = {name: value for name, value in os.environ.items() if name not in without}
        self._env = {**inherited, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        self._size = struct.pack("HHHH", lines, columns, 0, 0)
        self._master = -1

    def press(self, key: bytes) -> None:
        """Type something, such as ``b"\\x03"`` for Ctrl-C."""
        os.write(self._master, key)

    def moments(self) -> Iterator[Moment]:
        """One whenever the command has printed something."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, self._size)
        began = time.monotonic()
        try:
            with subprocess.Popen(
                [sys.executable, "-c", _TAKE_TERMINAL, *self._command],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            ) as process:
                os.close(slave)
                slave = -1
                try:
                    while sent := self._read():
                        self._stream.feed(sent)
                        yield Moment(time.monotonic() - began, sent, self.screen)
                    self.status = process.wait()
                finally:
                    if process.poll() is None:
                        process.kill()
        finally:
            if slave >= 0:
                os.close(slave)
            os.close(self._master)

    def _read(self) -> bytes:
        readable, _, _ = select.select([self._master], [], [], _LONGEST)
        if not readable:
            raise TimeoutError(f"{self._command} has printed nothing for {_LONGEST} s")
        try:
            return os.read(self._master, 2**16)
        except OSError:  # Linux says so where the last process has closed its end
            return b""
