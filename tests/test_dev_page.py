"""``dev``: what the local workspace holds and what each sync did to it, as a browser and its reader find it."""

import html
import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
import pytest
from anyio import to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from yarl import URL

from secoda_async import DeclaredLineage, ExternalTable, InternalResource, Resource
from secoda_async.dev.pages import PREFIX, WorkspacePages
from secoda_async.testing import FakeWorkspace
from secoda_async.testing.catalog import Catalog
from tests.browser import browser, hindrances, looks, needs_chromium
from tests.datasets import internal, resource
from tests.integrations import edge, table

HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">\x1b[31m"
SHOWN = HOSTILE.replace("\x1b", "\\x1b")
DEV = f"{PREFIX}/dev/"
Records = list[Resource | DeclaredLineage]
row = partial(resource, "table")


class Served:
    """A workspace with its pages, on a thread of its own, as a browser needs it that blocks the thread of a test."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal
        self.workspace = FakeWorkspace(api_key="key")
        self.workspace.create_integration("dev", integration_id="dev")

    async def enter(self) -> None:
        def commands(id_: str) -> list[str]:
            return [f"secoda-async run <this> & that, to {id_}"]

        self.pages = await to_thread.run_sync(partial(WorkspacePages, self.workspace.catalogs, commands=commands))
        self.workspace.mount(PREFIX, self.pages.app())
        await self.workspace.__aenter__()

    async def upload(self, records: Records) -> None:
        """Make these one sync."""
        kinds = (Resource, DeclaredLineage)
        lines = ([orjson.Fragment(one.model_dump_json()) for one in records if isinstance(one, kind)] for kind in kinds)
        await self.send(*lines)

    async def send(self, resources: list[Any], lineage: list[Any]) -> None:
        """Make these lines one sync, whatever they hold that no integration would declare."""
        form = aiohttp.FormData()
        for name, rows in (("resources_file", resources), ("lineages_file", lineage)):
            file = io.BytesIO(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
            form.add_field(name, file, filename=f"{name}.jsonl")
        url = f"{self.workspace.url}/integration/integrations/dev/import_jsonl_metadata/"
        async with (
            aiohttp.ClientSession(headers={"Authorization": "Bearer key"}) as session,
            session.post(url, data=form) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def prepare(self) -> None:
        """What the command does as soon as a sync has arrived."""
        await to_thread.run_sync(partial(self._portal.call, self.pages.prepare, "dev"))

    async def get(self, path: str, **headers: str) -> tuple[int, str, Any]:
        """What a client is answered."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(URL(self.workspace.url + path, encoded=True), headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, await answer.text(), answer.headers


@pytest.fixture
def served() -> Iterator[Served]:
    with start_blocking_portal() as portal:
        made = Served(portal)
        portal.call(made.enter)
        try:
            yield made
        finally:
            portal.call(made.workspace.aclose)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def rows(count: int) -> tuple[list[Any], list[Any]]:
    """A database, a schema and so many tables: each feeds the next, the first feeds all; the fourth is hostile."""
    if not count:
        return [], []
    resources = [
        {"entity_type": "database", "databuilder_id": "db", "title": "warehouse"},
        {"entity_type": "schema", "databuilder_id": "s", "title": "sales", "parent_databuilder_id": "db"},
    ]
    titles = {3: HOSTILE, 4: "x" * 10_000}
    for number in range(count):
        told = {"databuilder_id": str(number), "title": titles.get(number, f"Table No. {number:06}")}
        resources.append({"entity_type": "table", "parent_databuilder_id": "s", **told})
    ends = [{"type": "internal_resource", "databuilder_id": str(number)} for number in range(count)]
    lineage = [
        {"from_identifier": start, "to_identifier": end}
        for number, end in enumerate(ends[1:])
        for start in (ends[number], ends[0])
    ]
    return resources, lineage


def many(count: int) -> Records:
    """The same as records."""
    resources, lineage = rows(count)
    return [*(Resource(**row) for row in resources), *(DeclaredLineage(**row) for row in lineage)]


def column(name: str, place: int, **more: Any) -> Resource:
    told = {"entity_type": "column", "databuilder_id": f"0.{name}", "parent_databuilder_id": "0", "sort_order": place}
    return Resource(**{**told, "title": name, **more})


