"""Whatever happens to an upload, the workspace has one new sync or none, and the tool says truthfully which."""

from typing import Any

import pytest
from typing_extensions import override

from secoda_async import Resource, RetryPolicy, SecodaIntegration, SecodaSink, Timeout, UploadError
from secoda_async.report import Delivery
from secoda_async.testing import FakeWorkspace
from tests.upload_proxy import (
    Fault,
    answer_cut_in_the_body,
    answer_cut_in_the_head,
    answered,
    answered_at_once,
    cut_at,
    never_answered,
    passed_on,
    upload_proxy,
)

KEY = "key-of-the-workspace"
OLD = {"old", "kept"}
LARGE = 30  # records of a MiB each: more than all sockets on the way hold, so a tenth of it is not with the workspace
NEW = {"kept", *(f"t{n}" for n in range(LARGE))}


class Source(SecodaIntegration):
    """Declares tables of a size."""

    first_sync = True
    allow_stale = ("*",)
    ids: set[str]
    size: int

    @override
    async def extract(self) -> None:
        for id_ in sorted(self.ids):
            await self.declare_resource(Resource(entity_type="table", databuilder_id=id_, description="d" * self.size))


def source(ids: set[str], size: int) -> Source:
    made = Source(credentials={})
    made.ids, made.size = ids, size
    return made


async def met(*faults: Fault, size: int = 10, attempts: int = 3) -> tuple[Delivery, int, UploadError | None, int]:
    """What the report says, how many syncs there were, the error, and how often it was sent.

    A sync that no fault meets comes before it, so that what is held is known and need not be asked for.
    """
    async with FakeWorkspace(api_key=KEY) as workspace, upload_proxy(workspace.url, passed_on, *faults) as proxy:
        id_ = workspace.create_integration("ours")
        options: dict[str, Any] = {
            "api_key": KEY,
            "integration_id": id_,
            "base_url": proxy.url,
            "retry": RetryPolicy(attempts=attempts, backoff=0.001, unspecified_wait=0.001),
            "timeout": Timeout(read=0.5, total=None),
        }
        await source(OLD, 10).run(SecodaSink(**options))
        run = source(NEW, size)
        error = None
        try:
            await run.run(SecodaSink(**options))
        except UploadError as raised:
            error = raised
        assert run.report is not None
        delivery = run.report.delivery
        syncs = len(workspace.syncs(id_)) - 1
        assert set(workspace.resources(id_)) == (NEW if syncs else OLD), "a sync is taken whole or not at all"
    assert (error is None) == (delivery is Delivery.DELIVERED)
    assert syncs == {Delivery.DELIVERED: 1, Delivery.NOTHING: 0}.get(delivery, syncs)
    if error is not None:
        assert error.ambiguous == (delivery is Delivery.UNCERTAIN)
        assert ("may or may not have been taken" in str(error)) == error.ambiguous
    return delivery, syncs, error, proxy.uploads - 1


@pytest.mark.parametrize("tenth", range(9))
async def test_a_connection_that_is_cut_within_the_body_is_one_sync_after_all(tenth: int) -> None:
    delivery, syncs, _, sent = await met(cut_at(tenth / 10), size=2**20)
    assert (delivery, syncs, sent) == (Delivery.DELIVERED, 1, 2)


@pytest.mark.parametrize("tenth", [1, 5])
async def test_a_connection_that_is_always_cut_within_the_body_is_no_sync(tenth: int) -> None:
    delivery, syncs, error, sent = await met(*[cut_at(tenth / 10)] * 9, size=2**20)
    assert (delivery, syncs, sent) == (Delivery.NOTHING, 0, 3)
    assert "was not taken" in str(error)


@pytest.mark.parametrize("share", [0.9, 0.999])
async def test_a_connection_that_is_cut_when_the_end_is_on_its_way_may_be_either(share: float) -> None:
    delivery, syncs, _, sent = await met(cut_at(share), size=2**20)
    assert (delivery, syncs, sent) in {(Delivery.DELIVERED, 1, 2), (Delivery.UNCERTAIN, 0, 1)}


TAKEN_BUT_NOT_TOLD = [
    cut_at(1.0),
    never_answered,
    answer_cut_in_the_head,
    answer_cut_in_the_body,
    answered("500 Internal Server Error", taken=True),
    answered("502 Bad Gateway", taken=True),
]


@pytest.mark.parametrize("fault", TAKEN_BUT_NOT_TOLD)
async def test_a_sync_that_was_taken_and_not_answered_is_told_as_uncertain_and_not_sent_again(fault: Fault) -> None:
    delivery, syncs, _, sent = await met(fault)
    assert (delivery, syncs, sent) == (Delivery.UNCERTAIN, 1, 1)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable", "504 Gateway Timeout"])
async def test_a_5xx_that_took_nothing_is_told_as_uncertain_too_since_nobody_can_know(status: str) -> None:
    delivery, syncs, error, sent = await met(answered(status))
    assert (delivery, syncs, sent) == (Delivery.UNCERTAIN, 0, 1)
    assert "told by the proxy" in str(error)


@pytest.mark.parametrize(
    "busy", [["429 Too Many Requests"], ["429 Too Many Requests", "Retry-After: 0"], ["503 Busy", "Retry-After: 0"]]
)
async def test_a_workspace_that_is_busy_is_asked_again(busy: list[str]) -> None:
    delivery, syncs, _, sent = await met(answered(*busy), answered(*busy))
    assert (delivery, syncs, sent) == (Delivery.DELIVERED, 1, 3)


async def test_a_workspace_that_stays_busy_has_no_sync() -> None:
    delivery, syncs, error, sent = await met(*[answered("429 Too Many Requests")] * 9)
    assert (delivery, syncs, sent) == (Delivery.NOTHING, 0, 3)
    assert "30 such calls a minute" in str(error)


@pytest.mark.parametrize("size", [10, 2**20])
async def test_a_sync_that_is_refused_as_too_large_while_it_is_sent_is_no_sync(size: int) -> None:
    delivery, syncs, error, _ = await met(answered_at_once, answered_at_once, answered_at_once, size=size)
    assert (delivery, syncs) == (Delivery.NOTHING, 0)
    assert error is not None


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_no_sync_and_is_named(status: str) -> None:
    delivery, syncs, error, sent = await met(answered(status, "Location: https://elsewhere.example/x/"))
    assert (delivery, syncs, sent) == (Delivery.NOTHING, 0, 1)
    assert "elsewhere.example" in str(error)
    assert "never followed" in str(error)


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found"])
async def test_a_refusal_is_no_sync(status: str) -> None:
    delivery, syncs, error, sent = await met(answered(status))
    assert (delivery, syncs, sent) == (Delivery.NOTHING, 0, 1)
    assert status[:3] in str(error)
