"""The code blocks of a page, for tests that run them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n+)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """One block: ``<!-- file: jobs.py -->`` on the line above says which file of the reader's it is."""

    language: str
    file: str | None
    code: str
    line: int


def blocks(page: Path, language: str = "python") -> list[Block]:
    """The blocks of a language, in order."""
    text = page.read_text()
    found = [
        Block(one["language"], one["file"], one["code"], text.count("\n", 0, one.start("code")) + 1)
        for one in _BLOCK.finditer(text)
    ]
    return [block for block in found if block.language == language]
