"""The layer that keeps exchanges: what is committed when, what a cancelled or streamed one leaves, what it costs."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import anyio
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from secoda_async.counters import Traffic
from secoda_async.errors import BrokenExchangeError, JournalError, ReplayError
from secoda_async.network import journal_file
from secoda_async.network.journal import Journal, Journals
from secoda_async.network.journal_file import JournalFile, Use
from secoda_async.network.message import Request, Response, Transport
from secoda_async.network.replay import ReplayTransport
from secoda_async.network.stream import StreamedResponse
from secoda_async.redact import MASK, Redactor
from tests.network.fake_transport import Answer, FakeTransport

T = TypeVar("T")


def get(path: str = "/a", *, stream: bool = False) -> Request:
    return Request("GET", URL(f"http://x{path}"), stream=stream)


async def in_thread(call: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(call)


class Made:
    """A journal around a fake."""

    def __init__(self, file: JournalFile, answer: Answer) -> None:
        self.file = file
        self.inner = FakeTransport(answer)
        self.traffic = Traffic()
        self.journal = Journal(self.inner, Journals(file), redact=Redactor(["kn0wn-s3cret"]), traffic=self.traffic)

    async def committed(self, table: str = "entries") -> int:
        """How many rows another process would find."""
        return await in_thread(partial(count_rows, self.file.path, table))


def count_rows(path: Path, table: str) -> int:
    with JournalFile.open(path) as file:
        return int(file._one(f"select count(*) from {table}"))


@asynccontextmanager
async def made_at(path: Path, answer: Answer, cap: int = 2**30) -> AsyncIterator[Made]:
    """A journal in a file of its own."""
    file = await in_thread(partial(JournalFile.create, path, integration="Test", run="1", cap=cap))
    made = Made(file, answer)
    try:
        yield made
    finally:
        await made.journal.aclose()
        await in_thread(file.close)


def echo(request: Request) -> Response:
    return Response(request, 200, content=str(request.url).encode())


async def test_an_answer_is_handed_on_when_another_process_would_find_it(tmp_path: Path) -> None:
    async with made_at(tmp_path / "j", echo) as made:
        for number in range(1, 4):
            response = await made.journal.send(get(f"/{number}"))
            assert await made.committed() == number
            assert response.recorded == number
    assert made.traffic.recorded == 3


async def test_answers_that_come_together_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    transact = JournalFile.transact

    def counting(self: JournalFile, steps: Any) -> list[Any]:
        sizes.append(len(steps))
        return transact(self, steps)

    monkeypatch.setattr(JournalFile, "transact", counting)
    async with made_at(tmp_path / "j", echo) as made:
        made.inner.hold = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(made.journal.send(get(f"/{number}")))
            await asyncio.sleep(0)
            made.inner.hold.set()
        assert sum(sizes) == 200
        assert len(sizes) <= 3


async def test_order_of_sending_is_the_order_of_a_replay_whatever_comes_back_first(tmp_path: Path) -> None:
    gates: list[asyncio.Event] = []

    class Reversed(Transport):
        async def send(self, request: Request) -> Response:
            number = len(gates)
            gates.append(asyncio.Event())
            await gates[number].wait()
            return Response(request, 200, content=str(number).encode())

    async with made_at(tmp_path / "j", echo) as made:
        made.journal._inner = Reversed()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(made.journal.send(get())) for _ in range(5)]
            await anyio.wait_all_tasks_blocked()
            assert len(gates) == 5
            for gate in reversed(gates):
                gate.set()
                await anyio.wait_all_tasks_blocked()
        assert [task.result().content for task in tasks] == [b"0", b"1", b"2", b"3", b"4"]
    replay = ReplayTransport(tmp_path / "j")
    assert [(await replay.send(get())).content for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    await replay.aclose()


async def test_a_cancelled_request_leaves_nothing_and_harms_no_other(tmp_path: Path) -> None:
    async with made_at(tmp_path / "j", echo) as made:
        made.inner.hold = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            cancelled = group.create_task(made.journal.send(get("/1")))
            other = group.create_task(made.journal.send(get("/2")))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.sleep(0)
            made.inner.hold.set()
        assert other.result().content == b"http://x/2"
        assert await made.committed() == 1


async def test_one_that_is_cancelled_while_it_is_committed_harms_no_other(tmp_path: Path) -> None:
    async with made_at(tmp_path / "j", echo) as made:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(made.journal.send(get(f"/{number}"))) for number in range(10)]
            await asyncio.sleep(0)  # they wait for the commit
            for task in tasks[::2]:
                task.cancel()
        assert [task.result().recorded for task in tasks[1::2]] == [2, 4, 6, 8, 10]
        assert await made.committed() == 10


async def test_a_disk_that_fails_is_an_error_of_every_request_that_waits_and_closing_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with made_at(tmp_path / "j", echo) as made:

        def failing(*_: object, **__: object) -> None:
            raise OSError("the disk is on fire")

        monkeypatch.setattr(JournalFile, "write", failing)
        done = await asyncio.gather(*[made.journal.send(get(f"/{n}")) for n in range(5)], return_exceptions=True)
        assert all(isinstance(one, JournalError) and "on fire" in str(one) for one in done)
        monkeypatch.undo()
        assert (await made.journal.send(get())).content == b"http://x/a"


async def test_a_failure_that_cannot_be_recorded_is_raised_as_itself(tmp_path: Path) -> None:
    def answer(request: Request) -> Exception:
        return BrokenExchangeError(f"{request} failed", request=request)

    async with made_at(tmp_path / "j", answer, cap=1) as made:
        with pytest.raises(BrokenExchangeError) as caught:
            await made.journal.send(get())
        assert "max_journal" in caught.value.__notes__[0]


class Body:
    """A streamed answer, which knows whether it was closed."""

    def __init__(self, pieces: list[bytes], error: bool = False, headers: dict[str, str] | None = None) -> None:
        self.left = list(pieces)
        self.error = error
        self.headers = CIMultiDictProxy(CIMultiDict(headers or {"Content-Type": "text/plain"}))
        self.closed = 0

    def __call__(self, request: Request) -> Response:
        self.request = request
        return StreamedResponse(request, 200, headers=self.headers, pieces=self.pieces(), close=self.close)

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self.left:
            yield piece
        if self.error:
            raise BrokenExchangeError("it broke off", request=self.request)

    async def close(self) -> None:
        self.closed += 1


async def read(response: Response) -> bytes:
    assert isinstance(response, StreamedResponse)
    try:
        return b"".join([piece async for piece in response.aiter_bytes()])
    finally:
        await response.aclose()


LONG = [f"line {number} of a long body\n".encode() * 500 for number in range(150)]  # 2 MB


@pytest.mark.parametrize("pieces", [[], [b"one"], LONG])
async def test_a_streamed_answer_is_replayed_as_one(pieces: list[bytes], tmp_path: Path) -> None:
    body = Body(pieces, headers={"X-Of": "a stream"})
    async with made_at(tmp_path / "j", body) as made:
        response = await made.journal.send(get(stream=True))
        assert await made.committed() == 0
        assert await read(response) == b"".join(pieces)
        assert await made.committed() == 1
        assert response.recorded == 1
    assert body.closed == 1
    replay = ReplayTransport(tmp_path / "j")
    again = await replay.send(get(stream=True))
    assert again.headers["x-of"] == "a stream"
    assert await read(again) == b"".join(pieces)
    await replay.aclose()
    whole = await replay.send(get())  # asked for as a whole, it is one
    assert whole.content == b"".join(pieces)
    await replay.aclose()


async def test_a_stream_is_held_in_bounded_memory(tmp_path: Path) -> None:
    import tracemalloc

    piece = b"a line of a very long body\n" * 2_500  # 67 KB
    body = Body([piece] * 600)  # 40 MB
    async with made_at(tmp_path / "j", body) as made:
        response = await made.journal.send(get(stream=True))
        assert isinstance(response, StreamedResponse)
        tracemalloc.start()
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        await response.aclose()
    assert size == 600 * len(piece)
    assert peak < 8 * 2**20


@pytest.mark.parametrize("way", ["left early", "broken"])
async def test_a_stream_that_was_not_read_to_its_end_is_not_kept(way: str, tmp_path: Path) -> None:
    body = Body(LONG, error=way == "broken")
    async with made_at(tmp_path / "j", body) as made:
        response = await made.journal.send(get(stream=True))
        if way == "broken":
            with pytest.raises(BrokenExchangeError):
                await read(response)
        else:
            assert isinstance(response, StreamedResponse)
            pieces = response.aiter_bytes()
            for _ in range(100):
                await anext(pieces)
            await response.aclose()
    for rows in ("entries", "pieces"):
        assert await in_thread(partial(count_rows, tmp_path / "j", rows)) == 0


async def test_a_stream_with_a_credential_is_kept_without_it(tmp_path: Path) -> None:
    async with made_at(tmp_path / "j", Body([*LONG, b'{"token": "abc', b'def"} kn0wn-s3cret\n', *LONG])) as made:
        await read(await made.journal.send(get(stream=True)))
        assert (await in_thread(partial(made.file.read, 1))).use is Use.LIVE
    replay = ReplayTransport(tmp_path / "j")
    kept = await read(await replay.send(get(stream=True)))
    assert kept == b"".join([*LONG, f'{{"token": "{MASK}"}} {MASK}\n'.encode(), *LONG])
    await replay.aclose()


async def test_a_binary_stream_with_a_credential_is_not_kept_and_its_replay_says_so(tmp_path: Path) -> None:
    noise = [bytes(range(256)) * 400] * 10
    async with made_at(tmp_path / "j", Body([*noise, b"kn0wn-s3cret", *noise])) as made:
        await read(await made.journal.send(get(stream=True)))
        assert await made.committed("pieces") == 0
    replay = ReplayTransport(tmp_path / "j")
    with pytest.raises(ReplayError, match="could not be masked, so the recording has no body"):
        await replay.send(get(stream=True))
    await replay.aclose()


async def test_closing_twice_and_without_a_request_does_no_harm(tmp_path: Path) -> None:
    async with made_at(tmp_path / "j", echo) as made:
        await made.journal.aclose()
        await made.journal.aclose()


@pytest.mark.parametrize("way", ["create", "continued"])
def test_a_process_killed_while_it_makes_a_journal_leaves_none_or_a_whole_one(way: str, tmp_path: Path) -> None:
    JournalFile.create(tmp_path / "old", integration="Test", run="1", cap=2**30).close()
    folder = tmp_path / "run"
    folder.mkdir()
    left: list[Path] = []

    def leave(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and folder.is_dir():
            left.append(shutil.copytree(folder, tmp_path / f"left {len(left)}"))
        return leave

    def made(frame: FrameType, event: str, argument: object) -> Any:
        return leave(frame, event, argument) if frame.f_code.co_filename == journal_file.__file__ else None

    tracing = sys.gettrace()
    sys.settrace(made)
    try:
        if way == "create":
            file = JournalFile.create(folder / "journal", integration="Test", run="2", cap=2**30)
        else:
            file = JournalFile.continued(tmp_path / "old", folder / "journal", integration="Test", run="2", cap=2**30)
    finally:
        sys.settrace(tracing)
    file.close()

    found = [one / "journal" for one in left if (one / "journal").exists()]
    assert 0 < len(found) < len(left)
    for path in found:
        JournalFile.open(path, integration="Test").close()
