"""Takes the README's pictures of the demo from a real terminal: ``python -m tests.demo_pictures``."""

import io
import re
import sys
from collections.abc import Iterable
from itertools import groupby

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tests.markdown import ROOT
from tests.terminals import COLUMNS, Terminal

FOLDER = ROOT / "docs" / "images"
# In the middle, when there is an estimate of what is left.
MIDDLE = re.compile(r"progress +[4-6]\d % of .* left\n(.*\n)*.*waiting ")
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # from another host; any monospaced one will do


def main() -> None:
    terminal = Terminal([sys.executable, "-m", "examples.demo"], cwd=ROOT, lines=60)
    middle = ""
    for moment in terminal.moments():
        if not middle and MIDDLE.search(moment.text):
            middle = picture(moment.screen)
    if not middle or terminal.status != 0:
        sys.exit(f"the demo ended with status {terminal.status}, and there is no picture of it: {moment.text}")
    (FOLDER / "demo-crawl.svg").write_text(middle)
    (FOLDER / "demo-end.svg").write_text(picture(terminal.screen))


def picture(screen: pyte.Screen, title: str = "make demo") -> str:
    """The screen as SVG."""
    lines = [_line(screen.buffer[number][column] for column in range(COLUMNS)) for number in range(screen.lines)]
    while lines and not lines[-1].plain:
        lines.pop()
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), legacy_windows=False)
    for line in lines:
        console.print(line, no_wrap=True, crop=True)
    return _FONTS.sub("", console.export_svg(title=title, unique_id="terminal"))


def _line(characters: Iterable[pyte.screens.Char]) -> Text:
    line = Text()
    for style, alike in groupby(characters, _style):
        line.append("".join(one.data for one in alike), style)
    line.rstrip()
    return line


def _style(one: pyte.screens.Char) -> Style:
    return Style(
        color=_colour(one.fg),
        bgcolor=_colour(one.bg),
        bold=one.bold,
        italic=one.italics,
        underline=one.underscore,
        reverse=one.reverse,
        strike=one.strikethrough,
    )


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    # What is called yellow elsewhere is brown here, and it writes the bright ones without a gap.
    return re.sub("^bright", "bright_", name.replace("brown", "yellow"))


if __name__ == "__main__":
    main()
