"""What a run shows while it goes: on a real terminal, in a pipe, and where it is told to be quiet."""

import asyncio
import os
import re
import subprocess
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from anyio import to_thread

from tests.command_line import COMMAND
from tests.server import serve
from tests.terminals import Terminal

CRAWL = textwrap.dedent(
    """
    from secoda_async import Input, RateLimit, Resource, SecodaIntegration

    class Crawl(SecodaIntegration):
        inputs = {"base_url": Input(secret=False), "tables": Input(secret=False)}
        rate_limits = {"127.0.0.1": RateLimit(20)}

        async def extract(self):
            await self.for_each(range(int(self.credentials["tables"])), self.one)

        async def one(self, number):
            answer = await self.http_get(f"/tables/{number}")
            title = answer.raise_for_status().json()["title"]
            await self.declare_resource(Resource(entity_type="table", databuilder_id=f"t.{number}", title=title))
    """
)
Command = Callable[..., list[str]]


@pytest.fixture
async def crawl(tmp_path: Path) -> AsyncIterator[Command]:
    """The command that crawls so many tables, and has an error at one of them."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"title": "T"}, status=404 if request.path == "/tables/30" else 200)

    (tmp_path / "crawl.py").write_text(CRAWL)
    numbers = count()
    async with serve(answer) as url:

        def command(*options: str, tables: int = 29) -> list[str]:
            out = tmp_path / f"out-{next(numbers)}"
            given = [f"--credential=base_url={url}", f"--credential=tables={tables}", "--out", str(out)]
            return [COMMAND, "run", f"{tmp_path / 'crawl.py'}:Crawl", *given, *options]

        yield command


async def on_terminal(command: Sequence[str], until: str = "", key: bytes = b"") -> tuple[int, list[str], bytes]:
    """Exit status, each different text on the screen, and what was sent; ``key`` is typed once ``until`` is read."""
    terminal = Terminal(command)

    def look() -> tuple[list[str], bytes]:
        texts, sent, pressed = [""], b"", False
        for moment in terminal.moments():
            sent += moment.sent
            if moment.text != texts[-1]:
                texts.append(moment.text)
            if key and not pressed and re.search(until, moment.text):
                terminal.press(key)
                pressed = True
        return texts, sent

    texts, sent = await to_thread.run_sync(look)
    assert terminal.status is not None
    return terminal.status, texts, sent


async def in_pipe(command: Sequence[str], **env: str) -> tuple[int, str]:
    done = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT, env={**os.environ, **env})
    return done.returncode, done.stdout.decode()


async def test_a_terminal_shows_how_far_it_is_and_the_limit_that_holds_it_by_name(crawl: Command) -> None:
    status, texts, _ = await on_terminal(crawl(tables=29))
    assert status == 0
    shown = "\n".join(texts[:-1])
    for row in (
        r"Crawl, \d+ s\n",
        r"phases +(prepare .*)?extract \d+ s\n",
        r"progress +\d+ % of about 29 requests",
        r"requests +\d+ \(\d+/s\), \d+ in flight",
        r"waiting +\d+ for the limit of 127\.0\.0\.1 \(20/s\)",
        r"records +\d+ table, 0 lineage",
    ):
        assert re.search(row, shown), row
    assert "phases" not in texts[-1]  # at the end there is the summary alone
    assert texts[-1].startswith("complete\n")


async def test_a_terminal_shows_the_summary_alone_where_a_run_failed_or_was_interrupted(crawl: Command) -> None:
    status, texts, _ = await on_terminal(crawl(tables=40))
    assert (status, "phases" in texts[-1]) == (1, False)
    assert "404" in texts[-1]
    status, texts, sent = await on_terminal(crawl(tables=29), until="waiting", key=b"\x03")
    assert (status, "phases" in texts[-1]) == (130, False)
    assert "interrupted: nothing was delivered" in texts[-1]
    assert sent.endswith(b"\n")
    assert sent.rindex(b"\x1b[?25h") > sent.rindex(b"\x1b[?25l")  # the cursor is shown again


async def test_a_pipe_has_plain_lines_every_few_seconds_and_none_in_ci(crawl: Command) -> None:
    limit = '--set=rate_limits={"127.0.0.1": "5/1"}'
    (status, said), (in_ci, said_in_ci), (of_short, said_of_short) = await asyncio.gather(
        in_pipe(crawl(limit), CI=""), in_pipe(crawl(limit), CI="true"), in_pipe(crawl(), CI="")
    )
    assert (status, in_ci, of_short) == (0, 0, 0)
    assert not {"\x1b", "\r"}.intersection(said + said_in_ci + said_of_short)
    line = next(line for line in said.splitlines() if "INFO" in line)
    assert re.search(
        r"INFO phases .*extract \d+ s; progress \d+ % of about 29 requests, about \d+ s left; requests \d+ \(\d+/s\), "
        r"\d in flight; waiting \d+ for the limit of 127\.0\.0\.1 \(5/s\); queue .*; records \d+ table, 0 lineage$",
        line,
    ), line
    assert "INFO" not in said_in_ci
    assert "INFO" not in said_of_short  # it was over before there was anything to tell


async def test_quiet_prints_nothing_at_all(crawl: Command) -> None:
    (status, _, sent), piped = await asyncio.gather(on_terminal(crawl("--quiet")), in_pipe(crawl("--quiet")))
    assert (status, sent) == (0, b"")
    assert piped == (0, "")
