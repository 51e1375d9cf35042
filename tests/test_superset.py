"""The Superset example, on what Superset answered.

tests/recordings/superset.journal is of Apache Superset 6.1.0 with its metadata in SQLite.
tests/recordings/fill_superset.py made what it holds, through its API, and says how to record anew.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import yarl

from examples.superset import TOKEN_LIFE, RisonPages, Superset, SupersetLogin
from secoda_async import (
    Ask,
    AuthError,
    ConfigurationError,
    ExternalTable,
    InternalResource,
    Page,
    PaginationError,
    Request,
    Response,
    StatusError,
    TablesFromSQLQuery,
    Transport,
)
from secoda_async.compile.compile_source import compile_source
from secoda_async.testing import Answer, FakeSource, Records, assert_valid, run_extract, run_extract_sync
from tests.command_line import command
from tests.recordings.fill_superset import CHARTS, PASSWORD, REVENUE, URL, USERNAME

HERE = Path(__file__).parent
JOURNAL = "recordings/superset.journal"
CREDENTIALS = {"base_url": URL, "username": USERNAME, "password": PASSWORD}
EXAMPLE = HERE.parent / "examples" / "superset.py"


@pytest.fixture
def recorded(replayed: Callable[..., Any]) -> Records:
    return run_extract_sync(Superset(credentials=CREDENTIALS, **replayed(JOURNAL)))


def feeds(records: Records, target: str) -> list[Any]:
    """What feeds a resource."""
    return [
        one.from_identifier for one in records.lineage if one.to_identifier == InternalResource(databuilder_id=target)
    ]


def test_what_was_recorded_is_valid_and_whole(recorded: Records) -> None:
    assert_valid(recorded)
    assert recorded.report.resources == {
        "database": 1,
        "schema": 1,
        "table": 3,
        "column": 10,
        "dashboard_group": 1,
        "dashboard": 3,
        "chart": CHARTS,  # one of them is on two dashboards, and one on none
    }
    dashboard = recorded.by_id["dashboard.2"]
    assert (dashboard.title, dashboard.owners, dashboard.group) == ("Größe\n& Orders", ["ada@example.com"], "Superset")
    assert dashboard.external_updated_at is not None


def test_a_chart_stands_under_each_of_its_dashboards_and_is_fed_by_its_dataset(recorded: Records) -> None:
    assert [one for one in recorded.by_id if one.startswith("chart.") and one.endswith(".1")] == [
        "chart.1.1",
        "chart.2.1",
    ]
    assert not [one for one in recorded.by_id if one.startswith("chart.") and one.endswith(".2")]
    assert recorded.by_id["chart.2.1"].parent_databuilder_id == "dashboard.2"
    assert feeds(recorded, "chart.2.1") == [InternalResource(databuilder_id="dataset.1")]


def test_a_virtual_dataset_is_fed_by_the_tables_of_its_query_and_a_physical_one_by_its_table(
    recorded: Records,
) -> None:
    assert feeds(recorded, "dataset.1") == [ExternalTable(schema="main", table="orders")]
    assert feeds(recorded, "dataset.2") == [TablesFromSQLQuery(sql=REVENUE)]
    assert feeds(recorded, "dataset.3") == []  # a template, of which nobody can say what it reads
    assert recorded.by_id["dataset.2"].native_type == "virtual dataset"
    assert recorded.by_id["dataset.2"].description == "By country."
    assert recorded.by_id["dataset.2.country"].description == "Where the customer lives."
    columns = [one.title for one in recorded.resources if one.parent_databuilder_id == "dataset.1"]
    assert columns == ["id", "customer_id", "amount", "ordered_at"]
    assert recorded.by_id["dataset.1.ordered_at"].type == "TIMESTAMP"


def test_no_fault_of_superset_loses_anything(fault_lab: Callable[..., Any]) -> None:
    def make(transport: Transport) -> Superset:
        return Superset(credentials=CREDENTIALS, transport=transport)

    report = fault_lab(make, JOURNAL, steps=2, page_params=["q"])
    assert report.resources == 122
    assert {"a repeated page", "a missing page"} <= {one.fault for one in report.experiments}


class Site:
    """A Superset of no dashboards and datasets, and of these charts, whose first token ends after some requests."""

    def __init__(self, charts: Sequence[int] = (), *, ends_after: int = 1000) -> None:
        self.source = FakeSource()
        self.logins: list[Any] = []
        self._charts = charts
        self._left = ends_after
        self.source.post("/api/v1/security/login", self._login)
        self.source.get("/api/v1/{kind}/", self._list)

    def _login(self, request: Request) -> Any:
        assert "Authorization" not in request.headers
        assert isinstance(request.body, bytes)
        self.logins.append(orjson.loads(request.body))
        return {"access_token": f"token-{len(self.logins)}"}

    def _list(self, request: Request, kind: str) -> Any:
        if request.headers["Authorization"] == "Bearer token-1":
            self._left -= 1
            if self._left < 0:
                return Answer(status=401, json={"msg": "Token has expired"})
        ids = self._charts if kind == "chart" else ()
        page = int(request.url.query["q"].partition("page:")[2].partition(",")[0])
        result = [{"id": id_, "dashboards": []} for id_ in ids[page * 100 : page * 100 + 100]]
        return {"count": len(ids), "result": result}

    async def run(self) -> Records:
        return await run_extract(Superset(credentials=CREDENTIALS, transport=self.source))


async def test_a_token_that_ends_in_the_middle_is_renewed_and_the_crawl_goes_on() -> None:
    site = Site(range(450), ends_after=4)
    records = await site.run()
    assert records.report.source.requests == 7  # two listings of one page, and five pages of charts
    assert site.logins == [{"username": USERNAME, "password": PASSWORD, "provider": "db"}] * 2


async def test_a_token_is_due_before_superset_ends_it() -> None:
    now = 100.0
    login = SupersetLogin("http://superset.test/", {"username": "u", "password": "p"}, clock=lambda: now)
    asked: list[Request] = []

    async def send(request: Request) -> Response:
        asked.append(request)
        return Response(request, 200, content=b'{"access_token": "jwt"}')

    assert login.is_due
    await login.renew(send)
    assert not login.is_due
    assert str(asked[0].url) == "http://superset.test/api/v1/security/login"
    assert login.sign(asked[0]).headers["Authorization"] == "Bearer jwt"
    assert set(login.secrets) == {"p", "jwt"}
    now += TOKEN_LIFE
    assert login.is_due


async def test_a_wrong_password_is_told_and_nothing_else_is_asked() -> None:
    site = Site()
    site.source.post("/api/v1/security/login", status=401, json={"message": "Not authorized"})
    with pytest.raises(AuthError, match=r"/api/v1/security/login answered 401; check username and password") as caught:
        await site.run()
    assert PASSWORD not in str(caught.value)
    assert {call.url.path for call in site.source.calls} == {"/api/v1/security/login"}


async def test_a_listing_that_shifts_between_two_pages_fails_the_run() -> None:
    with pytest.raises(RuntimeError, match="chart 99 came twice"):
        await Site([*range(100), *range(99, 150)]).run()


async def test_a_listing_that_ends_early_fails_the_run() -> None:
    site = Site(range(150))
    site.source.get("/api/v1/chart/", json={"count": 150, "result": []})
    with pytest.raises(PaginationError, match="150"):
        await site.run()


def test_a_server_that_gives_fewer_than_a_page_is_asked_for_all_pages() -> None:
    pager = RisonPages("id", "name")
    request = Request("GET", yarl.URL(URL))
    page = Page(
        number=1, ask=Ask(), response=Response(request, 200), body={"count": 45}, items=[{"id": n} for n in range(20)]
    )
    rest = pager.rest(page)
    assert rest is not None
    assert [ask.params["q"] for ask in rest] == [
        f"(columns:!(id),order_column:name,order_direction:asc,page:{number},page_size:100)" for number in (1, 2)
    ]


async def test_a_dataset_that_is_gone_before_its_columns_were_read_fails_the_run() -> None:
    site = Site()
    database = {"id": 1, "database_name": "Shop"}
    dataset = {"id": 7, "table_name": "t", "catalog": None, "schema": None, "sql": None, "database": database}
    site.source.get("/api/v1/dataset/", json={"count": 1, "result": [dataset]})
    site.source.get("/api/v1/dataset/7", status=404, json={"message": "Not found"})
    with pytest.raises(StatusError, match=r"/api/v1/dataset/7.*404"):
        await site.run()


async def test_a_check_of_the_first_pages_finds_nothing_amiss() -> None:
    report = await Superset(credentials=CREDENTIALS, sample=1, replay=HERE / JOURNAL).run()
    assert (report.loss_count, report.source.requests, report.resources["table"]) == (0, 4, 1)


async def test_the_command_runs_it_on_the_recording(tmp_path: Path) -> None:
    status, _, errors = await command(
        *("run", f"{EXAMPLE}:Superset", "--credential", f"base_url={URL}", "--credential", f"username={USERNAME}"),
        *("--credential-env", "password=SUPERSET_PASSWORD", "--replay", HERE / JOURNAL, "--out", tmp_path / "out"),
        env={"SUPERSET_PASSWORD": PASSWORD},
    )
    assert status == 0, errors
    assert (tmp_path / "out" / "run.json").exists()


def test_it_cannot_be_compiled_since_its_credentials_are_renewed() -> None:
    text = EXAMPLE.read_text()
    line = text[: text.index("from secoda_async import (")].count("\n") + 1
    with pytest.raises(ConfigurationError, match=rf"superset\.py:{line}: RenewableAuth: credentials that are renewed"):
        compile_source(text, "Superset", name="superset.py")
