"""``report --html``: a run as one page, as a browser and its reader find it."""

import json
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from anyio import to_thread
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from secoda_async import RateLimit, SecodaIntegration
from secoda_async.network.message import Request, Response
from secoda_async.page.records import Bounds, PageRecords
from secoda_async.page.report_page import render_report
from secoda_async.report import RunReport
from tests.browser import browser, hindrances, looks, needs_chromium
from tests.command_line import command, one_message
from tests.datasets import edge, external, internal, query, resource, write_dataset, write_lines
from tests.integrations import MemorySink, integration, table
from tests.integrations import edge as lineage
from tests.network.fake_transport import FakeTransport

HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">\x1b[31m"
SHOWN = HOSTILE.replace("\x1b", "\\x1b")


class LacksOne(FakeTransport):
    """Answers all but one path."""

    async def send(self, request: Request) -> Response:
        return Response(request, 404 if request.url.path.endswith("7") else 200)


async def run(count: int, state_dir: Path, **settings: Any) -> RunReport:
    """A run of so many tables; each feeds the next, the first feeds them all, and the third's title is hostile."""

    async def extract(made: SecodaIntegration) -> None:
        for number in range(min(count, 10)):
            await made.http_get(f"https://api.example/tables/{number}", optional=True)
        for number in range(count):
            title = {3: HOSTILE, 4: "x" * 10_000}.get(number, f"Table No. {number}")
            await made.declare_resource(table(number).model_copy(update={"title": title}))
            if number:
                await made.declare_lineage(lineage(number - 1, number))
                await made.declare_lineage(lineage(0, number))

    given = {"state_dir": state_dir, "transport": LacksOne(), "rate_limits": {"*": RateLimit(100)}, **settings}
    return await integration(extract, **given).run(MemorySink())


async def page(folder: Path, count: int, **settings: Any) -> Path:
    """The page that the command makes of such a run."""
    await run(count, folder / "state", **settings)
    path = folder / "page.html"
    status, out, errors = await command("report", "--state-dir", folder / "state", "--html", path)
    assert (status, errors) == (0, "")
    assert str(path) in out
    return path


async def rendered(report: dict[str, Any], why_no_records: str) -> str:
    return await to_thread.run_sync(
        partial(render_report, RunReport.model_validate(report), None, why_no_records=why_no_records)
    )


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def opened(driver: Chrome, path: Path) -> WebDriverWait[Chrome]:
    """Waits for what the page does once it is there."""
    driver.get("about:blank")
    driver.get(path.as_uri())
    wait = WebDriverWait(driver, 60)
    wait.until(lambda each: each.execute_script("return document.documentElement.dataset.ready"))
    return wait


def said(driver: Chrome, name: str) -> str:
    return driver.find_element(By.ID, name).text


def search(driver: Chrome, wait: WebDriverWait[Chrome], text: str, expected: str) -> None:
    box = driver.find_element(By.ID, "query")
    box.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    wait.until(lambda each: said(each, "found").endswith("to search."))
    box.send_keys(text)
    wait.until(lambda each: said(each, "found") == expected)


@needs_chromium
@pytest.mark.parametrize("count", [0, 10])
async def test_a_page_opens_without_an_error_and_tells_the_counts(tmp_path: Path, window: Chrome, count: int) -> None:
    path = await page(tmp_path, count)
    opened(window, path)
    assert window.get_log("browser") == []
    facts = dict(
        zip(
            *[[one.text for one in window.find_elements(By.CSS_SELECTOR, f".facts {tag}")] for tag in ("dt", "dd")],
            strict=True,
        )
    )
    assert (facts["Resources"], facts["Lineage"], facts["Requests"]) == (
        (f"{count}", f"{max(0, count - 1) * 2}", f"{count}")
    )
    charts = window.find_elements(By.CSS_SELECTOR, ".chart .main-svg")
    assert charts
    loaded = window.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in loaded if not name.startswith("data:")] == []