def opened(driver: Chrome, served: Served, path: str) -> WebDriverWait[Chrome]:
    driver.get("about:blank")
    driver.get_log("browser")  # of an earlier test's page, whose workspace has ended
    driver.get(served.workspace.url + path)
    return settled(driver)


def settled(driver: Chrome) -> WebDriverWait[Chrome]:
    wait = WebDriverWait(driver, 60)
    wait.until(lambda each: each.execute_script("return document.documentElement.dataset.ready"))
    return wait


def followed(driver: Chrome, link: Any) -> WebDriverWait[Chrome]:
    """Follow a link, and wait for its page."""
    driver.execute_script("document.documentElement.dataset.left = 'no'")
    link.send_keys(Keys.ENTER)
    wait = WebDriverWait(driver, 60)
    wait.until(
        lambda each: each.execute_script(
            "const told = document.documentElement.dataset; return told.ready && told.left === undefined"
        )
    )
    return wait


def texts(driver: Chrome, selector: str) -> list[str]:
    found = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())"
    return list(driver.execute_script(found, selector))  # in one go, since there may be hundreds


def link(driver: Chrome, text: str) -> Any:
    return driver.find_element(By.LINK_TEXT, text)


def at(text: str) -> str:
    return f"{DEV}resource?id={quote(text, safe='')}"


@needs_chromium
@pytest.mark.parametrize("count", [0, 10])
async def test_the_page_opens_without_an_error_and_tells_the_counts(served: Served, window: Chrome, count: int) -> None:
    await served.upload(many(count))
    opened(window, served, "/")
    assert window.current_url == served.workspace.url + DEV
    facts = dict(zip(texts(window, ".facts dt"), texts(window, ".facts dd"), strict=True))
    assert facts == {
        "Resources": f"{count + 2 if count else 0}",
        "Lineage": f"{max(0, count - 1) * 2 - (1 if count else 0)}",
        "Syncs": "1",
    }
    loaded = window.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert all(name.startswith((served.workspace.url, "data:")) for name in loaded)
    assert window.get_log("browser") == []


@needs_chromium
async def test_before_the_first_sync_the_page_says_how_to_upload(served: Served, window: Chrome) -> None:
    opened(window, served, "/")
    assert "Nothing has been uploaded yet" in texts(window, "h2")
    assert texts(window, "pre") == ["secoda-async run <this> & that, to dev"]
    assert "documented behaviour" in window.find_element(By.TAG_NAME, "header").text
    followed(window, link(window, "What is documented"))
    assert "automatic staling" in window.find_element(By.TAG_NAME, "main").text
    assert window.get_log("browser") == []


@needs_chromium
async def test_a_hundred_thousand_resources_are_searched_and_walked(served: Served, window: Chrome) -> None:
    await served.send(*rows(100_000))
    await served.prepare()
    wait = opened(window, served, DEV)
    paints = "return performance.getEntriesByType('paint').map((one) => one.startTime)"
    assert min(wait.until(lambda each: each.execute_script(paints))) < 2000
    window.find_element(By.ID, "query").send_keys("no. 004242", Keys.ENTER)
    wait.until(lambda each: texts(each, "#found") == ["1 with “no. 004242” in title or id."])
    followed(window, window.find_element(By.CSS_SELECTOR, "#results a"))
    assert texts(window, "h1") == ["Table No. 004242"]
    assert texts(window, "#walked") == ["Comes from 2, goes to 1; 5 within two steps."]
    assert window.find_elements(By.CSS_SELECTOR, "#graph text")
    followed(window, window.find_element(By.PARTIAL_LINK_TEXT, "Table No. 000000"))
    assert texts(window, "h1") == ["Table No. 000000"]
    assert texts(window, "#walked") == [
        "Comes from 0, goes to 99,999; 99,999 within two steps, of which 499 are shown."
    ]
    assert len(window.find_elements(By.CSS_SELECTOR, "#steps a")) == 499
    assert "… and 99,500 more" in window.find_element(By.ID, "steps").text
    window.back()
    wait.until(lambda each: texts(each, "h1") == ["Table No. 004242"])
    assert window.get_log("browser") == []


