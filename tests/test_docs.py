"""Every page's Python runs, as its reader would have it on disk: its tests, what they import, and what has no file."""

from collections import defaultdict
from pathlib import Path

import pytest

from tests.markdown import ROOT, blocks

PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks(page)]


def lay_out(page: Path, folder: Path) -> None:
    """Write the files that a page's blocks are; those without a name are one module, in order, at the page's lines."""
    files: dict[str, str] = defaultdict(str)
    for block in blocks(page):
        name = block.file or f"test_{page.stem.lower().replace('-', '_')}_page.py"
        # An error is told at the line of the page, where the blocks of a file stand there in their order.
        files[name] += "\n" * (block.line - 1 - files[name].count("\n")) + block.code
    for name, code in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page: Path, pytester: pytest.Pytester) -> None:
    lay_out(page, pytester.path)
    result = pytester.runpytest_subprocess("-p", "secoda_async_pytest", "-W", "error", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert set(outcomes) <= {"passed"}
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    tests = sum(block.code.count("def test_") for block in blocks(page))
    assert outcomes.get("passed", 0) >= tests