@needs_chromium
async def test_a_hundred_thousand_resources_are_searched_and_walked(tmp_path: Path, window: Chrome) -> None:
    path = await page(tmp_path, 100_000)
    assert path.stat().st_size < 30e6
    wait = opened(window, path)
    paints = window.execute_script("return performance.getEntriesByType('paint').map((one) => one.startTime)")
    assert min(paints) < 2000
    search(window, wait, "No. 4242", "11 found.")
    window.find_element(By.ID, "query").send_keys(Keys.TAB, Keys.ENTER)
    wait.until(lambda each: said(each, "node") == "Table No. 4242")
    assert window.switch_to.active_element.get_attribute("id") == "node"
    assert said(window, "walked") == "Comes from 2, goes to 1; 5 within two steps."
    before = window.find_elements(By.CSS_SELECTOR, "[aria-labelledby='step-1'] button")
    [first] = [one for one in before if one.text.startswith("Table No. 0")]
    first.click()
    wait.until(lambda each: said(each, "node") == "Table No. 0")
    assert said(window, "walked") == ("Comes from 0, goes to 99,999; 99,999 within two steps, of which 499 are shown.")
    assert len(window.find_elements(By.CSS_SELECTOR, "#steps button")) == 499
    assert "… and 99,500 more" in said(window, "steps")
    window.back()
    wait.until(lambda each: said(each, "node") == "Table No. 4242")
    assert window.get_log("browser") == []


@needs_chromium
async def test_a_hostile_title_is_shown_as_text(tmp_path: Path, window: Chrome) -> None:
    wait = opened(window, await page(tmp_path, 10))
    search(window, wait, "onerror", "1 found.")
    window.find_element(By.CSS_SELECTOR, "#results button").click()
    wait.until(lambda each: said(each, "node") == SHOWN)
    assert window.find_elements(By.CSS_SELECTOR, "#graph text")
    assert window.find_elements(By.CSS_SELECTOR, "img, [onerror]") == []
    assert "pwned" not in window.title
    search(window, wait, "xxxx", "1 found.")
    assert len(window.find_element(By.CSS_SELECTOR, "#results .name").text) == 200
    assert window.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert window.get_log("browser") == []


@needs_chromium
async def test_a_walk_goes_to_what_a_resource_stands_under_and_to_what_it_holds(tmp_path: Path, window: Chrome) -> None:
    async def extract(made: SecodaIntegration) -> None:
        for name, parent in (("db", None), ("s", "db"), *((number, "s") for number in range(250))):
            await made.declare_resource(table(name, parent_databuilder_id=parent))
        for start, end in ((0, 1), (1, 0), (0, 2)):  # a ring, and out of it
            await made.declare_lineage(lineage(start, end))

    await integration(extract, state_dir=tmp_path / "state").run(MemorySink())
    path = tmp_path / "page.html"
    status, _, errors = await command("report", "--state-dir", tmp_path / "state", "--html", path)
    assert (status, errors) == (0, "")
    wait = opened(window, path)
    search(window, wait, "249", "1 found.")
    window.find_element(By.CSS_SELECTOR, "#results button").click()
    wait.until(lambda each: said(each, "node") == "249")
    above = window.find_elements(By.CSS_SELECTOR, "#stands button .name")
    assert [one.text for one in above] == ["db", "s"]
    assert not window.find_element(By.ID, "inside").is_displayed()
    above[1].click()
    wait.until(lambda each: said(each, "node") == "s")
    held = window.find_elements(By.CSS_SELECTOR, "#inside button")
    assert len(held) == 200
    assert "Inside (250)" in said(window, "inside")
    assert "… and 50 more" in said(window, "inside")
    held[1].click()
    wait.until(lambda each: said(each, "node") == "1")
    assert said(window, "walked") == "Comes from 1, goes to 1; 2 within two steps."
    after = window.find_elements(By.CSS_SELECTOR, "[aria-labelledby='step2'] .name")
    assert [one.text for one in after] == ["2"]
    assert "1 that it comes from too" in said(window, "steps")
    assert hindrances(window) == []
    assert window.get_log("browser") == []


@needs_chromium
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
async def test_a_page_can_be_read_by_keyboard_screen_reader_and_phone(
    tmp_path: Path, window: Chrome, scheme: str, width: int
) -> None:
    path = await page(tmp_path, 30)
    looks(window, scheme, width)
    wait = opened(window, path)
    search(window, wait, "No. 0", "1 found.")
    window.find_element(By.CSS_SELECTOR, "#results button").send_keys(Keys.ENTER)
    wait.until(lambda each: said(each, "node") == "Table No. 0")
    assert hindrances(window) == []
    assert window.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    body = window.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (body == "rgb(255, 255, 255)") is (scheme == "light")
    looks(window, "light", 1200)


