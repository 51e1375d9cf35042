"""A compiled integration, run under the real secodadk, prints the lines that the integration itself does."""

import ast
import os
import textwrap
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from secoda_async import ConfigurationError
from secoda_async.compile.bundle import bundle
from secoda_async.compile.compile_source import compile_source
from tests.command_line import command, one_message
from tests.peer import PYTHON
from tests.server import serve
from tests.test_cluvio import EMAIL, PASSWORD, Api

ROWS = 25
PAGINATED = bundle(with_paging=True)  # read here: a test's event loop may not be blocked
bundle(with_paging=False)
EXAMPLES = Path(__file__).parents[2] / "examples"


def listing(request: web.Request) -> web.Response:
    """A listing in the way that its path says, with what goes on where and how."""
    query, kind = request.query, request.path.removeprefix("/list/")
    rows = [{"id": number} for number in range(ROWS)]
    page = int(query.get("page", 1))
    start, size = (page - 1) * 10, 10
    if kind == "offset":
        start, size = int(query["offset"]), min(int(query["limit"]), 7)
    elif kind == "cursor":
        start = int(query.get("cursor", 0))
    items, after = rows[start : start + size], start + size
    is_last = after >= ROWS
    match kind:
        case "pages" | "offset":
            return web.json_response({"total": ROWS, "items": items})
        case "short":
            return web.json_response({"total": ROWS + 1, "items": items})
        case "cursor":
            return web.json_response({"items": items, "meta": {"next": None if is_last else str(after)}})
        case "next":
            url = None if is_last else f"{request.url.origin()}/list/next?page={page + 1}"
            return web.json_response({"results": items, "count": ROWS, "next": url, "previous": None})
        case "link":
            links = {} if is_last else {"Link": f'<{request.url.origin()}/list/link?page={page + 1}>; rel="next"'}
            return web.json_response(items, headers=links)
        case "repeats":
            return web.json_response({"items": rows[:10]})
    return web.json_response({"no": "such listing"}, status=404)


async def graphql(request: web.Request) -> web.Response:
    start = int((await request.json()).get("variables", {}).get("after", 0))
    nodes = [{"id": number} for number in range(start, min(start + 10, ROWS))]
    info = {"hasNextPage": start + 10 < ROWS, "endCursor": str(start + 10)}
    return web.json_response({"data": {"tables": {"nodes": nodes, "pageInfo": info}}})


