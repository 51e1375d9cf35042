"""A split upload sends every record once, resources first, and only where nothing is removed."""

import asyncio
import email.policy
import tempfile
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import ConfigurationError, RateLimit, SecodaSink, UploadError
from secoda_async.sinks.portions import portions
from secoda_async.sinks.secoda import _LIMITS
from secoda_async.testing import FakeWorkspace
from tests.server import serve
from tests.test_diff import dataset, edge, resource
from tests.test_secoda_sink import ID, KEY, Impatient

RESOURCES = [resource(f"t{n}") for n in range(10)]
LINEAGE = [edge(f"t{n}", f"t{n + 1}") for n in range(5)]


def batched(base_url: str, **options: Any) -> SecodaSink:
    return Impatient(base_url, **{"batched": True, "staling_is_off": True, "batch_records": 4, **options})


@given(
    lengths=st.lists(st.integers(1, 30)),
    most_bytes=st.integers(1, 40),
    most_lines=st.integers(1, 5),
    last=st.booleans(),
)
def test_portions_are_whole_lines_that_make_up_the_file(
    lengths: list[int], most_bytes: int, most_lines: int, last: bool
) -> None:
    content = b"\n".join(b"x" * (length - 1) for length in lengths) + (b"\n" if lengths and last else b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f")
        path.write_bytes(content)
        found = list(portions(path, most_bytes=most_bytes, most_lines=most_lines))
    pieces = [content[one.offset : one.offset + one.size] for one in found]
    assert b"".join(pieces) == content
    for piece in pieces:
        lines = piece.splitlines(keepends=True)
        assert 0 < len(lines) <= most_lines
        assert len(piece) <= most_bytes or len(lines) == 1
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])


def test_batched_without_staling_off_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigurationError, match="each would remove what the others brought"):
        SecodaSink(api_key=KEY, integration_id=ID, batched=True)


@pytest.mark.parametrize("name", ["batch_bytes", "batch_records"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True, None])
def test_a_size_that_is_none_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        batched("us", **{name: value})


def test_writing_requests_are_held_to_the_documented_limit() -> None:
    assert _LIMITS["POST *"] == RateLimit(30, per=60)


async def test_every_record_arrives_once_and_resources_before_lineage(tmp_path: Path) -> None:
    async with FakeWorkspace(api_key=KEY, staling=False) as workspace:
        id_ = workspace.create_integration("ours")
        sink = batched(workspace.url, integration_id=id_)
        assert not sink.removes_absent
        await sink.upload(dataset(tmp_path / "a", RESOURCES, LINEAGE))
        assert list(workspace.resources(id_).values()) == RESOURCES
        assert workspace.lineage(id_) == LINEAGE
        sent = [(sync.resource_lines, sync.lineage_lines) for sync in workspace.syncs(id_)]
    assert sent == [(4, 0), (4, 0), (2, 0), (0, 4), (0, 1)]


async def test_each_request_has_both_files_in_file_order(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    async def keep(request: web.Request) -> web.StreamResponse:
        bodies.append(f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode() + await request.read())
        return web.Response()

    async with serve(keep) as url:
        await batched(url).upload(dataset(tmp_path / "a", RESOURCES, LINEAGE))
    files = []
    for body in bodies:
        parts = list(BytesParser(policy=email.policy.HTTP).parsebytes(body).iter_parts())
        assert [part.get_param("name", header="content-disposition") for part in parts] == [
            "resources_file",
            "lineages_file",
        ]
        files.append([part.get_payload(decode=True) for part in parts])
    for number, name in enumerate(("resources", "lineage")):
        assert b"".join(each[number] for each in files) == (tmp_path / "a" / f"{name}.jsonl").read_bytes()


async def test_an_empty_dataset_is_still_one_request(tmp_path: Path) -> None:
    async with FakeWorkspace(api_key=KEY, staling=False) as workspace:
        id_ = workspace.create_integration("ours")
        await batched(workspace.url, integration_id=id_).upload(dataset(tmp_path / "a"))
        [sync] = workspace.syncs(id_)
        assert (sync.resource_lines, sync.lineage_lines) == (0, 0)


@pytest.mark.parametrize(("failing", "status", "ambiguous"), [(1, 400, False), (3, 400, True), (3, 500, True)])
async def test_a_failure_in_the_middle_says_how_much_was_taken(
    tmp_path: Path, failing: int, status: int, ambiguous: bool
) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        await request.read()
        asked += 1
        return web.Response(status=status if asked == failing else 200, text="bad record")

    async with serve(answer) as url:
        with pytest.raises(UploadError) as caught:
            await batched(url).upload(dataset(tmp_path / "a", RESOURCES, LINEAGE))
    assert asked == failing, "the rest is not sent"
    assert (caught.value.status, caught.value.ambiguous) == (status, ambiguous)
    for part in (f"request {failing} of 5", f"{failing - 1} of 5 requests were taken", "bad record"):
        assert part in str(caught.value)


async def test_progress_is_of_all_requests_together(tmp_path: Path) -> None:
    sizes: list[int] = []
    sent: list[int] = []

    async def take(request: web.Request) -> web.StreamResponse:
        sizes.append(len(await request.read()))
        sent.append(sink._traffic.body_sent)
        return web.Response()

    async with serve(take) as url:
        sink = batched(url)
        await sink.upload(dataset(tmp_path / "a", RESOURCES, LINEAGE))
    assert sink._traffic.body_sent == sink._traffic.body_size == sum(sizes)
    assert sent == sorted(sent)
    assert sent[2] > sizes[0] + sizes[1]


async def test_cancelling_between_requests_sends_no_more(tmp_path: Path) -> None:
    reached = asyncio.Event()
    asked = 0

    async def hang(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        reached.set()
        await asyncio.Event().wait()
        return web.Response()

    async with serve(hang) as url, asyncio.TaskGroup() as group:
        upload = group.create_task(batched(url).upload(dataset(tmp_path / "a", RESOURCES)))
        await reached.wait()
        upload.cancel()
    assert upload.cancelled()
    assert asked == 1
