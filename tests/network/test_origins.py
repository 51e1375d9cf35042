"""A host that is not allowed is never asked, whoever names it."""

from typing import Any

import pytest
from aiohttp import web
from typing_extensions import override
from yarl import URL

from secoda_async import ConfigurationError, OriginError, Request, Response, Transport
from secoda_async.network.origins import Origins
from tests.integrations import MemorySink, integration
from tests.server import serve


class Seen(Transport):
    """Answers everything, and remembers it."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    @override
    async def send(self, request: Request) -> Response:
        self.urls.append(str(request.url))
        return Response(request, 200)

    @override
    async def aclose(self) -> None:
        return


@pytest.mark.parametrize(
    ("allowed", "url", "passes"),
    [
        (None, "http://anything.example/", True),
        (["api.example"], "https://api.example/x", True),
        (["api.example"], "https://api.example:8443/x", True),
        (["API.Example"], "https://api.EXAMPLE/x", True),
        (["api.example:443"], "https://api.example/x", True),
        (["api.example:443"], "http://api.example/x", False),
        (["api.example"], "https://api.example.evil/x", False),
        (["api.example"], "https://evilapi.example/x", False),
        (["api.example"], "https://user@evil.example/api.example", False),
        (["*.example"], "https://a.b.example/x", True),
        (["*.example"], "https://example/x", False),
        (["*.example"], "https://notexample/x", False),
        (["*.example:8443"], "https://a.example:8443/x", True),
        (["*.example:8443"], "https://a.example/x", False),
        (["bücher.example"], "https://xn--bcher-kva.example/", True),
        (["[::1]"], "http://[::1]:8000/", True),
        (["127.0.0.1"], "http://127.0.0.1:9/", True),
        ([], "http://api.example/", False),
    ],
)
async def test_only_an_allowed_host_is_asked(allowed: list[str] | None, url: str, passes: bool) -> None:
    seen = Seen()
    request = Request("GET", URL(url, encoded=True))
    if passes:
        await Origins(seen, allowed).send(request)
        assert seen.urls == [url]
    else:
        with pytest.raises(OriginError, match="was not sent: its host is not among allowed_hosts"):
            await Origins(seen, allowed).send(request)
        assert seen.urls == []


@pytest.mark.parametrize("bad", ["http://api.example", "api.example/x", "", "a b", "*", "*.*", 5, None, "user@host"])
def test_what_names_no_host_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed_hosts: .* is no host"):
        Origins(Seen(), [bad])


async def test_a_redirect_to_a_host_that_is_not_allowed_is_refused_before_it_is_followed_and_is_a_loss() -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with serve(elsewhere) as other:

        async def source(request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{other}/stolen"})

        async def extract(self: Any) -> None:
            await self.http_get("/start", follow_redirects=True)

        async with serve(source) as url:
            made = integration(extract, base_url=url, allowed_hosts=iter([url.removeprefix("http://")]))
            for _ in range(2):  # an iterator of hosts is not used up by the first run
                with pytest.raises(OriginError, match=f"GET {other}/stolen was not sent"):
                    await made.run(MemorySink())
    assert asked == []
    assert made.report is not None
    assert (made.report.source.attempts, made.report.loss_count) == (1, 1)


async def test_an_enforced_endpoint_list_lets_nothing_else_pass() -> None:
    seen = Seen()
    origins = Origins(seen, None, ["GET api.example/tables/{id}", "login.example"], enforced=True)
    for method, url in (("GET", "https://api.example/tables/7?q=1"), ("POST", "https://login.example/token")):
        await origins.send(Request(method, URL(url)))
    for method, url, wanted in (
        ("DELETE", "https://api.example/tables/7", "DELETE api.example/tables/7"),
        ("GET", "https://user:secret@api.example:8443/tables?key=1", "GET api.example:8443/tables"),
        ("GET", "https://evil.example/tables/7", "GET evil.example/tables/7"),
    ):
        with pytest.raises(OriginError, match="none of the declared endpoints") as caught:
            await origins.send(Request(method, URL(url)))
        assert f'add "{wanted}" to endpoints' in str(caught.value)
    assert len(seen.urls) == 2


async def test_a_request_to_no_declared_endpoint_is_a_finding_and_a_refusal_where_they_are_enforced() -> None:
    async def handle(request: web.Request) -> web.Response:
        if request.path == "/moved":
            raise web.HTTPFound("/elsewhere")
        return web.json_response({})

    async with serve(handle) as url:
        host = url.removeprefix("http://")

        async def extract(self: Any) -> None:
            await self.http_get("/tables/7?page=1")
            await self.http_get("/tables/8?page=1")
            await self.http_get("/moved", follow_redirects=True)

        endpoints = [f"GET {host}/tables/{{id}}", f"{host}/moved"]
        report = await integration(extract, base_url=url, endpoints=endpoints).run(MemorySink())
        assert [(f.code, f.subject, f.count) for f in report.findings] == [
            ("undeclared-endpoint", f"GET {url}/elsewhere", 1)
        ]
        strict = integration(extract, base_url=url, endpoints=endpoints, enforce_endpoints=True)
        with pytest.raises(OriginError, match=r"/elsewhere was not sent"):
            await strict.run(MemorySink())