@needs_chromium
async def test_a_heading_sorts_the_table_and_says_so(tmp_path: Path, window: Chrome) -> None:
    await run(10, tmp_path / "state", endpoints=["GET api.example/tables/1", "GET api.example/tables/{id}"])
    [told] = (tmp_path / "state" / "runs").glob("*/report.json")
    path = tmp_path / "page.html"
    path.write_text(await rendered(orjson.loads(told.read_bytes()), "They are gone."))
    opened(window, path)
    [heading] = [one for one in window.find_elements(By.CSS_SELECTOR, ".sortable th") if one.text.startswith("Sent")]

    def order() -> list[str]:
        return [row.text for row in window.find_elements(By.CSS_SELECTOR, ".sortable tbody td:nth-child(3)")]

    assert (order(), heading.get_attribute("aria-sort")) == (["9", "1"], "descending")
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert (order(), heading.get_attribute("aria-sort")) == (["1", "9"], "ascending")
    assert "They are gone." in said(window, "lineage")


async def test_a_page_forbids_all_that_comes_from_elsewhere_and_every_other_script(tmp_path: Path) -> None:
    text = (await page(tmp_path, 10)).read_text()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert not re.search(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=\"(?!data:)", text.partition("<script>")[0])


async def test_no_markup_of_a_text_reaches_the_page(tmp_path: Path) -> None:
    report = await run(4, tmp_path)
    hostile = report.model_dump(mode="json")
    hostile |= {"integration": HOSTILE, "error": HOSTILE, "resources": {HOSTILE: 1}, "run": HOSTILE}
    hostile["losses"] = [{"message": HOSTILE}]
    hostile["findings"] = [{"code": HOSTILE, "subject": HOSTILE, "message": HOSTILE}]
    hostile["source"]["paces"] = {HOSTILE: {"slots": 1, "rate": 1.5, "raised": 1, "cut": {HOSTILE: 1}}}
    hostile["source"]["waits"] = hostile["source"]["retries"] = {HOSTILE: 1}
    hostile["source"]["endpoints"][0] |= {"host": HOSTILE, "path": HOSTILE, "method": HOSTILE}
    hostile["timeline"]["limits"][0]["host"] = HOSTILE
    sample = {"file": "resources.jsonl", "line": 1, "id": HOSTILE, "note": HOSTILE}
    hostile["breaches"] = [
        {"rule": HOSTILE, "severity": "error", "count": 1, "message": HOSTILE, "to_do": HOSTILE, "samples": [sample]}
    ]
    example = {"id": HOSTILE, "title": HOSTILE, "was": HOSTILE}
    type_diff = {"type": HOSTILE, "before": 1, "now": 1, "added": 1, "changed": None, "staled": 1}
    hostile["diff"] = {
        "against": HOSTILE,
        "types": [{**type_diff, "added_examples": [example], "staled_examples": [example]}],
        "lineage": {"before": None, "now": 1, "added": None, "removed": None},
    }
    text = await rendered(hostile, HOSTILE)
    shown, _, rest = text.partition('<script type="application/json" id="timeline-data">')
    data, _, _ = rest.partition("</script>")
    assert shown.count("document.title=") >= 25
    assert "document.title='" not in shown
    assert "<script" not in shown
    assert "<img" not in shown
    assert json.loads(data)["limits"][0]["host"] == SHOWN
    assert "\x1b" not in text


def records_of(folder: Path, resources: list[Any], edges: list[Any], bounds: Bounds | None = None) -> PageRecords:
    write_dataset(folder, resources, edges)
    return PageRecords.read(folder, bounds or Bounds())


def told_by(records: PageRecords) -> Any:
    return json.loads(records.as_json())


def test_the_last_of_several_resources_with_one_id_counts_and_an_edge_counts_once(tmp_path: Path) -> None:
    resources = [resource("table", "a", title="old"), resource("table", "b"), resource("view", "a", title="new")]
    one = edge(internal("a"), internal("b"))
    told = told_by(records_of(tmp_path, resources, [one, one]))
    assert (told["ids"], told["titles"], told["edges"]) == (["a", "b"], ["new", ""], [0, 1])
    assert [told["types"][place] for place in told["type"]] == ["view", "table"]


