"""The laboratory finds each kind of bug that loses data without a word, and passes what is well."""

import contextlib
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from typing_extensions import override

from secoda_async import (
    ConfigurationError,
    GraphQLCursor,
    OAuth2ClientCredentials,
    Pager,
    ReplayTransport,
    Request,
    RequestError,
    SecodaIntegration,
    Skip,
    StatusError,
    Transport,
)
from secoda_async.testing import FakeSource, FaultLab, LabReport, Listing, Outcome, run_extract_sync
from secoda_async.testing.fault_plan import FAULTS, KILL
from secoda_async.testing.pages import PAGE_FAULTS
from tests.integrations import edge, integration, table
from tests.testing import flawed
from tests.testing.test_fake_source import PAGERS, ROWS

NO_KILL = (KILL,)


def lab(kind: type[SecodaIntegration], source: Any = None, **options: Any) -> FaultLab:
    return FaultLab(
        lambda transport: kind(credentials={}, transport=transport), source or flawed.source(), steps=3, **options
    )


def of(extract: Callable[[Any], Any], source: FakeSource, **options: Any) -> FaultLab:
    settings = options.pop("settings", {})

    def make(transport: Transport) -> SecodaIntegration:
        return integration(extract, base_url=flawed.BASE, transport=transport, **settings)

    return FaultLab(make, source, **{"steps": 3, "without": NO_KILL, **options})


@pytest.mark.parametrize("kind", [flawed.Mended, flawed.MendedNumbers])
def test_what_is_well_passes_every_experiment(kind: type[SecodaIntegration]) -> None:
    report = lab(kind).run_sync()
    report.assert_ok()
    made = {one.fault for one in report.experiments}
    assert made >= FAULTS - {"credentials that are refused", *PAGE_FAULTS}
    assert made >= {"a repeated page", "a missing page", "a short page", "an empty page"}
    assert (report.requests, report.resources) == (10, 7)
    assert Outcome.NOT_MET not in {one.outcome for one in report.experiments}
    assert {one.outcome for one in report.experiments if one.fault == KILL} == {Outcome.SAME}


LOST = "1 lost, of 7 resources, so the next sync would remove them: table"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (flawed.SwallowedStatus, {"500 for good": LOST, "503": LOST, "429": LOST}),
        (flawed.SwallowedError, {"500 for good": LOST, "no connection for good": LOST}),
        (flawed.SwallowedRefusal, {"credentials that are refused": LOST}),
        (flawed.SwallowedParseError, {"a body that is cut": LOST}),
        (flawed.PageLoop, {"a repeated page": "it does not end: 161 requests, 10 without the fault"}),
        (flawed.StopsAtShortPage, {"a short page": "lost, of 7", "a repeated page": "duplicates: table"}),
        (flawed.StopsAtMissingPage, {"a missing page": "lost, of 7"}),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else "",
)
def test_a_bug_of_each_kind_is_found(kind: type[SecodaIntegration], expected: dict[str, str]) -> None:
    report = lab(kind, without=NO_KILL).run_sync()
    for fault, told in expected.items():
        found = [one for one in report.defects if one.fault == fault]
        assert any(told in one.told for one in found), fault
        assert f"DEFECT: {fault} at GET /" in str(report)
    with pytest.raises(AssertionError, match=r"defects? in \d+ experiments:\n- .* at GET /"):
        report.assert_ok()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process can be copied here")
def test_what_does_not_survive_a_kill_is_found(tmp_path: Path) -> None:
    def make(transport: Transport) -> SecodaIntegration:
        return flawed.LosesItsPlace(notes=anyio.Path(tmp_path / "notes"), transport=transport, credentials={})

    report = FaultLab(make, flawed.source(), without=FAULTS - {KILL}).run_sync()
    assert {one.fault for one in report.defects} == {KILL}
    assert "lost, of 7 resources" in report.defects[0].told


def test_what_depends_on_the_order_of_answers_is_found() -> None:
    seen: list[str] = []

    async def extract(self: Any) -> None:
        seen.clear()

        async def one(name: str) -> None:
            await self.http_get(f"/tables/{name}")
            seen.append(name)
            if len(seen) == 1 or seen[-2] < name:
                await self.declare_resource(table(name))

        await self.for_each(flawed.TABLES, one, concurrency=7)

    report = of(extract, flawed.source(), without=FAULTS - {"answers in another order"}).run_sync()
    assert not report.ok


