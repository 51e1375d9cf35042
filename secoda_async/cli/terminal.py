"""Where a command prints: whatever a text holds, it drives no terminal."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from typing_extensions import override

# Control and format characters, half characters, and the line ends that only some programs know.
_OBEYED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LAYOUT: Final = "\n\t"


class Terminal(Console):
    """A `rich` console that spells out what a terminal would obey; its own styles and cursor moves stay."""

    @override
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(spelt_out(segment.text), segment.style)


class SpellingFormatter(logging.Formatter):
    """The same for a line of the log."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return spelt_out(super().format(record))


def spelt_out(text: str) -> str:
    """Usage: ``spelt_out("\\x1b[2J")`` is ``\\\\x1b[2J``; line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _OBEYED and c not in _LAYOUT else c
        for c in text
    )