@needs_chromium
async def test_the_tree_opens_by_keyboard_and_goes_on_where_a_list_is_long(served: Served, window: Chrome) -> None:
    await served.upload(many(500))
    wait = opened(window, served, DEV)

    def toggle(name: str) -> Any:
        return window.find_element(By.CSS_SELECTOR, f"[aria-label='What is inside {name}']")

    wait.until(lambda each: each.find_elements(By.LINK_TEXT, "sales"))  # under the only database there is
    toggle("sales").send_keys(Keys.ENTER)
    wait.until(lambda each: each.find_elements(By.LINK_TEXT, "Table No. 000000"))
    assert toggle("sales").get_attribute("aria-expanded") == "true"
    for shown in (200, 400, 500):
        items = texts(window, ".tree ul ul a:not(.rest)")
        assert len(items) == shown
        if shown < 500:
            assert texts(window, ".rest") == [f"{500 - shown} more"]
            window.find_element(By.CSS_SELECTOR, ".rest").send_keys(Keys.ENTER)
            wait.until(lambda each, items=items: len(texts(each, ".tree ul ul a:not(.rest)")) > len(items))
            assert window.switch_to.active_element.text == texts(window, ".tree ul ul a")[shown]
    toggle("warehouse").send_keys(Keys.ENTER)
    assert toggle("warehouse").get_attribute("aria-expanded") == "false"
    assert not link(window, "warehouse").find_elements(By.XPATH, "following::a[text()='sales']")[0].is_displayed()
    assert window.get_log("browser") == []


@needs_chromium
async def test_a_resource_shows_its_fields_what_it_holds_and_where_it_stands(served: Served, window: Chrome) -> None:
    more = {"description": "Of *all* regions.\nOne row an order.", "owners": ["ada@x.example", "bob@x.example"]}
    inside = [column("b", 2), column("a", 10), column("c", 1, is_pk=True)]
    database, schema, first = many(1)
    await served.upload([database, schema, first.model_copy(update=more), *inside])
    opened(window, served, at("0"))
    assert texts(window, ".crumbs a") == ["dev", "warehouse", "sales"]
    fields = dict(zip(texts(window, ".fields tbody th"), texts(window, ".fields tbody td"), strict=True))
    assert fields["description"] == more["description"]
    assert fields["owners"] == "ada@x.example\nbob@x.example"
    assert "definition" not in fields
    assert texts(window, ".tree a") == ["c", "b", "a"]
    followed(window, link(window, "s"))
    assert texts(window, "h1") == ["sales"]
    assert window.get_log("browser") == []


@needs_chromium
async def test_a_hostile_title_is_shown_as_text(served: Served, window: Chrome) -> None:
    await served.upload(many(10))
    looks(window, "light", 390)
    for path in (at("3"), at("4"), at("2"), f"{DEV}search?q=No", at("s"), DEV):
        wait = opened(window, served, path)
        assert window.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert window.find_elements(By.CSS_SELECTOR, "img, [onerror]") == []
        assert "pwned" not in window.title.replace(SHOWN, "")
    wait.until(lambda each: each.find_elements(By.CSS_SELECTOR, "[aria-label='What is inside sales']"))[0].click()
    wait.until(lambda each: SHOWN in texts(each, ".tree a"))
    assert window.find_elements(By.CSS_SELECTOR, "img, [onerror]") == []
    opened(window, served, at("3"))
    assert texts(window, "h1") == [SHOWN]
    assert window.find_elements(By.CSS_SELECTOR, "#graph text")
    opened(window, served, at("4"))
    assert len(texts(window, "h1")[0]) == 200
    assert "x" * 10_000 in texts(window, ".value")
    assert window.get_log("browser") == []
    looks(window, "light", 1200)


