"""An unmodified synchronous integration runs on this engine: lines, threads, losses, ends."""

import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import orjson
import pytest
from aiohttp import web

from secoda_async import ExitError, IncompleteRunError, RetryPolicy, SecodaIntegration, StdoutSink
from secoda_async.spool_index import Kind
from tests.compat.legacy import HEAD, load, loaded, written
from tests.integrations import MemorySink, StreamSink
from tests.server import serve

# The real one's models shadow a deprecated method of pydantic's.
pytestmark = [pytest.mark.filterwarnings("ignore:Field name:UserWarning"), pytest.mark.usefixtures("secodadk")]


async def answer(request: web.Request) -> web.Response:
    """Says what it was asked; the status is the last part of the path where that is a number."""
    last = request.path.rpartition("/")[2]
    status = int(last) if last.isdigit() and len(last) == 3 else 200
    return web.json_response({"path": request.path_qs, "method": request.method}, status=status)


def ids(sink: MemorySink) -> list[str]:
    return [orjson.loads(line)["databuilder_id"] for line in sink.lines[Kind.RESOURCES]]


async def run(found: type[SecodaIntegration], sink: MemorySink | None = None, **settings: Any) -> MemorySink:
    """Run it on a server that answers everything."""
    sink = sink or MemorySink()
    async with serve(answer) as url:
        await found(credentials={"base_url": url, "token": "geheim"}, **settings).run(sink)
    return sink


async def test_records_come_in_the_order_of_their_declares(tmp_path: Path) -> None:
    body = """
        for number in range(1000):
            self.declare_resource(table(number))
            self.declare_lineage(DeclaredLineage(
                from_identifier=TablesFromSQLQuery(sql="select 1"),
                to_identifier=InternalResource(databuilder_id=str(number))))
    """
    sink = await run(await loaded(tmp_path, body), batch_bytes=1000, queue_bytes=4000)
    assert ids(sink) == [str(number) for number in range(1000)]
    assert [orjson.loads(line)["to_identifier"]["databuilder_id"] for line in sink.lines[Kind.LINEAGE]] == ids(sink)


async def test_thread_pools_inside_share_the_pool_of_connections(tmp_path: Path) -> None:
    body = """
        def one(number):
            path = self.http_get(f"{url}/{number}", params={"n": number}).json()["path"]
            self.declare_resource(table(path))
            return path
        with ThreadPoolExecutor(32) as pool:
            assert len(set(pool.map(one, range(1000, 1300)))) == 300
    """
    made = await loaded(tmp_path, body)
    sink = MemorySink()
    at_once = most_at_once = 0

    async def counting(request: web.Request) -> web.Response:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await anyio.lowlevel.checkpoint()
        at_once -= 1
        return await answer(request)

    async with serve(counting) as url:
        report = await made(credentials={"base_url": url}, concurrency=5).run(sink)
    assert sorted(ids(sink)) == [f"/{number}?n={number}" for number in range(1000, 1300)]
    assert report.source.requests == 300
    assert report.resources == {"table": 300}
    assert most_at_once <= 5


async def test_a_record_is_encoded_by_the_call(tmp_path: Path) -> None:
    body = """
        resource = table("before")
        self.declare_resource(resource)
        resource.databuilder_id = "after"
    """
    assert ids(await run(await loaded(tmp_path, body))) == ["before"]


async def test_a_full_queue_blocks_the_thread_until_there_is_room(tmp_path: Path) -> None:
    class Slow(StreamSink):
        async def write(self, batch: Any) -> None:
            await anyio.sleep(0.01)

    body = """
        for number in range(6000):
            self.declare_resource(table(number, description="x" * 1000))
    """
    made = await loaded(tmp_path, body)
    integration = made(credentials={}, batch_bytes=50_000, queue_bytes=200_000, max_undelivered=400_000)
    sink = Slow()
    await integration.run(sink)
    assert len(ids(sink)) == 6000


async def test_a_run_that_is_cancelled_ends_every_thread_that_waits_for_it(tmp_path: Path) -> None:
    asked, released = anyio.Event(), threading.Event()

    async def never(request: web.Request) -> web.Response:
        if request.path == "/released":
            released.set()
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    body = """
        try:
            try:
                self.http_get(f"{url}/never")
            except Exception:
                pass
        finally:
            self.cleaned_up.set()
    """
    made = await loaded(tmp_path, body)
    cleaned_up = threading.Event()
    made.legacy.cleaned_up = cleaned_up  # type: ignore[attr-defined]
    sink = MemorySink()
    async with serve(never) as url, anyio.create_task_group() as group:
        group.start_soon(made(credentials={"base_url": url}).run, sink)
        await asked.wait()
        group.cancel_scope.cancel()
    assert cleaned_up.is_set()
    assert sink.calls == ["open", "abort"]


