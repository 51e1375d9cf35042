"""Whatever a source, a file or a user's code says, a command that shows it drives no terminal."""

import io
import logging
import unicodedata
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from secoda_async.cli.terminal import SpellingFormatter, Terminal, spelt_out
from tests.command_line import command

HOSTILE = "\x1b]0;owned\x07\x1b[2Jé\x9b1m\u202e\ud800"
SPELT = r"\x1b]0;owned\x07\x1b[2Jé\x9b1m\u202e\ud800"
EMPTY = {"auth": [], "requests": 1, "statuses": {}, "errors": {}, "latency": {"p50": 0, "p90": 0, "p99": 0, "max": 0}}
FAILS = """
from secoda_async import Resource, SecodaIntegration

class Fails(SecodaIntegration):
    async def extract(self):
        raise ValueError("of a source: \\x1b]0;owned\\x07 [/red]")
"""


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    shown = spelt_out(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"]
    assert shown == text or not text.isprintable()


def test_a_text_is_spelt_out_wherever_it_stands_and_styles_stay() -> None:
    file = io.StringIO()
    terminal = Terminal(file=file, force_terminal=True, color_system="standard", width=200)
    terminal.print(Text(HOSTILE, style="red"), soft_wrap=True)
    table = Table(box=None)
    table.add_column("x")
    table.add_row(Text(HOSTILE))
    terminal.print(table)
    # Rich itself leaves out the bell.
    bare = SPELT.replace(r"\x07", "")
    assert file.getvalue().splitlines()[0] == f"\x1b[31m{bare}\x1b[0m"
    # A cell keeps its width, so what is longer there is cut.
    assert file.getvalue().splitlines()[-1].strip().startswith(r"\x1b]0;owned")


def test_a_line_of_the_log_is_spelt_out() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "GET %s", (HOSTILE,), None)
    assert SpellingFormatter("%(levelname)s %(message)s").format(record) == f"INFO GET {SPELT}"


@pytest.mark.parametrize("name", ["run", "check"])
async def test_an_error_that_holds_a_source_s_text_drives_no_terminal(name: str, tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text(FAILS)
    status, out, errors = await command(name, f"{path}:Fails", "--state-dir", tmp_path / "state")
    assert status == 1
    assert "\x1b" not in out + errors
    assert r"of a source: \x1b]0;owned [/red]" in errors
    _, out, _ = await command("report", "--state-dir", tmp_path / "state")
    assert r"of a source: \x1b]0;owned" in out


async def test_a_report_of_others_puts_nothing_into_a_markdown_table(tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text(FAILS)
    await command("run", f"{path}:Fails", "--report", tmp_path / "report.json", "--state-dir", tmp_path / "state")
    report = orjson.loads((tmp_path / "report.json").read_bytes())
    report["inputs"] = [{"name": "a\u009b", "secret": True, "required": True, "description": "b\x1b[2J\nc|d"}]
    report["source"]["endpoints"] = [{**EMPTY, "host": "x.com", "method": "GET", "path": "/\x1b]0;owned\x07"}]
    (tmp_path / "report.json").write_bytes(orjson.dumps(report))
    status, out, errors = await command("endpoints", tmp_path / "report.json")
    assert status == 0, errors
    assert "\x1b" not in out
    assert r"/\\x1b]0;owned\\x07" in out
    assert r"| a\\x9b | yes | yes | b\\x1b[2J c\|d |" in out