def test_a_parent_may_come_after_what_it_holds_and_the_last_one_counts(tmp_path: Path) -> None:
    resources = [
        resource("column", "c", parent_databuilder_id="t"),
        resource("column", "d", parent_databuilder_id="t"),
        resource("table", "t", parent_databuilder_id="none"),
        resource("column", "d", parent_databuilder_id="d"),
        resource("column", "e", parent_databuilder_id=7),
    ]
    assert told_by(records_of(tmp_path, resources, []))["inside"] == [2, 0]


def test_an_end_that_no_resource_of_the_run_is_has_a_place_that_says_what_it_is(tmp_path: Path) -> None:
    ends = [internal("elsewhere"), external("t", schema="s"), external("t", "c"), query("select\n  1")]
    told = told_by(records_of(tmp_path, [resource("table", "a")], [edge(end, internal("a")) for end in ends]))
    assert told["ids"] == ["a", "elsewhere", "s.t", "t.c", "select 1"]
    assert [told["types"][place] for place in told["type"][1:]] == [
        "resource that was not declared",
        "table of the workspace",
        "column of the workspace",
        "tables of a query",
    ]
    assert told["edges"] == [1, 0, 2, 0, 3, 0, 4, 0]


def test_ends_of_which_other_names_are_given_are_other_ends(tmp_path: Path) -> None:
    ends = [external("t", schema="x"), external("t", database="x"), {**external("t", schema="x"), "column": "c"}]
    ends += [query(""), internal("")]
    told = told_by(records_of(tmp_path, [resource("table", "a")], [edge(end, internal("a")) for end in ends]))
    assert told["ids"] == ["a", "x.t", "x.t", "(no name)", "(no name)"]
    assert told["edges"] == [1, 0, 2, 0, 3, 0, 4, 0]


def test_what_has_a_blank_title_or_type_has_a_name_to_follow(tmp_path: Path) -> None:
    resources = [resource("", "a", title=" \t"), resource("table", " ", title="")]
    told = told_by(records_of(tmp_path, resources, []))
    assert (told["ids"], told["titles"], told["types"]) == (["a", "(blank)"], ["", ""], ["(no type)", "table"])


@pytest.mark.parametrize(
    ("bounds", "left_out"), [({"nodes": 3}, (7, 6)), ({"edges": 4}, (0, 4)), ({"text": 3}, (7, 6)), ({}, (0, 0))]
)
def test_what_does_not_fit_is_counted(tmp_path: Path, bounds: dict[str, int], left_out: tuple[int, int]) -> None:
    resources = [resource("table", str(number)) for number in range(10)]
    edges = [edge(internal(str(number)), internal(str(number + 1))) for number in range(8)]
    records = records_of(tmp_path, resources, edges, Bounds(**bounds))
    assert (records.resources_left_out, records.edges_left_out) == left_out


def test_lines_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    lines = [b'{"databuilder_id": "a", "entity_type": 3}', b"7", b'{"databuilder_id": 1}', b'{"databuilder_id": "to']
    write_lines(tmp_path, lines, [b"{}", b'{"from_identifier": [], "to_identifier": {"type": {}}}'])
    records = PageRecords.read(tmp_path)
    assert (records.ids, records.edges) == (["a"], [])


async def test_a_run_that_failed_has_a_page_too(tmp_path: Path) -> None:
    async def extract(made: SecodaIntegration) -> None:
        await made.declare_resource(table("orders"))
        raise ValueError("geheim\nin two <lines>")

    made = integration(extract, state_dir=tmp_path / "state", credentials={"token": "geheim"})
    with pytest.raises(ValueError, match="geheim"):
        await made.run(MemorySink())
    path = tmp_path / "page.html"
    [folder] = (tmp_path / "state" / "runs").iterdir()
    status, _, errors = await command("report", ".", "--html", path, cwd=folder)
    assert (status, errors) == (0, "")
    text = path.read_text()
    assert "geheim" not in text
    assert '<span class="status failed">failed</span>' in text
    assert '"ids":["orders"]' in text
    assert "\nin two &lt;lines&gt;</p>" in text


async def test_what_bounds_a_run_is_told_in_words_where_it_took_long_enough_to_tell(tmp_path: Path) -> None:
    report = (await run(4, tmp_path)).model_dump(mode="json")
    report["efficiency"] |= {"seconds": 20.0, "least_seconds": 10.0, "efficiency": 0.5, "bound": "chain"}
    assert "bound by requests that follow one another): 50\N{NO-BREAK SPACE}%" in await rendered(report, "")
    report["efficiency"]["seconds"] = 0.01
    assert "bound by" not in await rendered(report, "")