@pytest.fixture
def asked() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
async def url(asked: list[tuple[str, str, str]]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        asked.append((f"{request.method} {request.rel_url}", request.headers.get("Authorization", ""), body))
        if request.path == "/graphql":
            return await graphql(request)
        if request.path.startswith("/list/"):
            return listing(request)
        if request.path.startswith("/status/"):
            return web.json_response({}, status=int(request.path.rpartition("/")[2]))
        if request.path == "/away":
            raise web.HTTPFound(request.query["to"])
        if request.path == "/html":
            return web.Response(text="<html>", content_type="text/html")
        return web.json_response({"path": request.path, "key": request.headers.get("X-API-Key")})

    async with serve(answer) as base:
        yield base


def integration(body: str, *, imports: str = "", attributes: str = "") -> str:
    """A file with an integration of this body."""
    return f'''"""An integration."""

import asyncio
from dataclasses import dataclass
{imports}
from secoda_async import (
    APIKeyAuth, BasicAuth, BearerAuth, Cursor, DeclaredLineage, EntityType, GraphQLCursor, Input, InternalResource,
    LinkHeader, NextURL, Offset, PageNumber, RateLimit, RequestError, Resource, RetryPolicy, SecodaIntegration,
    SinglePage, Skip, StatusError, Timeout,
)


class Tables(SecodaIntegration):
    inputs = {{"base_url": Input(secret=False), "token": Input(required=False)}}
{textwrap.indent(attributes, "    ")}

    async def declare(self, name):
        title = str(name)
        await self.declare_resource(Resource(entity_type=EntityType.TABLE, databuilder_id=f"t.{{name}}", title=title))

    async def extract(self):
{textwrap.indent(textwrap.dedent(body), "        ")}


if __name__ == "__main__":
    import os
    import sys

    Tables(credentials={{"base_url": sys.argv[1], "token": "geheimes-token"}}).start()
'''


async def plain(source: str, url: str, folder: Path) -> tuple[int, list[bytes], str]:
    """Exit status, sorted lines and errors of the compiled file under the real secodadk."""
    path = anyio.Path(folder / "compiled.py")
    await path.write_text(compile_source(source, "Tables", name="tables.py").text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = await anyio.run_process([str(PYTHON), "-I", "-W", "ignore", str(path), url], check=False, env=environment)
    return done.returncode, canonical(done.stdout), done.stderr.decode()


async def own(source: str, url: str, folder: Path) -> tuple[int, list[bytes], str]:
    """The same of the integration itself."""
    path = folder / "tables.py"
    path.write_text(source)
    status, out, errors = await command(
        *("run", f"{path}:Tables", "--credential", f"base_url={url}", "--credential", "token=geheimes-token", "--quiet")
    )
    return status, canonical(out.encode()), errors


def canonical(lines: bytes) -> list[bytes]:
    return sorted(orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS) for line in lines.splitlines())


EACH = """
        async for one in {}:
            await self.declare(one["id"])
        """
BODIES = {
    "pages": EACH.format('self.paginate("/list/pages", PageNumber(total="total"), items="items")'),
    "pages without a total": EACH.format('self.paginate("/list/pages", PageNumber(), items="items")'),
    "a capped offset": EACH.format('self.paginate("/list/offset", Offset(limit=9, total="total"), items="items")'),
    "cursor": EACH.format('self.paginate("/list/cursor", Cursor("cursor", next="meta.next"))'),
    "next": """
        rows = self.paginate("/list/next", NextURL("next", total="count"))
        await self.for_each(rows, lambda one: self.declare(one["id"]))
        """,
    "recognised": """
        async with self.paginate("/list/next") as rows:
            async for one in rows:
                await self.declare(one["id"])
        """,
    "link": EACH.format('self.paginate("/list/link", LinkHeader())'),
    "graphql": EACH.format('self.paginate("/graphql", GraphQLCursor("data.tables"), json={"query": "q"})'),
    "gather and map": """
        replies = await asyncio.gather(*(self.http_get(f"/x/{n}") for n in range(3)))
        for reply in replies:
            await self.declare(reply.raise_for_status().json()["path"])
        async for reply in self.map([7, 8], lambda n: self.http_get(f"/y/{n}")):
            await self.declare(reply.json()["path"])
        failed, fine = await asyncio.gather(self.fail(), self.http_get("/z"), return_exceptions=True)
        await self.declare(f"{type(failed).__name__} {fine.status_code}")
        """,
    "all verbs and bodies": """
        await self.http_post("/p?a=1", params={"b": [1, 2], "c": None, "d": True}, json={"x": "ü"})
        await self.http_put("/p", data={"x": ["1", "2"], "y": "z"}, auth=("user", "pass"))
        await self.http_patch("/p", json=[1], retry=RetryPolicy(attempts=2), timeout=Timeout(total=5))
        await self.http_delete("/p", auth=BasicAuth("user", "pass"))
        reply = await self.http_get("/k", auth=APIKeyAuth("schluessel"))
        await self.declare(reply.json()["key"])
        await self.http_get("/k", auth=APIKeyAuth("schluessel", query="api_key"))
        await self.http_get("/none", auth=None)
        """,
    "a 404 is the caller's": """
        reply = await self.http_get("/status/404")
        await self.declare(reply.status_code)
        try:
            reply.raise_for_status()
        except StatusError as error:
            await self.declare(error.response.status_code + 1)
        """,
    "scopes": """
        async with self.scope("whole"):
            await self.declare("in a scope")
        async def one(number):
            await self.declare(f"before {number}")
            (await self.http_get(f"/status/{number}")).raise_for_status()
            await self.declare(f"after {number}")
        await self.for_each([200, 403], one, scope=lambda n: f"scope:{n}", on_error=Skip(403))
        async with self.scope("outer", on_error=Skip(ValueError)):
            async with self.scope("inner"):
                await self.declare("inner")
            raise ValueError
        async with self.scope("around", on_error=Skip(ValueError, 404)):
            async with self.scope("within"):
                (await self.http_get("/status/404")).raise_for_status()
        await self.declare("end")
        """,
    "helpers of every shape": """
        rows = [(await self._request(f"/{n}"))["path"] for n in "ab"]
        def later(name):
            async def inner():
                await self.declare(name)
            return inner()
        async def numbers():
            try:
                for n in range(5):
                    yield (await self._request(f"/n/{n}"))["path"]
            finally:
                await self.declare("finally")
        async for path in numbers():
            await self.declare(path)
        self.expect(2)
        await asyncio.gather(*map(later, rows))
        if (found := {path: len(path) async for path in numbers()}):
            await self.declare(len(found))
        """,
    "lineage and redirects": """
        reply = await self.http_get("/away", params={"to": "/there"}, follow_redirects=True)
        await self.declare(reply.json()["path"])
        await self.declare_lineage(DeclaredLineage(
            from_identifier=InternalResource(databuilder_id="a"), to_identifier=InternalResource(databuilder_id="b")
        ))
        """,
}
HELPER = """
async def _request(self, path):
    return (await self.http_get(path)).json()
"""
ALL = "[one async for one in self.paginate("
AUTH = "def default_auth(self):\n    return BearerAuth(self.credentials['token'])"


@pytest.mark.parametrize("name", BODIES)
async def test_the_compiled_file_asks_the_same_and_prints_the_same_lines(
    name: str, url: str, asked: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    source = integration(BODIES[name], attributes=f"{AUTH}\n\nasync def fail(self):\n    raise ValueError\n{HELPER}")
    status, expected, errors = await own(source, url, tmp_path)
    assert status in (0, 6), errors
    first = Counter((what, auth, _same(body)) for what, auth, body in asked)
    asked.clear()
    status, lines, errors = await plain(source, url, tmp_path)
    assert status == 0, errors
    assert lines == expected
    assert lines
    assert Counter((what, auth, _same(body)) for what, auth, body in asked) == first


def _same(body: str) -> Any:
    """A JSON body by its value."""
    return orjson.dumps(orjson.loads(body)).decode() if body[:1] in ("{", "[") else body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('await self.http_get("/status/500")', "StatusError: GET {url}/status/500 answered 500"),
        ('try:\n    await self.http_get("/status/500")\nexcept Exception:\n    pass', "IncompleteRunError"),
        (
            'try:\n    async with self.scope("x"):\n        await self.declare(1)\n        raise ValueError(2)\n'
            "except ValueError:\n    pass",
            "IncompleteRunError: the run is incomplete: ValueError: 2",
        ),
        ('(await self.http_get("/html")).json()', "DecodeError"),
        ('await self.http_get("http://127.0.0.1:9/x?token=geheimes-token")', "ConnectError: GET http://127.0.0.1:9/x"),
        (f'{ALL}"/list/short", PageNumber(total="total"), items="items")]', "PaginationError"),
        (f'{ALL}"/list/repeats", PageNumber(), items="items")]', "PaginationError"),
        (f'{ALL}"/list/none", PageNumber())]', "StatusError"),
        ('await self.http_post("/away?to=http://localhost:9/", json={}, follow_redirects=True)', "ConnectError"),
    ],
)
async def test_what_fails_the_integration_fails_the_compiled_file(
    body: str, said: str, url: str, tmp_path: Path
) -> None:
    source = integration(body, attributes="retry = RetryPolicy(attempts=1)")
    assert (await own(source, url, tmp_path))[0] == 1
    status, _, errors = await plain(source, url, tmp_path)
    assert status == 1
    assert said.format(url=url) in errors.splitlines()[-1]
    assert "geheimes-token" not in errors.splitlines()[-1]