async def test_a_run_that_is_cancelled_ends_a_thread_that_waits_for_room(tmp_path: Path) -> None:
    stuck, cleaned_up = anyio.Event(), threading.Event()

    class Stuck(StreamSink):
        async def write(self, batch: Any) -> None:
            stuck.set()
            await anyio.sleep_forever()

    body = """
        try:
            while True:
                self.declare_resource(table("x" * 1000))
        finally:
            self.cleaned_up.set()
    """
    made = await loaded(tmp_path, body)
    made.legacy.cleaned_up = cleaned_up  # type: ignore[attr-defined]
    integration = made(credentials={})
    async with anyio.create_task_group() as group:
        group.start_soon(integration.run, Stuck())
        await stuck.wait()
        await anyio.sleep(0.1)  # until the queue is full
        group.cancel_scope.cancel()
    assert cleaned_up.is_set()
    assert integration.report is not None
    assert integration.report.losses == []  # it was cut off, and nothing else was wrong


async def test_a_run_that_is_cancelled_waits_for_no_thread_that_sleeps(tmp_path: Path) -> None:
    slept, woken = threading.Event(), threading.Event()
    made = await loaded(tmp_path, "self.slept.set()\nself.woken.wait()")
    made.legacy.slept, made.legacy.woken = slept, woken  # type: ignore[attr-defined]
    sink = MemorySink()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(made(credentials={}).run, sink)
            await anyio.to_thread.run_sync(slept.wait)
            group.cancel_scope.cancel()
        assert sink.calls == ["open", "abort"]
    finally:
        woken.set()


async def test_a_run_that_waits_for_its_threads_tells_their_lines(tmp_path: Path) -> None:
    slept, woken = threading.Event(), threading.Event()
    made = await loaded(tmp_path, "self.slept.set()\nself.woken.wait()")
    made.legacy.slept, made.legacy.woken = slept, woken  # type: ignore[attr-defined]
    integration = made(credentials={})
    async with anyio.create_task_group() as group:
        group.start_soon(integration.run, MemorySink())
        await anyio.to_thread.run_sync(slept.wait)
        assert integration.current_run is not None
        told = await anyio.to_thread.run_sync(integration.current_run.describe_waits)
        woken.set()
    assert f"1 thread at {tmp_path / 'legacy.py'}:{len((HEAD + 'x').splitlines()) + 1} in extract" in told


async def test_what_was_declared_before_a_failure_is_in_the_folder_of_the_run(tmp_path: Path, state_dir: Path) -> None:
    made = await loaded(tmp_path, "self.declare_resource(table('one'))\nraise KeyError('data')")
    integration = made(credentials={})
    with pytest.raises(KeyError, match="data"):
        await integration.run(MemorySink())
    [lines] = [path async for path in anyio.Path(state_dir).glob("runs/*/resources.jsonl")]
    assert b'"one"' in await lines.read_bytes()


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ("sys.exit()", r"sys\.exit\(\)"),
        ("sys.exit(0)", r"sys\.exit\(0\)"),
        ("sys.exit('no token')", r"sys\.exit\('no token'\)"),
        ("raise KeyboardInterrupt", r"KeyboardInterrupt"),
    ],
)
async def test_an_extract_that_ends_its_process_has_failed(tmp_path: Path, ends: str, told: str) -> None:
    made = await loaded(tmp_path, f"self.declare_resource(table(1))\n{ends}")
    sink = MemorySink()
    with pytest.raises(ExitError, match=rf"Legacy ended by {told}.*legacy\.py:\d+.*let extract\(\) return"):
        await made(credentials={}).run(sink)
    assert sink.calls == ["open", "abort"]


async def test_a_cancellation_of_its_own_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"ended by CancelledError\(\), in extract at .*legacy\.py"):
        await run(await loaded(tmp_path, "import asyncio\nraise asyncio.CancelledError"))


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_final_refusal_is_returned_and_is_a_loss(tmp_path: Path, status: int) -> None:
    body = f"""
        reply = self.http_get(url + "/{status}")
        assert reply.status_code == {status}
        assert reply.json()["path"] == "/{status}"
        self.declare_resource(table(reply.status_code))
    """
    made = await loaded(tmp_path, body)
    quick = RetryPolicy(attempts=2, backoff=0.001)
    with pytest.raises(IncompleteRunError, match=f"/{status} answered {status}"):
        await run(made, retry=quick)
    sink = await run(made, retry=quick, allow_losses=True)
    assert ids(sink) == [str(status)]


async def test_a_404_is_the_file_s_to_judge(tmp_path: Path) -> None:
    body = """
        self.declare_resource(table(self.http_get(f"{url}/404").status_code))
    """
    assert ids(await run(await loaded(tmp_path, body))) == ["404"]