@needs_chromium
async def test_the_history_tells_what_each_sync_added_changed_and_staled(served: Served, window: Chrome) -> None:
    await served.upload(many(3))
    database, schema, first, *_ = many(1)
    await served.upload([database, schema, first.model_copy(update={"title": "renamed"}), table(7)])
    opened(window, served, f"{DEV}syncs")
    rows = [row.split() for row in texts(window, "tbody tr")]
    assert [[*row[1:5], *row[-4:]] for row in rows] == [
        ["2", "1", "1", "2", "4", "0", "0", "3"],
        ["1", "5", "0", "0", "5", "4", "3", "0"],
    ]
    followed(window, link(window, "Sync 2"))
    assert texts(window, "#staled + ul a") == ["1", "2"]
    assert texts(window, "#added + ul a") == ["7"]
    followed(window, link(window, "2"))
    assert texts(window, ".error") == ["The workspace holds it no more, since a sync left it out."]
    history = texts(window, "#history + ul li")
    assert [told.partition(",")[0] for told in history] == ["staled by sync 2", "added by sync 1"]
    assert window.get_log("browser") == []


@needs_chromium
async def test_a_sync_that_arrives_meanwhile_is_said_and_shown_when_asked_for(served: Served, window: Chrome) -> None:
    await served.upload(many(1))
    wait = opened(window, served, DEV)
    await served.upload(many(2))
    wait.until(lambda each: texts(each, "#news") == ["A sync has arrived. Show what it holds now"])
    assert texts(window, ".facts dd") == ["3", "0", "1"]
    followed(window, link(window, "Show what it holds now"))
    assert texts(window, ".facts dd") == ["4", "1", "2"]
    assert window.get_log("browser") == []


@needs_chromium
@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
async def test_every_page_can_be_read_by_keyboard_screen_reader_and_phone(
    served: Served, window: Chrome, scheme: str, width: int
) -> None:
    long = "A line of a long description.\n" * 50
    await served.upload([*many(30), column("a", 1), column("b", 2, description=long)])
    await served.upload([*many(10), column("b", 2, description=long)])
    looks(window, scheme, width)
    paths = [DEV, at("0"), at("29"), at("0.b"), f"{DEV}search?q=No", f"{DEV}search", f"{DEV}syncs", f"{DEV}syncs/2"]
    for path in [*paths, f"{PREFIX}/about", f"{PREFIX}/none/"]:
        opened(window, served, path)
        assert (path, hindrances(window)) == (path, [])
        assert window.execute_script("return document.documentElement.scrollWidth <= innerWidth"), path
        body = window.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (body == "rgb(255, 255, 255)") is (scheme == "light")
    window.get_log("browser")  # of the page that is not there
    looks(window, "light", 1200)


@needs_chromium
async def test_without_scripts_and_on_paper_nothing_is_cut_off_or_out_of_reach(served: Served, window: Chrome) -> None:
    query = {"type": "tables_from_query", "sql": "select 1\n" * 100}
    records = [row("t", title="t"), *(row(f"t{place}", "t") for place in range(50))]
    lineage = [{"from_identifier": query, "to_identifier": internal(f"t{place}")} for place in range(50)]
    await served.send(records, lineage)
    _, text, _ = await served.get(at("t1"))
    [end] = re.findall(r'href="([^"]+end[?][^"]+)"', text)
    window.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        window.get(served.workspace.url + DEV)
        main = window.find_element(By.TAG_NAME, "main")
        assert "Opening it here needs JavaScript" in main.text
        assert not main.find_element(By.CSS_SELECTOR, ".toggle").is_displayed()
        main.find_element(By.LINK_TEXT, "t").click()
        assert len(window.find_elements(By.CSS_SELECTOR, ".tree a")) == 50
        window.get(served.workspace.url + html.unescape(end))
        assert "Drawing it needs JavaScript" in window.find_element(By.TAG_NAME, "main").text
        assert not window.find_element(By.TAG_NAME, "figure").is_displayed()
    finally:
        window.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    cut = """
        const isCut = (one) => one.scrollHeight > one.clientHeight + 1 && getComputedStyle(one).overflowY !== "visible";
        return [...document.querySelectorAll("main *:not(.js-plotly-plot *)")].filter(isCut).map((one) => one.className)
    """
    opened(window, served, html.unescape(end))
    assert set(window.execute_script(cut)) == {"value", "nodes"}
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert window.execute_script(cut) == []
        assert not window.find_element(By.ID, "search").is_displayed()
    finally:
        window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    opened(window, served, f"{DEV}search?q=t")
    assert window.execute_script(cut) == []