async def test_a_redirect_to_another_origin_takes_no_credentials_along(
    url: str, asked: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    other = url.replace("127.0.0.1", "localhost")
    source = integration(
        'key = {"X-API-Key": "schluessel"}\n'
        f'reply = await self.http_get("/away?to={other}/k", headers=key, follow_redirects=True)\n'
        'await self.declare(reply.json()["key"])',
        attributes=AUTH,
    )
    status, [line], errors = await plain(source, url, tmp_path)
    assert (status, orjson.loads(line)["title"]) == (0, "None"), errors
    assert [auth for _, auth, _ in asked] == ["Bearer geheimes-token", ""]


async def test_a_declared_limit_holds(url: str, tmp_path: Path) -> None:
    source = integration(
        'import time\nfor n in range(5):\n    await self.http_get(f"/x/{n}")\n    print(time.monotonic(), flush=True)',
        attributes='rate_limits = {"GET 127.0.0.1/x/{n}": RateLimit(2, per=0.5)}',
    )
    status, lines, errors = await plain(source, url, tmp_path)
    assert status == 0, errors
    times = [float(line) for line in lines]
    # Each is let go before it is printed, so what lies between two prints is at least the rest of a window.
    assert times[4] - times[0] >= 0.5


REFUSED = {
    "from secoda_async import OAuth2ClientCredentials": "OAuth2ClientCredentials: OAuth needs a token",
    "from secoda_async import JSONLSink": "JSONLSink: it has no counterpart under plain secodadk",
    "from secoda_async import Carry": "there is no accepted sync",
    "from secoda_async import *": "write the names that are used",
    "from secoda_async.testing import FakeWorkspace": "is none of the public names",
    "import secoda_async": "write `from secoda_async import",
    "from asyncio import sleep": "asyncio.sleep: of asyncio only gather",
    "from . import mine": "a relative import",
    "import my_module": "import of my_module: the compiled integration is one file",
    "import anyio": "anyio needs an event loop",
    "from typing import *": "write the names that are used",
    "import asyncio.locks": "asyncio.locks: of asyncio only gather",
    "from asyncio.locks import Lock": "asyncio.locks: of asyncio only gather",
    "from time import time": "time is also a name that the compiled file needs; rename it",
    "from secoda_async import Resource as re": "re is also a name that the compiled file needs; rename it",
    "if 1: Request = 5": "Request is also a name that the compiled file needs; rename it",
    "type = 5": "type is also a name that the compiled file needs; rename it",
    "def find(): ...": "find is also a name that the compiled file needs; rename it",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_has_no_counterpart_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compile_source(integration("return", imports=line), "Tables", name="tables.py")
    assert f"tables.py:5: {REFUSED[line]}" in str(caught.value) or (
        "tables.py:5:" in str(caught.value) and REFUSED[line] in str(caught.value)
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("await asyncio.sleep(1)", "asyncio.sleep: of asyncio only gather"),
        ("async with asyncio.TaskGroup() as group:\n    pass", "asyncio.TaskGroup: of asyncio only gather"),
        ('async with self.http_stream("GET", "/x") as reply:\n    pass', "self.http_stream: a stream needs an event"),
        ('async with self.scope("x", on_error="carry"):\n    pass', "on_error carries records over"),
        ("await self.for_each([], self.declare, scope=str, on_error=self.policy)", "on_error must stand here"),
        ("await self.run()", "self.run: only start() is there"),
    ],
)
def test_a_call_that_has_no_counterpart_is_refused_with_its_line(body: str, said: str) -> None:
    source = integration(body)
    number = source.splitlines().index(f"        {body.splitlines()[0]}") + 1
    with pytest.raises(ConfigurationError) as caught:
        compile_source(source, "Tables", name="tables.py")
    assert f"tables.py:{number}: {said}" in str(caught.value)


def test_a_synchronous_file_needs_no_compiling() -> None:
    source = (EXAMPLES / "legacy_cluvio.py").read_text()
    with pytest.raises(ConfigurationError, match="extract is synchronous, so secodadk takes the file as it is"):
        compile_source(source, "CluvioIntegration", name="legacy.py")


def test_what_is_dropped_is_noted_with_its_line() -> None:
    source = integration('await self.http_get("/x", retry=None, timeout=5)', attributes="concurrency = 5")
    notes = compile_source(source, "Tables", name="tables.py").notes
    assert [(source.splitlines()[line - 1].strip(), message.partition(" ")[0]) for line, message in notes] == [
        ("concurrency = 5", "concurrency"),
        ('await self.http_get("/x", retry=None, timeout=5)', "retry="),
        ('await self.http_get("/x", retry=None, timeout=5)', "timeout="),
    ]


@pytest.mark.parametrize(
    ("imports", "name"),
    [
        ("from secoda_async import Resource as R; x = 1", "R"),
        ("import asyncio as a, os", "Resource"),
        ("if True:\n    from secoda_async import RateLimit", "Resource"),
        ("import os; from secoda_async import Resource as R; from asyncio import gather as g", "R"),
        ("from secoda_async import (  # one\n    Resource as R,\n); import os", "R"),
        ("from secoda_async import Resource; import os  # two", "Resource"),
        ("from asyncio import gather", "Resource"),
        ("from typing import Any, Iterator, Sequence", "Resource"),
        ("FORM = 'a\x0cb\u2028c'\nfrom secoda_async import Resource as R", "R"),
    ],
)
async def test_imports_of_any_form_are_put_in_place(imports: str, name: str, url: str, tmp_path: Path) -> None:
    declare = f'await self.declare_resource({name}(entity_type="table", databuilder_id="r"))'
    source = integration(declare, imports=imports)
    assert (await plain(source, url, tmp_path))[:2] == (await own(source, url, tmp_path))[:2]


async def test_another_class_of_the_file_runs_too(url: str, tmp_path: Path) -> None:
    source = integration("await self.declare(1)").replace("class Tables(", "class Base(").partition("if __name__")[0]
    source += (
        "class Tables(Base):\n    async def extract(self):\n        await super().extract()\n\n\n"
        "import sys\nfor one in Base, Tables:\n    one(credentials={'base_url': sys.argv[1]}).start()\n"
    )
    status, lines, errors = await plain(source, url, tmp_path)
    assert (status, len(lines)) == (0, 2), errors


async def test_how_certificates_are_checked_is_taken_over(url: str, tmp_path: Path) -> None:
    # With a strategy of its own, as the platform gives one, which tells what it is given.
    strategy = (
        "from secodadk.strats.default import DefaultNetworkCallStrategy\n\n"
        "class Tells(DefaultNetworkCallStrategy):\n"
        "    def make_request(self, method, url, *, verify, **options):\n"
        "        print(1 if verify is False else 2)\n"
        "        return super().make_request(method, url, **options)\n\n"
    )
    body = 'await self.http_get("/x")\nawait self.http_get("/x", verify=True)'
    source = integration(body, imports=strategy, attributes="verify = False")
    source = source.replace('"geheimes-token"}', '"geheimes-token"}, network_call_strategy=Tells()')
    status, lines, errors = await plain(source, url, tmp_path)
    assert (status, lines) == (0, [b"1", b"2"]), errors


def test_what_shares_a_line_with_the_future_is_refused() -> None:
    source = "from __future__ import annotations; from secoda_async import SecodaIntegration\nclass A: ..."
    source = source.replace("...", "\n    async def extract(self): ...")
    with pytest.raises(ConfigurationError, match=r"a\.py:1: write what follows the semicolon"):
        compile_source(source, "A", name="a.py")


@pytest.mark.parametrize("setting", ["cookies = True", "cert: str = 'a.pem'"])
def test_a_setting_that_the_source_depends_on_is_refused(setting: str) -> None:
    with pytest.raises(ConfigurationError, match=f"tables.py:15: {setting.partition(' ')[0].strip(':')}: secodadk"):
        compile_source(integration("return", attributes=setting), "Tables", name="tables.py")


def test_a_setting_that_guards_is_noted_as_dropped() -> None:
    made = compile_source(integration("return", attributes="enforce_endpoints: bool = True"), "Tables", name="a.py")
    assert made.notes == [(15, "enforce_endpoints is dropped: secodadk asks whatever it is told")]


async def test_a_file_is_read_as_python_reads_it(tmp_path: Path) -> None:
    source = tmp_path / "tables.py"
    text = integration('await self.declare("größe")').replace("\n", "\r\n")
    source.write_bytes(text.encode("utf-8-sig"))
    status, out, errors = await command("compile", f"{source}:Tables")
    assert status == 0, errors
    ast.parse(out)
    for hostile in (f"# coding: latin-1\n{text}".encode("latin-1"), b"# coding: nonsense", b"\xff\x00\xfe"):
        source.write_bytes(hostile)
        status, _, errors = await command("compile", f"{source}:Tables")
        assert (status, "is no text in UTF-8; save it as that" in one_message(errors)) == (2, True)


def test_a_file_without_pages_carries_no_pagination() -> None:
    source = "from secoda_async import SecodaIntegration\nclass A(SecodaIntegration):\n    async def extract(self): ..."
    paging = source.replace("...", "self.paginate('/x')")
    assert "class PageNumber" not in compile_source(source, "A", name="a.py").text
    assert "class PageNumber" in compile_source(paging, "A", name="a.py").text


def test_the_runtime_needs_nothing_that_secodadk_does_not_bring() -> None:
    tree = ast.parse(PAGINATED.text)
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {str(name).partition(".")[0] for name in modules} == {
        *(
            "abc",
            "base64",
            "collections",
            "dataclasses",
            "enum",
            "functools",
            "httpx",
            "json",
            "math",
            "pydantic",
            "re",
        ),
        *("secodadk", "time", "typing", "typing_extensions", "urllib"),
    }


async def test_the_command_writes_a_file_and_tells_what_it_dropped(tmp_path: Path) -> None:
    source = tmp_path / "tables.py"
    source.write_text(integration('await self.http_get("/x", timeout=5)'))
    status, out, errors = await command("compile", f"{source}:Tables", "-o", tmp_path / "out.py")
    assert (status, out) == (0, "")
    assert "note: " in errors
    assert "timeout= is dropped" in errors
    status, out, _ = await command("compile", f"{source}:Tables")
    assert (status, out) == (0, (tmp_path / "out.py").read_text())
    status, _, errors = await command("compile", f"{source}:Tables", "-o", source)
    assert (status, "is the integration itself" in one_message(errors)) == (2, True)
    status, _, errors = await command("compile", f"{source}:Nothing")
    assert status == 2
    assert "there is no class Nothing" in errors


async def test_a_port_that_is_compiled_gives_the_lines_of_the_file_that_it_was_ported_from(tmp_path: Path) -> None:
    """The published example's shape under the real secodadk, and its port, compiled, under the same."""
    port = compile_source((EXAMPLES / "cluvio.py").read_text(), "Cluvio", name="cluvio.py").text
    (tmp_path / "port.py").write_text(port)
    start = "import sys\nfrom {} import {} as X\nX(credentials={{'base_url': sys.argv[1], {}}}).start()\n"
    given = f"'email': {EMAIL!r}, 'password': {PASSWORD!r}"
    (tmp_path / "start_port.py").write_text(start.format("port", "Cluvio", given))
    legacy = (EXAMPLES / "legacy_cluvio.py").read_text()
    lines = []
    async with serve(Api().answer) as url:
        (tmp_path / "legacy.py").write_text(legacy.replace("https://api.cluvio.com", url))
        (tmp_path / "start_legacy.py").write_text(start.format("legacy", "CluvioIntegration", given))
        for name in ("start_legacy.py", "start_port.py"):
            done = await anyio.run_process(
                [str(PYTHON), "-W", "ignore", str(tmp_path / name), url],
                cwd=tmp_path,
                env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            )
            lines.append(canonical(done.stdout))
    assert lines[0] == lines[1]
    assert len(lines[0]) == 5


@pytest.mark.parametrize("target", ["cluvio.py:Cluvio", "datasette.py:Datasette"])
def test_the_examples_can_be_compiled(target: str) -> None:
    name, _, class_name = target.partition(":")
    made = compile_source((EXAMPLES / name).read_text(), class_name, name=name)
    assert made.notes == []
