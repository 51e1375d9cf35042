"""docs/what-happens-when.md is true, and complete: every row has a fault, every fault has a row."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import secoda_async
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.redact import Redactor
from secoda_async.settings import RetryPolicy, Settings
from tests.network.fault_server import FAULTS, fault_server

PAGE = Path(__file__).parents[2] / "docs" / "what-happens-when.md"


class Row(NamedTuple):
    when: str
    outcome: str
    says: str
    repeated: str


def rows() -> list[Row]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(*row) for row in cells if row[0] != "when"]


ROWS = {row.when: row for row in rows()}
ERRORS = [name for name, row in ROWS.items() if row.outcome != "answer"]


class Made:
    def __init__(self, name: str, **settings: Any) -> None:
        self.fault = FAULTS[name]
        self.number = list(FAULTS).index(name)
        self.traffic, self.findings = Traffic(), Findings()
        chosen = {"retry": RetryPolicy(attempts=2, backoff=0.001)} | self.fault.settings | settings
        self.client = Client(Settings(**chosen), traffic=self.traffic, findings=self.findings, redact=Redactor())


def test_every_row_has_a_fault_and_every_fault_a_row() -> None:
    assert [row.when for row in rows()] == list(FAULTS), "in the same order, none twice"
    assert {row.repeated for row in rows()} == {"yes", "no"}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_happens_is_what_the_page_says_and_the_client_still_works(name: str) -> None:
    row = ROWS[name]
    made = Made(name)
    async with fault_server() as server, made.client as client:
        url = f"{server.url}/{made.number}"
        if row.outcome == "answer":
            answer = await made.fault.ask(client, url)
            assert row.says == f"`{json.dumps(answer, ensure_ascii=False)}`"
            assert made.findings.loss_count == 0
        else:
            kind = getattr(secoda_async, row.outcome.strip("`"))
            with pytest.raises(kind) as caught:
                await made.fault.ask(client, url)
            assert type(caught.value) is kind
            message = str(caught.value)
            assert row.says in message
            assert "\n" not in message
            assert re.match(r"(GET|HEAD|POST) http://\S+ ", message), "it names the request"
            assert message.count(url) <= 1
            assert len(message) < 1000
            is_callers = row.outcome == "`StatusError`" and "404" in row.says
            assert [loss.message for loss in made.findings.losses] == ([] if is_callers else [message])
        assert bool(made.traffic.retries) is (row.repeated == "yes")
        await asyncio.sleep(0.03)  # what still comes belongs to no other request
        well = await client.request("GET", f"{server.url}/well", retry=None)
        assert (well.status_code, well.text) == (200, "ok")
        assert list(client.in_flight) == []


@pytest.mark.parametrize("name", [name for name in ERRORS if ROWS[name].repeated == "yes"])
async def test_what_is_repeated_is_mended_by_the_second_attempt(name: str) -> None:
    made = Made(name)
    async with fault_server(times=1) as server, made.client as client:
        await made.fault.ask(client, f"{server.url}/{made.number}")
    assert made.traffic.attempts == 2
    assert made.findings.loss_count == 0