async def test_no_markup_of_a_record_reaches_a_page(served: Served) -> None:
    texts_ = {"title": HOSTILE, "description": HOSTILE, "definition": HOSTILE, "native_type": HOSTILE}
    hostile = Resource(entity_type=HOSTILE, databuilder_id=HOSTILE, owners=[HOSTILE], **texts_)
    inside = Resource(entity_type=HOSTILE, databuilder_id="in", parent_databuilder_id=HOSTILE, title=HOSTILE)
    external = ExternalTable(cluster=HOSTILE, database=HOSTILE, schema=HOSTILE, table=HOSTILE)
    own = InternalResource(databuilder_id=HOSTILE)
    records: Records = [
        hostile,
        inside,
        DeclaredLineage(from_identifier=external, to_identifier=own),
        DeclaredLineage(from_identifier=own, to_identifier=InternalResource(databuilder_id=HOSTILE + "2")),
    ]
    await served.upload(records)
    named = "&".join(["kind=external_table", *(f"name={quote(HOSTILE, safe='')}" for _ in range(4))])
    paths = [
        DEV,
        at(HOSTILE),
        at(HOSTILE + "2"),
        f"{DEV}end?{named}",
        f"{DEV}inside",
        f"{DEV}inside?id={quote(HOSTILE, safe='')}",
        f"{DEV}search?q={quote(HOSTILE, safe='')}",
        f"{DEV}search?type={quote(HOSTILE, safe='')}",
        f"{DEV}syncs/1",
    ]
    for path in paths:
        status, text, _ = await served.get(path)
        assert (path, status) == (path, 200)
        shown = re.sub(r'<script type="application/json" id="drawing-data">.*?</script>', "", text)
        assert "document.title=&#39;" in shown, path
        assert "<img" not in text, path
        assert text.count("<script") == text.count("<script defer") + (text != shown), path
        assert "\x1b" not in html.unescape(text), path


async def test_no_other_site_reads_a_page_or_shows_it_in_a_frame(served: Served) -> None:
    for path in ("/", DEV, f"{PREFIX}/about", "/resource/catalog", "/healthcheck"):
        for host in ("evil.example", "127.0.0.1.evil.example:80", "evil.example:1/127.0.0.1", "127.0.0.2", "[", "a b"):
            status, text, _ = await served.get(path, Host=host)
            assert (path, host, status) == (path, host, status if status == 400 else 421)
            assert "dev" not in text
        status, _, _ = await served.get(path, Host="localhost:1234", Authorization="Bearer key")
        assert status in (200, 302)
    for path in (DEV, "/ui/none/", f"{DEV}count"):
        _, _, headers = await served.get(path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/ui/none/", 404, "no such integration"),
        ("/ui/none/count", 404, "no such integration"),
        (f"{DEV}resource", 400, "lacks id="),
        (f"{DEV}resource?id=none", 404, "never held a resource none"),
        (f"{DEV}resource?id={quote('a' + chr(10) + 'b')}", 404, "never held"),
        (f"{DEV}end?kind=tables_from_query", 404, "No lineage"),
        (f"{DEV}end?kind=other&name=1", 404, "No lineage"),
        (f"{DEV}end?kind=internal_resource&name=0", 404, "No lineage"),
        (f"{DEV}inside?id=none", 404, "no such resource"),
        (f"{DEV}syncs/0", 404, "no such sync"),
        (f"{DEV}syncs/2", 404, "no such sync"),
        (f"{DEV}syncs/x", 404, "no such sync"),
        (f"{DEV}syncs/1?only=none", 400, "one of added, changed, staled"),
        (f"{DEV}syncs/{'9' * 5000}", 404, "no such sync"),
        (f"{DEV}search?q=a&page=0", 400, "whole number"),
        (f"{DEV}search?q=a&page={'9' * 9}", 400, "whole number"),
        (f"{DEV}search?q=a&page=99999999", 200, "0 with"),
        (f"{DEV}search?q=a&page=-1", 400, "whole number"),
        (f"{PREFIX}/-/none", 404, "no such file"),
        (f"{PREFIX}/nothing/here/at/all", 404, "Not Found"),
    ],
)
async def test_an_address_that_leads_nowhere_is_a_page_that_says_so(
    served: Served, path: str, status: int, said: str
) -> None:
    await served.upload([table(0)])
    found, text, headers = await served.get(path)
    assert (found, said in text) == (status, True)
    assert headers["Content-Type"].startswith("text/html")


