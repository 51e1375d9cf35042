"""A run with a journal: recorded, replayed without a source, continued after a death, asked again only for changes."""

import asyncio
import sqlite3
import stat
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web
from typing_extensions import override

from secoda_async import (
    ConfigurationError,
    ConnectError,
    IncompleteRunError,
    JournalError,
    Layer,
    ReplayedFailureError,
    ReplayError,
    ReplayTransport,
    Request,
    RequestError,
    Response,
    RetryPolicy,
    SecodaIntegration,
    StatusError,
    Transport,
)
from secoda_async.settings import RateLimit
from tests.integrations import MemorySink, integration, table
from tests.server import serve

Extract = Callable[[Any], Awaitable[None]]


class Source:
    """A counting source: each answer says how often its request has come."""

    def __init__(self) -> None:
        self.url = ""
        self.counts: Counter[str] = Counter()
        self.headers: dict[str, dict[str, str]] = {}
        self.seen: list[web.BaseRequest] = []
        self.special: dict[str, Callable[[web.Request, int], web.Response]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        asked = f"{request.method} {request.path_qs}"
        self.counts[asked] += 1
        self.seen.append(request)
        special = self.special.get(request.path)
        if special is not None:
            return special(request, self.counts[asked])
        return web.json_response({"asked": asked, "count": self.counts[asked]})


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    made = Source()
    async with serve(made.handle) as made.url:
        yield made


def nodes(names: list[str], got: list[Any], *, fail: bool = False, **options: Any) -> Extract:
    """An extract that asks for each path in turn, and declares what it got."""

    async def extract(self: SecodaIntegration) -> None:
        for name in names:
            reply = await self.http_get(name, **options)
            got.append(reply.json())
            await self.declare_resource(table(f"{name} {reply.json()}"))
        if fail:
            raise RuntimeError("the end")

    return extract


def only_run(state_dir: Path) -> Path:
    """The newest run's folder."""
    return max((state_dir / "runs").iterdir())


def decompressed(path: Path) -> bytes:
    """Everything in a journal's file, as it was written."""
    with closing(sqlite3.connect(path)) as connection:
        blobs = [zlib.decompress(row[0]) for row in connection.execute("select data from entries")]
        blobs += [zlib.decompress(row[0]) for row in connection.execute("select data from pieces")]
    return b"\n".join(blobs)


async def record(extract: Extract, path: Path, url: str, **settings: Any) -> None:
    await integration(extract, base_url=url, record=path, **settings).run(MemorySink())


async def test_a_recording_replays_without_the_source(tmp_path: Path, source: Source) -> None:
    first: list[Any] = []
    await record(nodes(["/a", "/a", "/b?x=1"], first), tmp_path / "recording", source.url)
    again: list[Any] = []
    sink = MemorySink()
    made = integration(nodes(["/a", "/a", "/b?x=1"], again), base_url=source.url, replay=tmp_path / "recording")
    report = await made.run(sink)
    assert again == first
    assert sum(source.counts.values()) == 3
    assert (report.source.served, report.source.attempts) == (3, 0)


async def test_the_real_transport_is_not_even_built_on_a_replay(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(nodes(["/a"], []), tmp_path / "recording", source.url)

    def build(**_: Any) -> Transport:
        raise AssertionError("a session was made")

    monkeypatch.setattr("secoda_async.network.client.AiohttpTransport", build)
    await integration(nodes(["/a"], []), base_url=source.url, replay=tmp_path / "recording").run(MemorySink())


async def test_a_recording_is_one_plain_file_of_its_owner_and_nothing_else_is_left(
    tmp_path: Path, source: Source, state_dir: Path
) -> None:
    target = tmp_path / "out" / "recording"
    target.parent.mkdir()
    target.write_text("an older one")
    await record(nodes(["/a"], []), target, source.url)
    assert [path.name for path in target.parent.iterdir()] == ["recording"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not list(only_run(state_dir).glob("*journal*"))


async def test_a_journal_is_of_its_owner_only_while_the_run_goes(source: Source, state_dir: Path) -> None:
    modes: dict[str, int] = {}

    def look() -> dict[str, int]:
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in only_run(state_dir).glob("journal*")}

    async def extract(self: SecodaIntegration) -> None:
        await self.http_get("/a")
        modes.update(await anyio.to_thread.run_sync(look))

    await integration(extract, base_url=source.url, resumable=True).run(MemorySink())
    assert modes == dict.fromkeys(["journal", "journal-wal", "journal-shm"], 0o600)


@pytest.mark.parametrize("way", ["error", "loss", "cancelled"])
async def test_a_recording_is_written_however_the_run_ends(way: str, tmp_path: Path, source: Source) -> None:
    got: list[Any] = []

    async def extract(self: SecodaIntegration) -> None:
        got.append((await self.http_get("/a")).json())
        if way == "error":
            raise RuntimeError("the end")
        if way == "cancelled":
            scope.cancel()
            await anyio.sleep_forever()
        reply = await self.http_get("/a")
        with pytest.raises(ValueError, match="is not JSON"):
            Response(reply.request, 200, content=b"<").json()
        self._extraction._findings.lose("something")

    made = integration(extract, base_url=source.url, record=tmp_path / "recording")
    with anyio.CancelScope() as scope:
        if way == "cancelled":
            await made.run(MemorySink())
        else:
            with pytest.raises((RuntimeError, IncompleteRunError)):
                await made.run(MemorySink())
    again: list[Any] = []
    await integration(nodes(["/a"], again), base_url=source.url, replay=tmp_path / "recording").run(MemorySink())
    assert again == got[:1]


async def test_a_recording_that_cannot_be_written_fails_the_run_before_it_delivers(
    tmp_path: Path, source: Source
) -> None:
    sink = MemorySink()
    target = tmp_path / "recording"
    target.mkdir()  # nothing can take the place of a folder
    made = integration(nodes(["/a"], []), base_url=source.url, record=target)
    with pytest.raises(Exception, match=r"recording .* cannot be written") as caught:
        await made.run(sink)
    assert type(caught.value).__name__ == "OutputError"
    assert sink.calls == ["open", "abort"]
    with pytest.raises(ConfigurationError, match="there is no folder"):
        await integration(nodes([], []), record=tmp_path / "no" / "recording").run(MemorySink())


async def test_what_was_asked_for_once_more_than_it_was_recorded_is_an_error_that_counts(
    tmp_path: Path, source: Source
) -> None:
    await record(nodes(["/a", "/a"], []), tmp_path / "recording", source.url)
    for names, message in (
        (["/a", "/a", "/a"], r"GET \S+/a was sent 2 times when it was recorded, and is asked for once more"),
        (["/c"], r"GET \S+/c is not in the recording"),
    ):
        made = integration(nodes(names, []), base_url=source.url, replay=tmp_path / "recording")
        with pytest.raises(ReplayError, match=message):
            await made.run(MemorySink())


async def test_a_sign_in_of_a_recording_may_be_asked_for_more_often(tmp_path: Path, source: Source) -> None:
    source.special["/session"] = lambda _, count: web.json_response({"access_token": f"t-{count}", "count": count})
    await record(nodes(["/session", "/session"], []), tmp_path / "r", source.url)
    got: list[Any] = []
    await integration(nodes(["/session"] * 4, got), base_url=source.url, replay=tmp_path / "r").run(MemorySink())
    assert [one["count"] for one in got] == [1, 2, 2, 2]


async def test_equal_requests_in_flight_together_get_one_answer_each(tmp_path: Path, source: Source) -> None:
    def gathering(got: list[Any]) -> Extract:
        async def extract(self: SecodaIntegration) -> None:
            got.extend(
                reply.json()["count"] for reply in await asyncio.gather(*[self.http_get("/a") for _ in range(9)])
            )

        return extract

    first: list[int] = []
    again: list[int] = []
    await record(gathering(first), tmp_path / "recording", source.url)
    await integration(gathering(again), base_url=source.url, replay=tmp_path / "recording").run(MemorySink())
    assert sorted(first) == sorted(again) == [*range(1, 10)]
    assert again == first


async def test_a_failed_run_is_continued_and_nothing_is_asked_for_twice(source: Source, state_dir: Path) -> None:
    got: list[Any] = []
    names = [f"/{number}" for number in range(5)]
    first = integration(nodes(names[:3], got, fail=True), base_url=source.url, resumable=True)
    with pytest.raises(RuntimeError):
        await first.run(MemorySink())
    again: list[Any] = []
    second = integration(nodes(names, again), base_url=source.url, resume="last")
    sink = MemorySink()
    report = await second.run(sink)
    assert again[:3] == got
    assert set(source.counts.values()) == {1}
    assert len(source.counts) == 5
    assert (report.source.served, report.source.recorded, report.source.attempts) == (3, 2, 2)
    assert "commit" in sink.calls


async def test_a_continued_run_can_be_continued_again_by_its_id(source: Source) -> None:
    names = [f"/{number}" for number in range(6)]
    ids = []
    for count in (2, 4):
        made = integration(
            nodes(names[:count], [], fail=True), base_url=source.url, resumable=True, resume=ids[-1] if ids else None
        )
        with pytest.raises(RuntimeError):
            await made.run(MemorySink())
        assert made.report is not None
        ids.append(made.report.run)
    await integration(nodes(names, []), base_url=source.url, resume=ids[-1]).run(MemorySink())
    assert source.counts == Counter({f"GET {name}": 1 for name in names})


async def test_polling_goes_on_where_the_other_run_ended(source: Source) -> None:
    first: list[Any] = []
    with pytest.raises(RuntimeError):
        await integration(nodes(["/poll"] * 3, first, fail=True), base_url=source.url, resumable=True).run(MemorySink())
    got: list[Any] = []
    await integration(nodes(["/poll"] * 6, got), base_url=source.url, resume="last").run(MemorySink())
    assert [one["count"] for one in got] == [1, 2, 3, 4, 5, 6]


async def test_requests_that_differ_in_what_only_looks_like_a_secret_are_not_confused(source: Source) -> None:
    # An answer that repeats ?token=a would be one that carries a secret, and be asked for anew.
    source.special["/t"] = lambda request, _: web.json_response({"asked": f"GET {request.path_qs}".replace("?", "? ")})
    asked = ["/issue?key=P-1", "/issue?key=P-2", "/issue?code=de", "/issue?code=fr", "/t?token=a", "/t?token=b"]
    with pytest.raises(RuntimeError):
        await integration(nodes([*asked[::2]], [], fail=True), base_url=source.url, resumable=True).run(MemorySink())
    got: list[Any] = []
    await integration(nodes([*reversed(asked)], got), base_url=source.url, resume="last").run(MemorySink())
    assert [one["asked"].replace("? ", "?") for one in got] == [f"GET {name}" for name in reversed(asked)]
    assert set(source.counts.values()) == {1}


async def test_credentials_that_are_part_of_the_path_are_not_confused(source: Source) -> None:
    credentials = {"databases": ["sales", "orders"]}
    first = integration(
        nodes(["/db/sales"], [], fail=True), base_url=source.url, resumable=True, credentials=credentials
    )
    with pytest.raises(RuntimeError):
        await first.run(MemorySink())
    got: list[Any] = []
    second = integration(
        nodes(["/db/orders", "/db/sales"], got), base_url=source.url, resume="last", credentials=credentials
    )
    await second.run(MemorySink())
    assert source.counts == Counter({"GET /db/sales": 2, "GET /db/orders": 1})  # its answer names a credential


async def test_a_request_with_other_credentials_is_found_in_a_recording(tmp_path: Path, source: Source) -> None:
    asked = "/x?api_key={key}"
    await record(
        nodes([asked.format(key="K-of-then")], []), tmp_path / "r", source.url, credentials={"key": "K-of-then"}
    )
    assert b"K-of-then" not in decompressed(tmp_path / "r")
    for key in ("K-of-now", "K-of-then"):
        got: list[Any] = []
        made = integration(
            nodes([asked.format(key=key)], got), base_url=source.url, replay=tmp_path / "r", credentials={"key": key}
        )
        await made.run(MemorySink())
        assert got == [{"asked": "GET /x?api_key=[redacted]", "count": 1}]


def broken(status: int, times: int = 10**9) -> Callable[[web.Request, int], web.Response]:
    return lambda _, count: web.json_response({"count": count}, status=status if count <= times else 200)


async def test_a_final_failure_fails_the_replay_alike_and_is_not_retried(tmp_path: Path, source: Source) -> None:
    source.special["/down"] = broken(503)
    policy = RetryPolicy(attempts=2, backoff=0.01)
    with pytest.raises(StatusError) as recorded:
        await record(nodes(["/down"], []), tmp_path / "r", source.url, retry=policy)
    assert source.counts["GET /down"] == 2
    made = integration(nodes(["/down"], []), base_url=source.url, replay=tmp_path / "r", retry=policy)
    with pytest.raises(StatusError) as replayed:
        await made.run(MemorySink())
    assert str(replayed.value) == str(recorded.value)
    assert replayed.value.response.status_code == 503
    assert replayed.value.response.json() == {"count": 2}
    assert made.report is not None
    assert not made.report.source.retries


async def test_a_request_without_an_answer_fails_the_replay_with_what_was_said_then(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1"
    with pytest.raises(ConnectError) as recorded:
        await record(nodes(["/a?token=s3cr3t-value"], []), tmp_path / "r", url, retry=None)
    made = integration(nodes(["/a?token=s3cr3t-value"], []), base_url=url, replay=tmp_path / "r")
    with pytest.raises(ReplayedFailureError, match="ConnectError, as recorded") as replayed:
        await made.run(MemorySink())
    assert str(recorded.value) in str(replayed.value)
    assert made.report is not None
    assert made.report.loss_count == 1
    assert b"s3cr3t" not in decompressed(tmp_path / "r")


async def test_what_failed_is_sent_again_when_a_run_is_continued(source: Source) -> None:
    source.special["/flaky"] = broken(500, times=1)
    got: list[Any] = []

    def extract_after(names: list[str]) -> Extract:
        return nodes(names, got)

    made = integration(
        extract_after(["/a", "/flaky"]), base_url=source.url, resumable=True, retry=RetryPolicy(attempts=1)
    )
    with pytest.raises(StatusError):
        await made.run(MemorySink())
    await integration(extract_after(["/a", "/flaky", "/b"]), base_url=source.url, resume="last").run(MemorySink())
    assert source.counts == Counter({"GET /a": 1, "GET /flaky": 2, "GET /b": 1})


@pytest.mark.parametrize("way", ["no JSON", "status", "refused", "returned"])
async def test_the_answer_that_ended_a_run_is_asked_for_anew(way: str, source: Source) -> None:
    def answer(_: web.Request, count: int) -> web.Response:
        if count > 1:
            return web.json_response({"fine": True})
        if way == "no JSON":
            return web.Response(text="<html>maintenance</html>")
        return web.json_response({"error": 1}, status={"status": 404, "refused": 403, "returned": 502}[way])

    source.special["/x"] = answer

    async def extract(self: SecodaIntegration) -> None:
        await self.http_get("/a")
        reply = await self.http_get("/x", retry=None)
        if way == "status":
            reply.raise_for_status()
        assert reply.json()["fine"]

    with pytest.raises((RequestError, KeyError)):
        await integration(extract, base_url=source.url, resumable=True).run(MemorySink())
    await integration(extract, base_url=source.url, resume="last").run(MemorySink())
    assert source.counts == Counter({"GET /a": 1, "GET /x": 2})


async def test_a_status_that_the_run_got_over_is_an_answer(source: Source) -> None:
    source.special["/gone"] = broken(404)
    statuses: list[int] = []

    def extracting(fail: bool) -> Extract:
        async def extract(self: SecodaIntegration) -> None:
            try:
                (await self.http_get("/gone")).raise_for_status()
            except StatusError as error:
                statuses.append(error.response.status_code)
            if fail:
                raise RuntimeError("the end")

        return extract

    with pytest.raises(RuntimeError):
        await integration(extracting(True), base_url=source.url, resumable=True).run(MemorySink())
    await integration(extracting(False), base_url=source.url, resume="last").run(MemorySink())
    assert statuses == [404, 404]
    assert source.counts["GET /gone"] == 1


async def test_a_refusal_that_the_run_got_past_is_not_repeated_and_neither_is_what_followed(source: Source) -> None:
    source.special["/x"] = broken(401, times=1)

    def extracting(got: list[int], fail: bool) -> Extract:
        async def extract(self: SecodaIntegration) -> None:
            for _ in range(2):
                reply = await self.http_get("/x")
                got.append(reply.status_code)
                if reply.status_code == 200:
                    break
            if fail:
                raise RuntimeError("the end")

        return extract

    first: list[int] = []
    with pytest.raises(RuntimeError):
        await integration(extracting(first, True), base_url=source.url, resumable=True).run(MemorySink())
    again: list[int] = []
    await integration(extracting(again, False), base_url=source.url, resume="last").run(MemorySink())
    assert (first, again, source.counts["GET /x"]) == ([401, 200], [200], 2)


async def test_what_carries_a_secret_is_kept_without_it_replayed_and_asked_for_anew(
    tmp_path: Path, source: Source
) -> None:
    source.special["/sign_in"] = lambda _, count: web.json_response({"token": f"T0ken-of-sign-in-{count}", "id": 7})

    def extracting(got: list[Any], fail: bool = False) -> Extract:
        async def extract(self: SecodaIntegration) -> None:
            reply = await self.http_post("/sign_in", json={"user": "u", "password": self.credentials["password"]})
            got.append(reply.json())
            token = reply.json()["token"]
            for path in (f"/items?token={token}", f"/{token}/items"):
                answer = await self.http_get(path, headers={"Authorization": f"Bearer {token}"})
                got.append(answer.status_code)
            if fail:
                raise RuntimeError("the end")

        return extract

    settings = {"base_url": source.url, "credentials": {"password": "p4ssw0rd!"}}
    with pytest.raises(RuntimeError):
        await integration(extracting([], fail=True), record=tmp_path / "r", resumable=True, **settings).run(
            MemorySink()
        )
    again: list[Any] = []
    await integration(extracting(again), replay=tmp_path / "r", **settings).run(MemorySink())
    assert again == [{"token": "[redacted]", "id": 7}, 200, 200]
    resumed: list[Any] = []
    await integration(extracting(resumed), resume="last", record=tmp_path / "r2", **settings).run(MemorySink())
    assert resumed == [{"token": "T0ken-of-sign-in-2", "id": 7}, 200, 200]
    for path in (tmp_path / "r", tmp_path / "r2"):
        content = decompressed(path) + path.read_bytes()
        for secret in (b"T0ken-of-sign-in", b"p4ssw0rd", b"Authorization"):
            assert secret not in content


async def test_an_expired_run_lock_missing_and_foreign_journals_are_plain_errors(
    source: Source, state_dir: Path, tmp_path: Path
) -> None:
    await integration(nodes(["/a"], []), base_url=source.url, resumable=True).run(MemorySink())
    delivered = only_run(state_dir).name
    with pytest.raises(RuntimeError):
        await integration(nodes(["/a"], [], fail=True), base_url=source.url).run(MemorySink())
    without = only_run(state_dir).name

    class Other(SecodaIntegration):
        async def extract(self) -> None: ...

    cases: list[tuple[type[SecodaIntegration] | None, str, str]] = [
        (None, "20990101", "there is no run '20990101' in .*those with a journal are: "),
        (None, "../runs", "there is no run '../runs'"),
        (None, delivered, "was delivered, so there is nothing to continue"),
        (None, without, "kept no journal; it takes resumable=True"),
        (Other, delivered, "was delivered"),
        (Other, "last", "there is no run of Other in"),
    ]
    for kind, run, message in cases:
        made = integration(nodes([], []), resume=run) if kind is None else kind(credentials={}, resume=run)
        with pytest.raises(ConfigurationError, match=message):
            await made.run(MemorySink())
    assert {path.name for path in (state_dir / "runs").iterdir()} == {delivered, without}  # a wrong RUN costs nothing
    with pytest.raises(RuntimeError):
        await integration(nodes(["/a"], [], fail=True), base_url=source.url, resumable=True).run(MemorySink())
    failed = only_run(state_dir).name
    with pytest.raises(ConfigurationError, match="is a journal of Made, not of Other"):
        await Other(credentials={}, resume=failed).run(MemorySink())


async def test_a_run_that_goes_on_cannot_be_continued(source: Source) -> None:
    async def extract(self: SecodaIntegration) -> None:
        await self.http_get("/a")
        with pytest.raises(ConfigurationError, match="is still going on; wait for its end"):
            await integration(nodes([], []), resume="last").run(MemorySink())

    await integration(extract, base_url=source.url, resumable=True).run(MemorySink())


async def test_the_continued_run_is_not_pruned_before_it_is_read(source: Source, state_dir: Path) -> None:
    with pytest.raises(RuntimeError):
        await integration(nodes(["/a"], [], fail=True), base_url=source.url, resumable=True).run(MemorySink())
    oldest = only_run(state_dir).name
    for _ in range(2):
        await integration(nodes(["/b"], []), base_url=source.url).run(MemorySink())
    await integration(nodes(["/a"], []), base_url=source.url, resume=oldest).run(MemorySink())
    assert source.counts["GET /a"] == 1


@pytest.mark.parametrize("damage", ["empty", "text", "torn", "bits", "version", "other database"])
async def test_a_damaged_or_foreign_file_is_a_plain_error(damage: str, tmp_path: Path, source: Source) -> None:
    path = tmp_path / "r"
    await record(nodes([f"/{number}" for number in range(200)], []), path, source.url)
    content = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("not a database " * 500)
        case "torn":
            path.write_bytes(content[: len(content) // 2])
        case "bits":
            path.write_bytes(content[:8192] + bytes(len(content) - 8192))
        case "version":
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("pragma user_version = 99")
        case "other database":
            path.unlink()
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("create table x (y)")
    sink = MemorySink()
    with pytest.raises(ConfigurationError, match=r"record it again|is no journal|format 99") as caught:
        await integration(nodes([f"/{number}" for number in range(200)], []), replay=path).run(sink)
    assert str(path) in str(caught.value)
    assert sink.calls == []


async def test_a_missing_recording_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no recording"):
        await integration(nodes([], []), replay=tmp_path / "no").run(MemorySink())


async def test_an_entry_that_is_damaged_is_an_error_of_its_request(tmp_path: Path, source: Source) -> None:
    await record(nodes(["/a"], []), tmp_path / "r", source.url)
    with closing(sqlite3.connect(tmp_path / "r")) as connection:
        connection.execute("update entries set data = x'789c0102'")
        connection.commit()
    with pytest.raises(JournalError, match="is damaged"):
        await integration(nodes(["/a"], []), base_url=source.url, replay=tmp_path / "r").run(MemorySink())


async def test_a_journal_over_its_cap_is_an_error_that_names_the_setting(source: Source) -> None:
    source.special["/big"] = lambda _, count: web.Response(body=random_bytes(100_000))
    got: list[Any] = []

    async def extract(self: SecodaIntegration) -> None:
        for number in range(100):
            reply = await self.http_get("/big", params={"n": number})
            got.append(len(reply.content))

    made = integration(extract, base_url=source.url, resumable=True, max_journal=2**20)
    with pytest.raises(JournalError, match=r"over its cap \(1048576 bytes\).*raise max_journal"):
        await made.run(MemorySink())
    assert 5 <= len(got) <= 10


def random_bytes(count: int) -> bytes:
    import random

    return random.Random(count).randbytes(count)


async def test_a_loss_of_the_journal_is_a_loss_of_the_run_also_where_it_is_caught(source: Source) -> None:
    source.special["/big"] = lambda _, count: web.Response(body=random_bytes(100_000))

    async def extract(self: SecodaIntegration) -> None:
        for number in range(30):
            try:
                await self.http_get("/big", params={"n": number})
            except JournalError:
                return

    with pytest.raises(IncompleteRunError, match="max_journal"):
        await integration(extract, base_url=source.url, resumable=True, max_journal=2**20).run(MemorySink())


def validated(request: web.Request, count: int) -> web.Response:
    headers = {"ETag": '"v1"', "X-Served": str(count)}
    if request.headers.get("If-None-Match") == '"v1"':
        return web.Response(status=304, headers=headers)
    return web.json_response({"count": count}, headers={**headers, "X-Kept": "1"})


async def test_what_has_not_changed_is_taken_from_the_earlier_journal(source: Source) -> None:
    source.special["/v"] = validated
    seen: list[Any] = []

    async def extract(self: SecodaIntegration) -> None:
        for path in ("/v", "/plain"):
            reply = await self.http_get(path)
            seen.append((reply.status_code, reply.json()["count"], reply.headers.get("X-Served")))

    for served in range(3):
        report = await integration(extract, base_url=source.url, conditional=True).run(MemorySink())
        assert report.source.revalidated == (1 if served else 0)
    assert seen == [(200, 1, "1"), (200, 1, None), (200, 1, "2"), (200, 2, None), (200, 1, "3"), (200, 3, None)]


async def test_last_modified_is_a_validator_too_and_the_callers_own_condition_stands(source: Source) -> None:
    moment = "Mon, 01 Jan 2024 00:00:00 GMT"
    asked: list[str | None] = []

    def answer(request: web.Request, count: int) -> web.Response:
        asked.append(request.headers.get("If-Modified-Since"))
        status = 304 if asked[-1] else 200
        return web.Response(status=status, headers={"Last-Modified": moment}, text="" if status == 304 else "{}")

    source.special["/m"] = answer
    statuses: list[int] = []

    def extracting(**options: Any) -> Extract:
        async def extract(self: SecodaIntegration) -> None:
            statuses.append((await self.http_get("/m", **options)).status_code)

        return extract

    for options in ({}, {}, {"headers": {"If-Modified-Since": "Tue, 02 Jan 2024 00:00:00 GMT"}}):
        await integration(extracting(**options), base_url=source.url, conditional=True).run(MemorySink())
    assert statuses == [200, 200, 304]
    assert asked == [None, moment, "Tue, 02 Jan 2024 00:00:00 GMT"]


async def test_what_was_kept_without_its_secret_is_never_revalidated(source: Source) -> None:
    source.special["/v"] = lambda request, count: web.json_response(
        {"token": "a-very-secret-token-value"}, headers={"ETag": '"v1"'}
    )
    for _ in range(2):
        await integration(nodes(["/v"], []), base_url=source.url, conditional=True).run(MemorySink())
    assert all("If-None-Match" not in request.headers for request in source.seen)


class Flaky(Layer):
    """Loses every second answer on its way."""

    count = 0

    @override
    async def send(self, request: Request) -> Response:
        response = await self._inner.send(request)
        self.count += 1
        if self.count % 2:
            raise ConnectError(f"{request}: injected", request=request)
        return response


async def test_limits_and_injected_faults_work_on_a_recording(tmp_path: Path, source: Source) -> None:
    first: list[Any] = []
    await record(nodes(["/a", "/a", "/b"], first), tmp_path / "r", source.url)
    again: list[Any] = []
    made = integration(
        nodes(["/a", "/a", "/b"], again),
        base_url=source.url,
        transport=Flaky(ReplayTransport(tmp_path / "r")),
        retry=RetryPolicy(attempts=2, backoff=0.001),
        rate_limits={source.url.removeprefix("http://"): RateLimit(1000)},
    )
    report = await made.run(MemorySink())
    assert again == first
    assert report.source.retries == {"ConnectError": 3}
    await made.run(MemorySink())  # the same transport serves a later run from the beginning
    assert again == first * 2


async def test_a_replay_transport_alone_gives_the_nth_answer(tmp_path: Path, source: Source) -> None:
    from yarl import URL

    await record(nodes(["/a", "/a"], []), tmp_path / "r", source.url)
    transport = ReplayTransport(str(tmp_path / "r"))
    request = Request("GET", URL(f"{source.url}/a"))
    counts = [(await transport.send(request)).json()["count"] for _ in range(2)]
    with pytest.raises(ReplayError):
        await transport.send(request)
    await transport.aclose()
    await transport.aclose()
    assert counts == [1, 2]


async def test_a_transport_and_a_replay_are_one_too_many(tmp_path: Path, source: Source) -> None:
    await record(nodes(["/a"], []), tmp_path / "r", source.url)
    made = integration(nodes([], []), transport=ReplayTransport(tmp_path / "r"), replay=tmp_path / "r")
    with pytest.raises(ConfigurationError, match="give transport= or replay, not both"):
        await made.run(MemorySink())


async def test_a_streamed_answer_is_continued_replayed_and_asked_for_again_where_it_was_left(
    tmp_path: Path, source: Source
) -> None:
    rows = [{"id": number, "text": "x" * 90} for number in range(5_000)]
    body = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    for path in ("/export", "/left"):
        source.special[path] = lambda *_: web.Response(body=body)

    def extracting(got: list[Any], fail: bool) -> Extract:
        async def extract(self: SecodaIntegration) -> None:
            async with self.http_stream("GET", "/export") as reply:
                got.append([row async for row in reply.aiter_ndjson()])
            async with self.http_stream("GET", "/left", optional=True) as reply:
                async for row in reply.aiter_ndjson():
                    got.append(row)
                    break
            if fail:
                raise RuntimeError("the end")

        return extract

    first: list[Any] = []
    with pytest.raises(RuntimeError):
        await integration(extracting(first, True), base_url=source.url, resumable=True).run(MemorySink())
    again: list[Any] = []
    made = integration(extracting(again, False), base_url=source.url, resume="last", record=tmp_path / "r")
    await made.run(MemorySink())
    assert first == again == [rows, rows[0]]
    assert source.counts == Counter({"GET /export": 1, "GET /left": 2})


async def test_every_hop_of_a_redirect_is_an_exchange(tmp_path: Path, source: Source) -> None:
    source.special["/from"] = lambda request, _: web.Response(
        status=302, headers={"Location": f"/to?token={request.query['token']}&n=1"}
    )

    def extracting(got: list[Any], secret: str) -> Extract:
        async def extract(self: SecodaIntegration) -> None:
            reply = await self.http_get(f"/from?token={secret}", follow_redirects=True)
            got.append(reply.json()["count"])

        return extract

    first: list[Any] = []
    await record(extracting(first, "sign-in-token-1"), tmp_path / "r", source.url)
    assert b"sign-in-token-1" not in decompressed(tmp_path / "r").replace(b'"GET /to?token=sign-in-token-1&n=1"', b"")
    again: list[Any] = []
    report = await integration(extracting(again, "x"), base_url=source.url, replay=tmp_path / "r").run(MemorySink())
    assert (again, report.source.served) == (first, 2)
