"""What a run finds out about a host is where the next one begins, and a bad file never ends a run."""

import asyncio
import math
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.counters import MOST_SLOTS, Pace
from secoda_async.pace_file import load_paces, save_paces
from tests.integrations import MemorySink, integration
from tests.server import serve

FILE = "paces.json"


def found(slots: int, rate: float | None = None) -> Pace:
    return Pace(slots, rate, raised=1)


def test_what_is_saved_is_loaded_and_added_to_what_was_known(tmp_path: Path) -> None:
    save_paces(tmp_path, {"a.example:443": found(40), "b.example:443": found(3, 12.5)})
    save_paces(tmp_path, {"a.example:443": found(50), "c.example:443": Pace(9, cut=Counter(slower=1))})
    assert load_paces(tmp_path) == {
        "b.example:443": Pace(3, 12.5),
        "a.example:443": Pace(50),
        "c.example:443": Pace(9),
    }


def test_a_host_about_which_nothing_was_found_out_is_not_written(tmp_path: Path) -> None:
    save_paces(tmp_path, {"a.example:443": Pace()})
    assert not (tmp_path / FILE).exists()


def test_the_file_keeps_a_thousand_hosts_and_forgets_those_not_seen_for_longest(tmp_path: Path) -> None:
    save_paces(tmp_path, {f"{number}.example:443": found(10) for number in range(1000)})
    save_paces(tmp_path, {"0.example:443": found(20), "new.example:443": found(30)})
    known = load_paces(tmp_path)
    assert len(known) == 1000
    assert known["0.example:443"].slots == 20
    assert "1.example:443" not in known


numbers = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text() | st.lists(st.just(1))
rows = st.fixed_dictionaries({}, optional={"slots": numbers, "rate": numbers})


@given(
    st.binary()
    | st.recursive(numbers, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
    | st.dictionaries(st.text(), rows | numbers).map(lambda hosts: {"format": 1, "hosts": hosts})
)
def test_whatever_stands_in_the_file_only_usable_values_come_out(tmp_path_factory: Any, content: Any) -> None:
    folder = tmp_path_factory.mktemp("state")
    text = content if isinstance(content, bytes) else orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    (folder / FILE).write_bytes(text)
    for pace in load_paces(folder).values():
        assert 1 <= pace.slots <= MOST_SLOTS
        assert pace.rate is None or (pace.rate > 0 and math.isfinite(pace.rate))


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "hosts": {"a": {"slots": 5, "rate": null}}}'])
def test_a_file_of_another_kind_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert load_paces(tmp_path) == {}


async def test_the_next_run_begins_with_what_the_last_one_found(tmp_path: Path) -> None:
    at_once = peak = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal at_once, peak
        at_once += 1
        peak = max(peak, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return web.json_response({})

    async def extract(self: Any) -> None:
        await self.for_each(range(400), lambda number: self.http_get(f"/{number}"))

    async with serve(handle) as url:
        host = url.removeprefix("http://")
        first = await integration(extract, base_url=url, state_dir=tmp_path).run(MemorySink())
        slots = first.source.paces[host].slots
        assert slots > 16
        assert (await anyio.to_thread.run_sync(load_paces, tmp_path))[host].slots == slots
        peak = 0

        async def few(self: Any) -> None:
            await self.for_each(range(slots), lambda number: self.http_get(f"/{number}"))

        await integration(few, base_url=url, state_dir=tmp_path).run(MemorySink())
        assert peak > 16  # more than a host that nobody knows is given at first
        fixed = await integration(few, base_url=url, state_dir=tmp_path, concurrency=5).run(MemorySink())
        assert fixed.source.paces == {}