ODD_IDS = [*"/?#%&+; .'\"<\\", "%2F", " x ", "a\nb", "a\0b", "..", "//x", "\u202eabc", "a\u2028b", "🙂", "x" * 100_000]


async def test_a_resource_has_a_page_whatever_its_id_is(served: Served) -> None:
    inside = [row(f"inside {place}", id_) for place, id_ in enumerate(ODD_IDS)]
    await served.send([*(row(id_) for id_ in ODD_IDS), *inside], [])
    _, text, _ = await served.get(DEV)
    links = re.findall(r'</button><a href="([^"]+)">([^<]*)</a>', text)
    branches = re.findall(r'data-inside="([^"]+)"', text)
    assert (len(links), len(branches)) == (len(ODD_IDS), len(ODD_IDS))
    assert all(name.strip() for _, name in links)
    found = set()
    for address in [*(address for address, _ in links), *branches]:
        status, text, _ = await served.get(html.unescape(address))
        assert (address[:100], status) == (address[:100], 200)
        found.add(re.findall(r">inside (\d+)</a>", text)[-1])
    assert found == {str(place) for place in range(len(ODD_IDS))}


@pytest.mark.parametrize("blank", ["", " \n"])
async def test_what_has_no_title_and_no_type_can_be_read_and_followed(served: Served, blank: str) -> None:
    await served.send([row("a", title=blank, entity_type="")], [])
    _, text, _ = await served.get(DEV)
    assert ">a</a>" in text
    [address] = re.findall(r'href="([^"]+)">\(no type\)</a>', text)
    _, text, _ = await served.get(html.unescape(address))
    assert ">1 of type (no type).<" in text


async def test_columns_stand_in_their_order_however_it_is_written(served: Served) -> None:
    orders: list[Any] = ["10", 9.0, "3.0", 2, None]
    columns = [row(f"c{order}", "t", entity_type="column", sort_order=order) for order in orders]
    await served.send([row("t"), *columns], [])
    _, text, _ = await served.get(f"{DEV}inside?id=t")
    assert re.findall(r">c([^<]+)</a>", text) == ["None", "2", "3.0", "9.0", "10"]


async def test_lines_that_lead_from_and_to_the_same_are_one_way(served: Served) -> None:
    one = {"from_identifier": internal("0"), "to_identifier": internal("1")}
    other = {**one, "note": "the same once more"}
    await served.send([row("0"), row("1")], [one, other])
    _, text, _ = await served.get(at("0"))
    assert "Comes from 0, goes to 1; 1 within two steps." in text
    assert "that it comes from too" not in text


async def test_tables_of_which_other_names_are_given_are_other_tables(served: Served) -> None:
    names = [{"schema": "x"}, {"database": "x"}, {"cluster": "x"}, {"schema": "x", "column": "no field of a table"}]
    ends = [{"type": "external_table", "table": "t", **each} for each in names]
    await served.send([row("0")], [{"from_identifier": end, "to_identifier": internal("0")} for end in ends])
    _, text, _ = await served.get(at("0"))
    assert "Comes from 3, goes to 0; 3 within two steps." in text
    addresses = re.findall(r'href="([^"]+)"><span class="name">x\.t', text)
    found = [(await served.get(html.unescape(address)))[1] for address in addresses]
    rows = [re.findall(r'<th scope="row">(\w+)</th><td><div class="value">(\w+)<', text) for text in found]
    assert rows == [[(field, "x"), ("table", "t")] for field in ("schema", "database", "cluster")]


@pytest.mark.parametrize("sql", ["", "select '" + "é" * 20_000 + "' from the_last_table"])
async def test_a_query_is_shown_whatever_its_length(served: Served, sql: str) -> None:
    query = {"type": "tables_from_query", "sql": sql}
    await served.send([row("0")], [{"from_identifier": query, "to_identifier": internal("0")}])
    _, text, _ = await served.get(at("0"))
    assert "Comes from 1, goes to 0; 1 within two steps." in text
    [address] = re.findall(r'href="([^"]+end[?][^"]+)"', text)
    status, text, _ = await served.get(html.unescape(address))
    assert status == 200
    assert ("(no name)" if not sql else sql[:10_000].replace("'", "&#39;")) in text


