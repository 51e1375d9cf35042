"""A part of a run succeeds or fails on its own, and its policy says what becomes of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from secoda_async import (
    Carry,
    ConfigurationError,
    IncompleteRunError,
    JSONLSink,
    Kind,
    RetryPolicy,
    RunReport,
    ScopeError,
    Sink,
    Skip,
    SpoolError,
    StatusError,
)
from secoda_async.report import Status
from secoda_async.spool_index import read_index
from tests.integrations import MemorySink, StreamSink, edge, integration, table
from tests.server import Handler, serve

Extract = Callable[[Any], Awaitable[None]]


def answer(status: int) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status)

    return handler


async def run(extract: Extract, sink: Sink, **settings: Any) -> RunReport:
    return await integration(extract, **settings).run(sink)


def ids(path: Path) -> list[str]:
    return [orjson.loads(line)["databuilder_id"] for line in (path / "resources.jsonl").read_bytes().splitlines()]


def held(sink: MemorySink) -> list[str]:
    return [orjson.loads(line)["databuilder_id"] for line in sink.lines[Kind.RESOURCES]]


async def test_what_a_scope_holds_is_part_of_the_sync_when_it_ends_well() -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("before"))
        async with self.scope("schema:sales"):
            await self.declare_resource(table("inside"))
            await self.declare_lineage(edge("inside", "before"))
        await self.declare_resource(table("after"))

    sink = MemorySink()
    report = await run(extract, sink)
    assert sorted(held(sink)) == ["after", "before", "inside"]
    assert len(sink.lines[Kind.LINEAGE]) == 1
    assert (report.status, report.scopes) == (Status.COMPLETE, {"live": 1})


async def test_a_scope_that_fails_fails_the_run_even_where_its_error_is_caught() -> None:
    async def extract(self: Any) -> None:
        try:
            async with self.scope("schema:sales"):
                await self.declare_resource(table("inside"))
                raise ValueError("no such column")
        except ValueError:
            pass

    sink = MemorySink()
    with pytest.raises(IncompleteRunError, match=r"the scope 'schema:sales' failed: ValueError: no such column"):
        await run(extract, sink)
    assert sink.calls == ["open", "abort"]


async def test_a_scope_is_skipped_for_what_its_policy_names_and_the_run_is_degraded() -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("outside"))
        async with self.scope("schema:secret", on_error=Skip(403)):
            await self.declare_resource(table("inside"))
            (await self.http_get("/forbidden")).raise_for_status()
        await self.declare_resource(table("after"))

    async with serve(answer(403)) as url:
        sink = MemorySink()
        report = await run(extract, sink, base_url=url)
    assert held(sink) == ["outside", "after"]
    assert (report.status, report.scopes, report.loss_count) == (Status.DEGRADED, {"skipped": 1}, 0)
    (finding,) = [f for f in report.findings if f.code == "scope-skipped"]
    assert finding.subject == "schema:secret"
    assert "403" in finding.message


@pytest.mark.parametrize("policy", [Skip(404), Skip(KeyError)])
async def test_what_a_policy_does_not_name_is_not_skipped(policy: Skip) -> None:
    async def extract(self: Any) -> None:
        async with self.scope("schema:secret", on_error=policy):
            (await self.http_get("/forbidden")).raise_for_status()

    async with serve(answer(403)) as url:
        with pytest.raises(StatusError):
            await run(extract, MemorySink(), base_url=url)


async def test_a_loss_that_was_caught_inside_counts_against_the_scope() -> None:
    """A request whose error is swallowed makes a scope incomplete, as it does a run."""

    async def swallow(self: Any) -> None:
        try:
            await self.http_get("/broken", retry=None)
            (await self.http_get("/broken")).raise_for_status()
        except StatusError:
            pass

    async def extract(self: Any) -> None:
        async with self.scope("named", on_error=Skip(500)):
            await self.declare_resource(table("inside"))
            await swallow(self)
        await self.declare_resource(table("after"))

    async def wrong(self: Any) -> None:
        async with self.scope("other", on_error=Skip(403)):
            await swallow(self)

    retry = RetryPolicy(attempts=1)
    async with serve(answer(500)) as url:
        sink = MemorySink()
        report = await run(extract, sink, base_url=url, retry=retry)
        assert (held(sink), report.scopes) == (["after"], {"skipped": 1})
        with pytest.raises(IncompleteRunError, match="500"):
            await run(wrong, MemorySink(), base_url=url, retry=retry)


async def test_a_scope_is_carried_over_from_the_last_accepted_sync(tmp_path: Path) -> None:
    async def first(self: Any) -> None:
        for name in ("sales", "people"):
            async with self.scope(f"schema:{name}", on_error="carry"):
                for number in range(3):
                    await self.declare_resource(table(f"{name}.{number}"))
                await self.declare_lineage(edge(f"{name}.0", f"{name}.1"))
        await self.declare_resource(table("root"))

    async def second(self: Any) -> None:
        async with self.scope("schema:sales", on_error="carry"):
            await self.declare_resource(table("sales.new"))
            raise ValueError("the server is gone")
        async with self.scope("schema:people", on_error="carry"):
            await self.declare_resource(table("people.new"))
        await self.declare_resource(table("root"))

    out = tmp_path / "out"
    await run(first, JSONLSink(out))
    for _ in range(2):  # what was carried is carried again
        report = await run(second, JSONLSink(out))
        assert sorted(ids(out)) == ["people.new", "root", "sales.0", "sales.1", "sales.2"]
        assert len((out / "lineage.jsonl").read_bytes().splitlines()) == 1
        assert (report.status, report.scopes) == (Status.DEGRADED, {"carried": 1, "live": 1})
        (finding,) = [f for f in report.findings if f.code == "scope-carried"]
        assert "the server is gone" in finding.message
        assert "4 records" in finding.message
    report = await run(first, JSONLSink(out))
    assert (report.status, len(ids(out))) == (Status.COMPLETE, 7)


async def test_a_carried_scope_keeps_its_age_and_is_not_carried_beyond_it(tmp_path: Path) -> None:
    async def good(self: Any) -> None:
        async with self.scope("s"):
            await self.declare_resource(table("old"))

    def bad(max_age: float) -> Extract:
        async def extract(self: Any) -> None:
            async with self.scope("s", on_error=Carry(max_age=max_age)):
                raise ValueError("gone")

        return extract

    out = tmp_path / "out"
    await run(good, JSONLSink(out))
    (before,) = [row for row in read_index(baseline(tmp_path) / "index.jsonl") if hasattr(row, "name")]
    await run(bad(3600), JSONLSink(out))
    (after,) = [row for row in read_index(baseline(tmp_path) / "index.jsonl") if hasattr(row, "name")]
    assert after.extracted_at == before.extracted_at
    with pytest.raises(ScopeError, match="over max_age"):
        await run(bad(min(1e-6, time.time())), JSONLSink(out))
    assert ids(out) == ["old"]


def baseline(tmp_path: Path) -> Path:
    (index,) = (tmp_path / "state" / "baselines").glob("*/*/*/index.jsonl")
    return index.parent


@pytest.mark.parametrize("sink", [MemorySink, None])
async def test_a_scope_without_a_baseline_cannot_be_carried(sink: Any, tmp_path: Path) -> None:
    async def extract(self: Any) -> None:
        async with self.scope("new", on_error="carry"):
            raise ValueError("gone")

    with pytest.raises(ScopeError, match="no accepted sync holds records of it"):
        await run(extract, JSONLSink(tmp_path / "out") if sink is None else sink())


async def test_an_outer_scope_is_carried_with_all_within_it(tmp_path: Path) -> None:
    async def good(self: Any) -> None:
        async with self.scope("db"):
            await self.declare_resource(table("db"))
            for name in ("a", "b"):
                async with self.scope(f"db.{name}"):
                    await self.declare_resource(table(f"db.{name}"))

    async def bad(self: Any) -> None:
        async with self.scope("db", on_error="carry"):
            async with self.scope("db.a"):
                await self.declare_resource(table("db.a.new"))
            async with self.scope("db.b"):
                raise ValueError("gone")

    async def inner(self: Any) -> None:
        async with self.scope("db"), self.scope("db.b", on_error="carry"):
            raise ValueError("gone again")

    out = tmp_path / "out"
    await run(good, JSONLSink(out))
    await run(bad, JSONLSink(out))
    assert sorted(ids(out)) == ["db", "db.a", "db.b"]
    await run(inner, JSONLSink(out))
    assert ids(out) == ["db.b"]


async def test_an_inner_scope_that_fails_leaves_the_outer_one_to_its_policy() -> None:
    async def extract(self: Any) -> None:
        async with self.scope("outer", on_error=Skip(ValueError)):
            await self.declare_resource(table("outer"))
            async with self.scope("inner", on_error=Skip(KeyError)):
                raise ValueError("not a KeyError")
        await self.declare_resource(table("after"))

    sink = MemorySink()
    report = await run(extract, sink)
    assert (held(sink), report.scopes) == (["after"], {"failed": 1, "skipped": 1})


@pytest.mark.parametrize("policy", ["fail", "carry", Skip(Exception), Skip(TimeoutError)])
async def test_no_policy_absorbs_cancellation(policy: Any, tmp_path: Path) -> None:
    async def good(self: Any) -> None:
        async with self.scope("s"):
            await self.declare_resource(table("old"))

    async def extract(self: Any) -> None:
        with anyio.move_on_after(0.01):
            async with self.scope("s", on_error=policy):
                await anyio.sleep_forever()
                raise AssertionError("absorbed")

    await run(good, JSONLSink(tmp_path / "out"))
    with pytest.raises(IncompleteRunError, match="the scope 's' was cut off"):
        await run(extract, JSONLSink(tmp_path / "out"))


async def test_a_cancelled_run_ends_as_cancelled_from_within_a_scope() -> None:
    inside = anyio.Event()

    async def extract(self: Any) -> None:
        async with self.scope("s", on_error=Skip(Exception)):
            inside.set()
            await anyio.sleep_forever()

    made = integration(extract)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run(MemorySink()))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert made.report is not None
    assert made.report.status is Status.FAILED


async def test_a_group_of_errors_is_skipped_only_where_all_of_them_are_named() -> None:
    async def extract(self: Any, *errors: Exception) -> None:
        async with self.scope("s", on_error=Skip(ValueError)):
            raise ExceptionGroup("two", errors)

    async def named(self: Any) -> None:
        await extract(self, ValueError("1"), ValueError("2"))

    async def mixed(self: Any) -> None:
        await extract(self, ValueError("1"), KeyError("2"))

    assert (await run(named, MemorySink())).scopes == {"skipped": 1}
    with pytest.raises(ValueError, match="1"):
        await run(mixed, MemorySink())


async def test_a_record_declared_into_a_scope_that_has_ended_is_an_error_and_a_loss() -> None:
    async def extract(self: Any) -> None:
        async def late() -> None:
            await ended.wait()
            with pytest.raises(ScopeError, match=r"Resource 'late' was declared into 's' after that scope had ended"):
                self.declare_resource(table("late"))

        ended = anyio.Event()
        async with asyncio.TaskGroup() as group:
            async with self.scope("s"):
                group.create_task(late())
            ended.set()

    with pytest.raises(IncompleteRunError, match="after that scope had ended"):
        await run(extract, MemorySink())


async def test_names_are_unique() -> None:
    async def extract(self: Any) -> None:
        async with self.scope("s"):
            pass
        try:
            async with self.scope("s"):
                pass
        except ScopeError:
            pass

    with pytest.raises(IncompleteRunError, match="two scopes called 's'"):
        await run(extract, MemorySink())


async def test_an_outer_scope_never_ends_before_an_inner_one() -> None:
    async def extract(self: Any) -> None:
        async def inner() -> None:
            async with self.scope("inner"):
                inside.set()
                await anyio.sleep_forever()

        inside = anyio.Event()
        async with asyncio.TaskGroup() as group, self.scope("outer", on_error=Skip(Exception)):
            group.create_task(inner())
            await inside.wait()

    with pytest.raises(ScopeError, match="'outer' ended before 1 scopes within it"):
        await run(extract, MemorySink())


async def test_a_scope_that_has_not_ended_when_extract_returns_is_a_loss() -> None:
    kept = []

    async def extract(self: Any) -> None:
        scope = self.scope("open")
        kept.append(scope)
        await scope.__aenter__()
        await self.declare_resource(table("inside"))

    with pytest.raises(IncompleteRunError, match="the scope 'open' had not ended"):
        await run(extract, MemorySink())


async def test_for_each_gives_each_item_a_scope_of_its_own() -> None:
    async def extract(self: Any) -> None:
        async def worker(name: str) -> None:
            await self.declare_resource(table(f"{name}.0"))
            await asyncio.sleep(0)
            if name == "b":
                raise PermissionError(name)
            await self.declare_resource(table(f"{name}.1"))

        await self.for_each("abc", worker, scope=lambda name: f"schema:{name}", on_error=Skip(PermissionError))

    sink = MemorySink()
    report = await run(extract, sink)
    assert sorted(held(sink)) == ["a.0", "a.1", "c.0", "c.1"]
    assert report.scopes == {"live": 2, "skipped": 1}


async def test_a_policy_is_checked_where_it_is_written() -> None:
    async def nothing(_: Any) -> None: ...

    async def extract(self: Any) -> None:
        with pytest.raises(ConfigurationError, match="on_error must be"):
            self.scope("s", on_error="ignore")
        with pytest.raises(ConfigurationError, match="a scope's name"):
            self.scope("")
        with pytest.raises(ConfigurationError, match="on_error needs scope="):
            self.for_each([], nothing, on_error="carry")

    await run(extract, MemorySink())
    for wrong in ((), (200,), ("403",), (BaseException,), (True,)):
        with pytest.raises(ConfigurationError, match="Skip"):
            Skip(*wrong)  # type: ignore[arg-type] # that is what is tested
    with pytest.raises(ConfigurationError, match="Carry"):
        Carry(max_age=0)


async def test_a_listing_that_a_skipped_scope_leaves_is_no_loss() -> None:
    async def extract(self: Any) -> None:
        async with self.scope("s", on_error=Skip(PermissionError)):
            async for _ in self.map(range(100), lambda n: asyncio.sleep(0, n)):
                raise PermissionError
        await self.declare_resource(table("after"))

    report = await run(extract, MemorySink())
    assert (report.scopes, report.loss_count) == ({"skipped": 1}, 0)


async def test_a_streaming_sink_is_given_a_scope_when_it_has_ended_well() -> None:
    sink = StreamSink()

    async def extract(self: Any) -> None:
        async with self.scope("outer"):
            async with self.scope("inner"):
                for number in range(2000):  # more than waits in memory
                    await self.declare_resource(table(f"inner.{number}", description="x" * 100))
            await anyio.sleep(1.2)  # longer than a batch waits
            assert sink.batches == []
        async with self.scope("skipped", on_error=Skip(ValueError)):
            for number in range(2000):
                await self.declare_resource(table(f"no.{number}", description="x" * 100))
            raise ValueError

    await run(extract, sink)
    lines = b"".join(batch.lines for batch in sink.batches).splitlines()
    assert [orjson.loads(line)["databuilder_id"] for line in lines] == [f"inner.{number}" for number in range(2000)]
    assert held(sink) == [f"inner.{number}" for number in range(2000)]


async def test_cancellation_passes_through_a_scope_though_scopes_within_it_are_open() -> None:
    async def extract(self: Any) -> None:
        async def inner() -> None:
            async with self.scope("inner"):
                inside.set()
                await anyio.sleep_forever()

        async def outer() -> None:
            async with asyncio.TaskGroup() as group, self.scope("outer"):
                group.create_task(inner())
                await anyio.sleep_forever()

        inside = anyio.Event()
        task = asyncio.create_task(outer())
        await inside.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    with pytest.raises(IncompleteRunError, match="the scope 'outer' was cut off") as caught:
        await run(extract, MemorySink())
    assert "optional=True" not in str(caught.value), "that is advice for a request"


async def test_a_scope_is_left_by_the_task_that_entered_it() -> None:
    """Else that task's losses would go on to count as those of a scope that was skipped."""

    async def extract(self: Any) -> None:
        scope = self.scope("s", on_error=Skip(ValueError))
        await scope.__aenter__()

        async def leave() -> None:
            error = ValueError("named by the policy")
            await scope.__aexit__(ValueError, error, None)

        with pytest.raises(ScopeError, match="left by another task"):
            await asyncio.create_task(leave())

    with pytest.raises(IncompleteRunError, match="left by another task"):
        await run(extract, MemorySink())


async def test_a_scope_that_finds_the_last_sync_damaged_says_so(tmp_path: Path) -> None:
    async def good(self: Any) -> None:
        async with self.scope("s"):
            await self.declare_resource(table("old"))

    async def bad(self: Any) -> None:
        try:
            async with self.scope("s", on_error="carry"):
                raise ValueError("gone")
        except SpoolError:
            pass

    await run(good, JSONLSink(tmp_path / "out"))
    index = baseline(tmp_path) / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-10])
    told = r"the scope 's' failed \(ValueError: gone\), and nothing was carried over \(index\.jsonl in .* damaged"
    with pytest.raises(IncompleteRunError, match=told):
        await run(bad, JSONLSink(tmp_path / "out"))
