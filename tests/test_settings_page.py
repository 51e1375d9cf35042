"""docs/settings.md names every setting, its default and what it is, as the code has them."""

from pathlib import Path

from secoda_async.cli.settings_sources import find_settings, settings_of
from tests.markdown import blocks
from tests.settings_page import PAGE, page


def test_the_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.settings_page"


def test_every_setting_says_what_it_is() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []


def test_its_file_of_settings_is_one(tmp_path: Path) -> None:
    [block] = blocks(PAGE, "toml")
    (tmp_path / "pyproject.toml").write_text(block.code)
    settings = settings_of(find_settings({}, environment={}, directory=tmp_path))
    assert settings.concurrency == 20
    assert settings.timeout.total == 60
    assert len(settings.rate_limits) == 2