async def test_ends_of_lineage_that_are_no_resources_have_a_page(served: Served) -> None:
    external = ExternalTable(database="lake", schema="in", table="a&b")
    await served.upload([table(0), DeclaredLineage(from_identifier=external, to_identifier=edge(0, 1).from_identifier)])
    _, text, _ = await served.get(at("0"))
    [address] = re.findall(r'href="([^"]+)"><span class="name">lake.in.a&amp;b', text)
    status, text, _ = await served.get(html.unescape(address))
    assert status == 200
    assert "<p>It is no resource of this integration: a lineage names it.</p>" in text


async def test_data_that_goes_round_in_a_ring_is_told_of_both_ways(served: Served) -> None:
    await served.upload([table(0), table(1), table(2), edge(0, 1), edge(1, 0), edge(0, 2), edge(1, 1)])
    _, text, _ = await served.get(at("1"))
    assert "Comes from 1, goes to 1; 2 within two steps." in text
    assert "1 that it comes from too" in text


async def test_data_that_flows_into_itself_only_is_told_of(served: Served) -> None:
    await served.upload([table(0), table(1), edge(0, 0)])
    told = [re.findall("<p>(It flows|None: nothing)", (await served.get(at(id_)))[1]) for id_ in "01"]
    assert told == [["It flows"], ["None: nothing"]]


async def test_several_integrations_are_listed(served: Served) -> None:
    served.workspace.create_integration("a & b", integration_id="o? th&er")
    _, text, _ = await served.get(f"{PREFIX}/")
    addresses = re.findall(r'<th scope="row"><a href="([^"]+)">', text)
    assert len(addresses) == 2
    for address in addresses:
        status, text, _ = await served.get(html.unescape(address))
        assert status == 200
        [told] = re.findall("that, to (.*)</code>", text)
        assert address == f"{PREFIX}/{quote(html.unescape(told), safe='&')}/".replace("&", "&amp;")


async def test_long_lists_of_a_sync_have_pages_that_hold_each_id_once(served: Served) -> None:
    await served.upload([table(number) for number in range(450)])
    path, found = f"{DEV}syncs/1?only=added", []
    while path:
        _, text, _ = await served.get(path)
        found += re.findall(r'resource\?id=(\d+)"', text)
        path = html.unescape("".join(re.findall(r'rel="next" href="([^"]+)"', text)))
    assert sorted(found, key=int) == [str(number) for number in range(450)]


@needs_chromium
async def test_what_has_been_staled_meanwhile_opens_to_no_more_than_that(served: Served, window: Chrome) -> None:
    await served.send([row("a"), row("b"), row("in", "a")], [])
    wait = opened(window, served, DEV)
    window.execute_script("document.getElementById('news').dataset.syncs = 9")  # what is said is not of the sync
    await served.send([row("b")], [])
    window.find_element(By.CSS_SELECTOR, ".toggle").click()
    told = "The workspace holds no such resource. Load this page again to see what it holds now."
    wait.until(lambda each: texts(each, "#news") == [told])
    assert window.find_element(By.CSS_SELECTOR, ".toggle").get_attribute("aria-expanded") == "false"


async def test_an_address_without_its_last_slash_leads_on(served: Served) -> None:
    for path, to in (("/", f"{PREFIX}/"), (PREFIX, f"{PREFIX}/"), (f"{PREFIX}/", DEV), (f"{PREFIX}/dev", DEV)):
        status, _, headers = await served.get(path)
        assert (path, status, headers["Location"]) == (path, 302, to)


async def test_a_page_that_cannot_be_made_says_so_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: str) -> list[str]:
        raise RuntimeError("why")

    pages = await to_thread.run_sync(partial(WorkspacePages, {"dev": Catalog("dev", "custom")}, commands=fails))
    workspace = FakeWorkspace(api_key="key")
    workspace.mount(PREFIX, pages.app())
    async with workspace, aiohttp.ClientSession() as session, session.get(f"{workspace.url}{DEV}") as answer:
        assert (answer.status, "defect of secoda-async" in await answer.text()) == (500, True)
        assert "Content-Security-Policy" in answer.headers
    assert "RuntimeError: why" in caplog.text
