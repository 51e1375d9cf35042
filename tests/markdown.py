"""The code blocks of a page, for tests that run them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"# (?P<file>[\w/]+\.py)\n")


class Block(NamedTuple):
    """One block; where its first line is ``# jobs.py``, it is that file of the reader's."""

    language: str
    file: str | None
    code: str
    line: int


def blocks(page: Path, language: str = "python") -> list[Block]:
    """The blocks of a language, in order."""
    text = page.read_text()
    found = []
    for one in _BLOCK.finditer(text):
        named = _NAMED.match(one["code"])
        line = text.count("\n", 0, one.start("code")) + 1
        found.append(Block(one["language"], named and named["file"], one["code"], line))
    return [block for block in found if block.language == language]