@needs_chromium
async def test_names_of_many_limits_leave_room_for_the_rates(tmp_path: Path, window: Chrome) -> None:
    report = (await run(4, tmp_path)).model_dump(mode="json")
    [limit] = report["timeline"]["limits"]
    report["timeline"]["limits"] = [{**limit, "host": f"{place}.{'long' * 20}.example:443"} for place in range(4)]
    [pace] = report["source"]["paces"].values()
    report["source"]["paces"] = {f"{place}.{'long' * 20}.example": {**pace, "rate": 2.5} for place in range(4)}
    path = tmp_path / "page.html"
    path.write_text(await rendered(report, ""))
    for width in (1200, 320):
        looks(window, "light", width)
        opened(window, path)
        assert window.execute_script("return document.getElementById('rate')._fullLayout.yaxis._length") > 150
        ends = (
            "return [...document.querySelectorAll('#rate .legendtext')].map((one) => one.getBoundingClientRect().right)"
        )
        names = window.execute_script(ends)
        assert len(names) >= 12
        assert max(names) <= width
    looks(window, "light", 1200)


@needs_chromium
async def test_without_scripts_a_page_shows_what_it_can_and_says_what_is_missing(
    tmp_path: Path, window: Chrome
) -> None:
    path = await page(tmp_path, 10)
    window.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        window.get(path.as_uri())
        main = window.find_element(By.TAG_NAME, "main").text
        assert "Searching and walking needs JavaScript." in main
        assert "Looking at a chart needs JavaScript; its numbers are in the table below." in main
        assert "api.example" in main
        for name in ("flight", "rate", "search", "found"):
            assert not window.find_element(By.ID, name).is_displayed()
    finally:
        window.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


async def test_a_report_without_its_run_has_a_page_that_says_so(tmp_path: Path) -> None:
    report = await run(4, tmp_path / "state")
    path = tmp_path / "report.json"
    told = report.model_dump(mode="json")
    del told["timeline"]  # as an older version wrote it
    path.write_bytes(orjson.dumps(told))
    status, out, errors = await command(
        "report", path, "--state-dir", tmp_path / "other", "--html", "p.html", cwd=tmp_path
    )
    assert (status, errors) == (0, "")
    assert "folder is gone" in out
    text = (tmp_path / "p.html").read_text()
    assert "folder is gone" in text
    assert "an older version wrote this report" in text


async def test_a_page_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    await run(1, tmp_path / "state")
    path = tmp_path / "none" / "page.html"
    status, _, errors = await command("report", "--state-dir", tmp_path / "state", "--html", path)
    assert status == 1
    assert str(path) in one_message(errors)
    status, _, errors = await command("report", "--state-dir", tmp_path / "state", "--html", ".", cwd=tmp_path)
    assert (status, "--html . is a folder" in one_message(errors)) == (2, True)


async def test_an_endpoint_counts_how_often_its_requests_were_sent(tmp_path: Path) -> None:
    report = (await run(4, tmp_path)).model_dump(mode="json")
    report["source"] |= {"requests": 1, "attempts": 5}
    report["source"]["endpoints"][0]["requests"] = 5
    text = await rendered(report, "")
    columns = re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', text.partition("<caption>Endpoints</caption>")[2])
    assert columns[:3] == ["Endpoint", "Side", "Sent"]
    assert '<td>source</td><td class="number" data-value="5">5</td>' in text


@pytest.mark.parametrize("absent", ["jinja2", "plotly"])
async def test_what_a_page_needs_and_is_not_installed_is_named_with_how_to_install_it(
    tmp_path: Path, absent: str
) -> None:
    await run(1, tmp_path / "state")
    code = f"import sys; sys.modules[{absent!r}] = None; from secoda_async.cli import main; main()"
    arguments = ["report", "--state-dir", tmp_path / "state", "--html", tmp_path / "page.html"]
    done = await anyio.run_process([sys.executable, "-c", code, *map(str, arguments)], check=False)
    assert done.returncode == 2
    assert "pip install 'secoda-async[page]'" in one_message(done.stderr.decode())
    assert not (tmp_path / "page.html").exists()
