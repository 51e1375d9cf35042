"""Whatever the kind of pagination: exactly the items, in order, once; and with a fault, an error."""

import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import (
    Cursor,
    GraphQLCursor,
    LinkHeader,
    NextURL,
    Offset,
    PageNumber,
    Pager,
    PaginationError,
)
from secoda_async.testing.virtual_time import run_virtually
from tests.pagination.source import API, Source, items_of, walking

QUERY = {"query": "query ($after: String) { … }"}


def pager_of(api: API) -> Pager:
    total = "total" if api.declares else None
    match api.kind:
        case "page":
            return PageNumber(total=total)
        case "pages":
            return PageNumber(pages="pages", total=total)
        case "offset":
            return Offset(limit=api.size, total=total)
        case "cursor":
            return Cursor("after", next="next_cursor", total=total)
        case "more":
            return Cursor("after", next="next_cursor", more="has_more", total=total)
        case "next":
            return NextURL("next", total=total)
        case "link":
            return LinkHeader(total=total)
        case _:
            return GraphQLCursor("data.items", total="data.items.total" if api.declares else None)


async def walk(api: API, concurrency: int, **options: Any) -> list[Any]:
    source = Source(api, latency=lambda: api.dice.choice([0.0, 0.01, 0.2, 3.0]))
    if api.kind == "graphql":
        options["json"] = QUERY
    async with walking(source, concurrency=concurrency) as w:
        try:
            found = await w.all("/items", pager_of(api), **options)
        except PaginationError:
            assert w.findings.loss_count == 1, "one error, one loss"
            raise
        assert w.findings.loss_count == 0
        assert source.most_at_once <= concurrency
        return found


KINDS = ["page", "pages", "offset", "cursor", "more", "next", "link", "graphql"]
SEEDS = st.integers(0, 2**16).map(random.Random)


@st.composite
def apis(draw: st.DrawFn, *, count: st.SearchStrategy[int]) -> API:
    return API(
        count=draw(count),
        kind=draw(st.sampled_from(KINDS)),
        size=draw(st.integers(1, 7)),
        cap=draw(st.integers(1, 9)),
        declares=draw(st.booleans()),
        dice=draw(SEEDS),
    )


@given(apis(count=st.integers(0, 40)), st.integers(1, 6))
def test_every_item_comes_once_and_in_order(api: API, concurrency: int) -> None:
    assert run_virtually(walk(api, concurrency)) == items_of(api.count)


def is_visible(api: API) -> bool:
    """Whether a client can tell that something is wrong, from all that the server says."""
    last = api.pages - 1
    match api.fault:
        case "total":
            return api.declares and api.broken > 0
        case "ignored":
            # A cursor that is ignored shows as the cursor that was seen, a number as the same page.
            return last > 0
        case "repeated":
            return api.broken > 0
        case "loop":
            return api.kind in ("cursor", "more", "next", "link", "graphql") and api.broken < last
        case "cursorless":
            return api.kind == "more" and api.broken < last
        case "dropped" if api.declares:
            return True
        case "dropped" if api.kind == "pages":
            return api.broken < last
        case "dropped" if api.kind in ("page", "offset"):
            # Without any declaration a gap shows only where something comes after it.
            return 0 < api.broken < last
        case "short":
            return api.declares
        case _:
            return False


FAULTS = ["dropped", "repeated", "total", "ignored", "loop", "cursorless", "short"]


@st.composite
def faulty(draw: st.DrawFn) -> API:
    api = draw(apis(count=st.integers(2, 40)))
    api.fault = draw(st.sampled_from(FAULTS))
    api.broken = draw(st.integers(0, api.pages - 1))
    return api


@given(faulty().filter(is_visible), st.integers(1, 6))
def test_a_fault_that_shows_is_an_error_and_never_a_silent_short_read(api: API, concurrency: int) -> None:
    if api.kind == "offset" and api.fault == "short":  # may be asked for again from where it ended
        with suppress(PaginationError):
            assert run_virtually(walk(api, concurrency)) == items_of(api.count)
        return
    with pytest.raises(PaginationError):
        run_virtually(walk(api, concurrency))


@given(faulty(), st.integers(1, 6))
def test_where_the_caller_says_that_the_api_lies_the_listing_ends_and_gives_nothing_twice(
    api: API, concurrency: int
) -> None:
    found = [item["id"] for item in run_virtually(walk(api, concurrency, drift="report"))]
    if api.fault not in ("repeated", "ignored", "loop"):
        assert found == sorted(set(found))
    if api.fault == "total" and api.broken > 0:
        assert found == [item["id"] for item in items_of(api.count)]