def test_a_recording_will_do_as_source(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    run_extract_sync(flawed.Mended(credentials={}, transport=flawed.source(), record=path))
    report = lab(flawed.Mended, path).run_sync()
    report.assert_ok()
    assert {one.outcome for one in report.experiments if one.fault == "credentials that are refused"} == {
        Outcome.FAILED
    }
    found = lab(flawed.SwallowedStatus, str(path), without=FAULTS - {"500 for good"}).run_sync()
    assert "500 for good" in {one.fault for one in found.defects}


def test_a_function_may_give_the_source() -> None:
    lab(flawed.Mended, flawed.source, without=FAULTS - {"503"}).run_sync().assert_ok()


async def test_a_loop_may_run_meanwhile() -> None:
    with anyio.fail_after(60):
        report = await lab(flawed.Mended, without=FAULTS - {"503", KILL}).run()
    report.assert_ok()


def test_the_same_seed_is_the_same_experiments() -> None:
    def told(report: LabReport) -> list[tuple[Any, ...]]:
        return [(one.fault, one.at, one.outcome) for one in report.experiments]

    most = FAULTS - {"500 for good", "a repeated page", "faults everywhere"}
    first, again, other = (lab(flawed.Mended, seed=seed, without=most).run_sync() for seed in (1, 1, 2))
    assert told(first) == told(again) != told(other)


@pytest.mark.parametrize(("pager", "options", "at"), PAGERS, ids=lambda one: type(one).__name__)
def test_a_listing_that_is_paginated_passes_whatever_happens_to_its_pages(
    pager: Pager, options: dict[str, Any], at: str
) -> None:
    source = FakeSource()
    source.route(options.get("method", pager.method), "/rows", Listing(ROWS, pager, at=at, size=2))
    where = {} if isinstance(pager, GraphQLCursor) else {"items": at}

    async def extract(self: Any) -> None:
        async for row in self.paginate("/rows", pager, **where, **options):
            await self.declare_resource(table(row["id"]))

    report = of(extract, source, without=FAULTS - {*PAGE_FAULTS}, page_params=["seite"]).run_sync()
    report.assert_ok()
    if report.requests > 1:
        assert {one.fault for one in report.experiments} >= {"a repeated page"}


def test_credentials_that_are_renewed_are_survived() -> None:
    source = flawed.source()
    tokens = iter(range(1_000_000))

    def token(request: Request) -> Any:
        return {"access_token": f"t0ken-{next(tokens)}", "expires_in": 3600}

    source.post("https://auth.test/token", token)

    class Renewing(flawed.Mended):
        @override
        def default_auth(self) -> OAuth2ClientCredentials:
            return OAuth2ClientCredentials("https://auth.test/token", "an id", "a secret")

    report = lab(Renewing, source, without=NO_KILL).run_sync()
    report.assert_ok()
    refused = [one for one in report.experiments if one.fault == "credentials that are refused"]
    assert [one.outcome for one in refused if "/tables" in one.at] == [Outcome.SAME, Outcome.SAME]
    assert [one.outcome for one in refused if "/token" in one.at] == [Outcome.FAILED]


def test_what_is_streamed_is_disturbed_too() -> None:
    source = FakeSource()
    source.get("/export", content=b"".join(b'{"id": "row %d"}\n' % number for number in range(20)))

    async def extract(self: Any) -> None:
        with contextlib.suppress(RequestError):
            async with self.http_stream("GET", "/export") as reply:
                async for row in reply.aiter_ndjson():
                    await self.declare_resource(table(row["id"]))

    report = of(extract, source, without=FAULTS - {"503", "a body that is cut", "a body that breaks off"}).run_sync()
    assert {one.fault: one.outcome for one in report.experiments} == {
        "503": Outcome.SAME,
        "a body that is cut": Outcome.FAILED,
        "a body that breaks off": Outcome.FAILED,
    }


def test_a_run_that_says_that_something_is_missing_is_no_defect() -> None:
    async def extract(self: Any) -> None:
        await self.declare_resource(table("all"))
        for name in flawed.TABLES:
            async with self.scope(name, on_error=Skip(500)):
                await self.http_get(f"/tables/{name}")
                await self.declare_resource(table(name))

    report = of(extract, flawed.source(), without=FAULTS - {"500 for good"}).run_sync()
    assert Outcome.DEGRADED in {one.outcome for one in report.experiments}
    report.assert_ok()


def test_lineage_changes_and_inventions_are_told() -> None:
    async def extract(self: Any) -> None:
        reply = await self.http_get("/tables/a", retry=None)
        well = reply.status_code == 200
        await self.declare_resource(table("a", description="well" if well else "ill"))
        if well:
            await self.declare_lineage(edge("a", "b"))
        else:
            await self.declare_resource(table("new"))
            await self.declare_lineage(edge("new", "b"))

    [found] = of(extract, flawed.source(), without=FAULTS - {"503"}).run_sync().defects
    assert found.told == (
        "1 lost lineage: a → b; 1 changed: a; 1 not in the undisturbed run: new; "
        "1 lineage that is not in the undisturbed run: new → b"
    )
    assert found.difference is not None
    assert found.difference.changed[0].fields["description"] == ("well", "ill")


def test_a_run_that_waits_for_ever_is_found() -> None:
    async def extract(self: Any) -> None:
        for hour in count():
            if (await self.http_get("/tables/a", retry=None)).status_code == 200:
                break
            await anyio.sleep(3600 * min(hour, 1))
        await self.declare_resource(table("a"))

    [found] = of(extract, flawed.source(), without=FAULTS - {"500 for good"}).run_sync().defects
    assert found.told == "it does not end: 7 requests, 1 without the fault"


def test_spans_of_time_are_no_pages_of_one_listing() -> None:
    source = FakeSource()
    for day in ("01", "02"):
        source.get(f"/events?start=2024-05-{day}", json=[{"id": day}])

    async def extract(self: Any) -> None:
        for day in ("01", "02"):
            for row in (await self.http_get(f"/events?start=2024-05-{day}")).raise_for_status().json():
                await self.declare_resource(table(row["id"]))

    report = of(extract, source).run_sync()
    report.assert_ok()
    assert not {one.fault for one in report.experiments} & {*PAGE_FAULTS}


def test_a_request_that_is_spared_is_left_alone() -> None:
    def spared(report: LabReport) -> bool:
        return not any("/tables/" in one.at for one in report.experiments)

    some = FAULTS - {"500 for good", "faults everywhere"}
    report = lab(flawed.SwallowedStatus, spare=["GET /tables/{name}"], without=some).run_sync()
    report.assert_ok()
    assert spared(report)
    assert not spared(lab(flawed.SwallowedStatus, spare=["POST /tables/{name}"], without=some).run_sync())


def test_what_the_undisturbed_run_raises_is_raised() -> None:
    source = flawed.source()
    source.get("/tables", status=404)
    with pytest.raises(StatusError, match="404"):
        lab(flawed.Mended, source).run_sync()


async def _nothing(self: Any) -> None:
    await self.http_get("/tables")


async def _unasking(self: Any) -> None:
    await self.declare_resource(table("a"))


async def _endless(self: Any) -> None:
    await self.http_get("/tables")
    await anyio.sleep_forever()


async def _different(self: Any) -> None:
    await self.http_get("/tables")
    await self.declare_resource(table("a", description=os.urandom(8).hex()))


async def _never_the_same(self: Any) -> None:
    await self.http_get(f"/tables?at={os.urandom(8).hex()}")
    await self.declare_resource(table("a"))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: of(_nothing, flawed.source()).run_sync(), "declares no resource, so none can be lost"),
        (lambda: of(_unasking, flawed.source()).run_sync(), "the integration got no answer through its transport"),
        (lambda: of(_endless, flawed.source()).run_sync(), "the undisturbed run does not end"),
        (lambda: of(_different, flawed.source()).run_sync(), "two undisturbed runs differ, .* a: description: "),
        (lambda: of(_never_the_same, flawed.source()).run_sync(), "two undisturbed runs have no request in common"),
        (lambda: FaultLab(integration(_nothing), flawed.source()), "a function that makes the integration, not a Made"),
        (lambda: FaultLab(flawed.Mended, ReplayTransport("x")), "a function that gives a new transport, not a Replay"),
        (lambda: of(_nothing, flawed.source(), steps=0), "steps must be a number of requests of 1 or more, not 0"),
        (
            lambda: of(_nothing, flawed.source(), without=["500"]),
            "there is no fault 500; the faults are .*500 for good",
        ),
        (lambda: of(_nothing, flawed.source(), spare=["tables"]), "'tables' is no pattern of a path"),
    ],
)
def test_what_cannot_be_tried_says_why(make: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()