async def test_a_swallowed_error_is_a_loss(tmp_path: Path) -> None:
    body = """
        import httpx
        try:
            self.http_get("http://127.0.0.1:1/")
        except httpx.ConnectError as error:
            assert "127.0.0.1:1" in str(error.request.url)
            self.declare_resource(table("caught"))
    """
    made = await loaded(tmp_path, body)
    with pytest.raises(IncompleteRunError, match="refused"):
        await run(made, retry=None)
    assert ids(await run(made, retry=None, allow_losses=True)) == ["caught"]


async def test_a_body_that_is_no_json_is_a_loss_where_it_should_be_one(tmp_path: Path) -> None:
    async def html(request: web.Request) -> web.Response:
        return web.Response(text="<html>", status=404 if request.path == "/404" else 200)

    made = await loaded(
        tmp_path,
        """
        try:
            self.http_get(url + self.path).json()
        except ValueError:
            pass
    """,
    )
    async with serve(html) as url:
        made.legacy.path = "/404"  # type: ignore[attr-defined]
        await made(credentials={"base_url": url}).run(MemorySink())
        made.legacy.path = "/page"  # type: ignore[attr-defined]
        with pytest.raises(IncompleteRunError, match="/page answered 200 with a body that is not JSON"):
            await made(credentials={"base_url": url}).run(MemorySink())


async def test_threads_that_still_run_when_extract_returns_are_losses(tmp_path: Path) -> None:
    goes_on = threading.Event()
    body = """
        threading.Thread(target=self.goes_on.wait, name="quiet").start()
        def busy():
            self.declare_resource(table(1))
            self.is_busy.set()
            self.goes_on.wait()
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="busy")
        self.pool.submit(busy)
        self.is_busy.wait()
    """
    made = await loaded(tmp_path, body)
    made.legacy.is_busy = threading.Event()  # type: ignore[attr-defined]
    made.legacy.goes_on = goes_on  # type: ignore[attr-defined]
    try:
        with pytest.raises(IncompleteRunError, match=r"the thread 'busy_0' was still running.*legacy\.py:\d+ in busy"):
            await run(made)
    finally:
        goes_on.set()


# pytest hears of it, too.
@pytest.mark.filterwarnings("ignore:Exception in thread")
async def test_a_thread_that_an_error_ends_is_a_loss(tmp_path: Path) -> None:
    body = """
        thread = threading.Thread(target=lambda: {}[self.credentials["token"]], name="helper")
        thread.start()
        thread.join()
    """
    with pytest.raises(
        IncompleteRunError, match=r"the thread 'helper' ended by KeyError: '\[redacted\]', in <lambda> at .*legacy"
    ):
        await run(await loaded(tmp_path, body))


async def test_an_idle_pool_that_was_not_shut_down_is_no_loss(tmp_path: Path) -> None:
    body = """
        pool = ThreadPoolExecutor(4)
        list(pool.map(lambda number: self.declare_resource(table(number)), range(4)))
    """
    assert len(ids(await run(await loaded(tmp_path, body)))) == 4


# pytest hears of what threading does not tell.
@pytest.mark.filterwarnings("ignore:Exception in thread")
async def test_a_request_in_flight_when_extract_returns_is_a_loss(tmp_path: Path) -> None:
    asked = threading.Event()

    async def never(_: web.Request) -> web.Response:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    made = await loaded(tmp_path, "threading.Thread(target=self.http_get, args=(url,)).start()\nself.asked.wait()")
    made.legacy.asked = asked  # type: ignore[attr-defined]
    async with serve(never) as url:
        integration = made(credentials={"base_url": url})
        with pytest.raises(IncompleteRunError):
            await integration.run(MemorySink())
    assert integration.report is not None
    assert any("cut off" in loss.message for loss in integration.report.losses)


async def test_finalize_of_the_file_is_called_after_extract(tmp_path: Path) -> None:
    path = written(tmp_path, "self.ends = ['extract']")
    with path.open("a") as file:
        file.write(
            "\n    def finalize(self):\n        self.ends.append('finalize')\n"
            "        self.declare_resource(table('-'.join(self.ends)))\n        super().finalize()\n"
        )
    assert ids(await run(await load(path))) == ["extract-finalize"]


async def test_strategies_of_its_own_are_not_used_and_told_of(tmp_path: Path) -> None:
    path = written(tmp_path, "self.declare_resource(table(self.http_get(url + '/x').json()['path']))")
    with path.open("a") as file:
        file.write(
            "\n    def __init__(self, *, credentials):\n"
            "        from secodadk.strats.custom import EgressServerNetworkCallStrategy\n"
            "        super().__init__(credentials=credentials, network_call_strategy=EgressServerNetworkCallStrategy(\n"
            "            egress_server_url='http://127.0.0.1:1', egress_server_token='t'))\n"
        )
    sink = MemorySink()
    async with serve(answer) as url:
        report = await (await load(path))(credentials={"base_url": url}).run(sink)
    assert ids(sink) == ["/x"]
    [finding] = report.findings
    assert finding.code == "unused-strategy"
    assert "EgressServerNetworkCallStrategy" in finding.message


