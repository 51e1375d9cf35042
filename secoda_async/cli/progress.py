"""Shows a run or an upload while it goes: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from secoda_async.cli.progress_rows import LOOK, Rows
from secoda_async.cli.terminal import SpellingFormatter

_EVERY: Final = 5.0  # seconds between plain lines
_REFRESH: Final = 8  # times a second
_log: Final = logging.getLogger("secoda_async")


@contextmanager
def shown(rows: Rows, console: Console, *, debug: bool, quiet: bool) -> Iterator[None]:
    """Show what ``rows`` says on ``console`` meanwhile, and the package's log messages with it.

    A thread of its own reads the counters, so the display also moves while an integration's own code is busy.
    """
    with _logging(console, debug=debug, quiet=quiet):
        if quiet:
            yield
        elif console.is_terminal:
            display = _Display(rows)
            with Live(get_renderable=display, console=console, refresh_per_second=_REFRESH, transient=True):
                yield
        elif os.environ.get("CI"):  # a log that is read only where something failed: the summary tells the rest
            yield
        else:
            with _lines(rows):
                yield


@contextmanager
def _logging(console: Console, *, debug: bool, quiet: bool) -> Iterator[None]:
    handler: logging.Handler
    if console.is_terminal:  # above the live display instead of through it
        handler = RichHandler(console=console, show_path=False, markup=False, highlighter=None)
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(SpellingFormatter("%(asctime)s %(levelname)s %(message)s"))
    level = _log.level
    _log.setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    _log.addHandler(handler)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(level)


@contextmanager
def _lines(rows: Rows) -> Iterator[None]:
    """A line every few seconds, and one as soon as a phase has ended that took as long: a log stays short."""
    ended = threading.Event()

    def tell() -> None:
        told, lasting = time.monotonic(), 0
        while not ended.wait(LOOK):
            now = time.monotonic()
            said = rows.rows(now)
            phases = rows.lasting(_EVERY)
            if said and (now - told >= _EVERY or phases > lasting):
                told, lasting = now, phases
                _log.info("%s", "; ".join(f"{name} {value}" for name, value in said))

    thread = threading.Thread(target=tell, name="secoda-async progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Display:
    """The live display: called for a fresh picture at every refresh."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._spinner = Spinner("dots")
        self._started = time.monotonic()

    def __call__(self) -> Group:
        now = time.monotonic()
        self._spinner.update(text=f"{self._rows.title}, {now - self._started:.0f} s")
        table = Table.grid(padding=(0, 2))
        for name, value in self._rows.rows(now):
            table.add_row(Text(f"  {name}", style="dim"), Text(value))
        return Group(self._spinner, table)