async def test_a_constructor_may_make_requests(tmp_path: Path) -> None:
    path = written(tmp_path, "self.declare_resource(table(self.path))")
    with path.open("a") as file:
        file.write(
            "\n    def __init__(self, credentials):\n        super().__init__(credentials=credentials)\n"
            "        self.path = self.http_get(credentials['base_url'] + '/made').json()['path']\n"
        )
    assert ids(await run(await load(path))) == ["/made"]


async def test_a_missing_credential_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"'password' is missing.*--credential password=VALUE"):
        await run(await loaded(tmp_path, "self.credentials['password']"))


async def test_a_credential_called_base_url_is_the_file_s_own(tmp_path: Path) -> None:
    made = await loaded(tmp_path, "self.declare_resource(table(url))")
    sink = MemorySink()
    await made(credentials={"base_url": "acme, or what else?"}).run(sink)
    assert ids(sink) == ["acme, or what else?"]


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        ("self.declare_resource({'databuilder_id': 'x'})", "declare_resource takes a Resource, not dict"),
        ("self.declare_lineage(table(1))", "declare_lineage takes a DeclaredLineage, not Resource"),
        ("self.declare_resource(table('a\\ud800'))", "lone surrogate"),
        ("self.declare_resource(table('x' * 5000))", "is 10[0-9]+ bytes as JSON, over max_record"),
    ],
)
async def test_a_record_that_cannot_be_taken_fails_where_it_is_declared(
    tmp_path: Path, declare: str, told: str, state_dir: Path
) -> None:
    with pytest.raises(Exception, match=told):
        await run(await loaded(tmp_path, declare), max_record=4000)
    made = await loaded(tmp_path, f"try:\n    {declare}\nexcept Exception:\n    pass")
    with pytest.raises(IncompleteRunError, match=told):
        await run(made, max_record=4000)


async def test_a_second_run_starts_afresh(tmp_path: Path) -> None:
    made = await loaded(tmp_path, "self.seen = getattr(self, 'seen', 0) + 1\nself.declare_resource(table(self.seen))")
    integration = made(credentials={})
    for _ in range(2):
        sink = MemorySink()
        await integration.run(sink)
        assert ids(sink) == ["1"]


async def test_a_run_is_recorded_and_replayed(tmp_path: Path) -> None:
    body = """
        with ThreadPoolExecutor(4) as pool:
            for reply in pool.map(self.http_get, [f"{url}/{n}?token=geheim" for n in "abcdef"]):
                self.declare_resource(table(reply.json()["path"][1]))
    """
    made = await loaded(tmp_path, body)
    async with serve(answer) as url:
        credentials = {"base_url": url, "token": "geheim"}
        first, again = MemorySink(), MemorySink()
        await made(credentials=credentials, record=tmp_path / "journal").run(first)
    await made(credentials=credentials, replay=tmp_path / "journal").run(again)
    assert ids(first) == ids(again) == [*"abcdef"]


async def test_a_run_that_failed_is_continued_with_what_it_had_got(tmp_path: Path) -> None:
    asked: list[str] = []

    async def counting(request: web.Request) -> web.Response:
        asked.append(request.path)
        return await answer(request)

    body = """
        for name in "abc":
            self.declare_resource(table(self.http_get(f"{url}/{name}").json()["path"]))
        if self.fails:
            raise OSError("disk")
    """
    made = await loaded(tmp_path, body)
    made.legacy.fails = True  # type: ignore[attr-defined]
    sink = MemorySink()
    async with serve(counting) as url:
        with pytest.raises(OSError, match="disk"):
            await made(credentials={"base_url": url}, resumable=True).run(MemorySink())
        made.legacy.fails = False  # type: ignore[attr-defined]
        await made(credentials={"base_url": url}, resume="last").run(sink)
    assert ids(sink) == ["/a", "/b", "/c"]
    # The answer at which it ended is asked for again.
    assert asked in (["/a", "/b", "/c"], ["/a", "/b", "/c", "/c"])


async def test_what_it_prints_is_not_among_the_lines(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    made = await loaded(tmp_path, "print('getting started')\nself.declare_resource(table(1))")
    await made(credentials={}).run(StdoutSink())
    out, errors = capfdbinary.readouterr()
    assert orjson.loads(out)["databuilder_id"] == "1"
    assert b"getting started" in errors
