"""Redirects are followed where the caller asks for it, and carry nothing to another origin that is not meant for it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from secoda_async.errors import RedirectError
from secoda_async.network.auth import BasicAuth
from secoda_async.network.message import Options, Request, Response, Transport
from secoda_async.network.redirect import Redirect

START = "http://a.example/one"


@dataclass
class Site(Transport):
    """Redirects as it is told; anything else is found."""

    redirects: dict[str, tuple[int, str]]
    seen: list[Request] = field(default_factory=list)

    @override
    async def send(self, request: Request) -> Response:
        self.seen.append(request)
        status, location = self.redirects.get(str(request.url), (200, None))
        headers = {} if location is None else {"Location": location}
        return Response(request, status, headers=CIMultiDictProxy(CIMultiDict(headers)), content=b"body")

    @override
    async def aclose(self) -> None:
        return


class Upload:
    length = 3

    async def open(self) -> AsyncIterator[bytes]:
        yield b"abc"


def follow(site: Site, method: str = "GET", *, follow_redirects: bool = True, **request: Any) -> Response:
    options = Options(follow_redirects=follow_redirects, auth=request.pop("auth", Options().auth))
    headers = CIMultiDict(request.pop("headers", {}))
    wanted = Request(method, URL(request.pop("url", START)), headers, options=options, **request)
    return asyncio.run(_send(Redirect(site), wanted))


async def _send(redirect: Redirect, request: Request) -> Response:
    return await redirect.send(request)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_unless_asked_for(status: int) -> None:
    site = Site({START: (status, "/two")})
    response = follow(site, follow_redirects=False)
    assert response.status_code == status
    assert len(site.seen) == 1


# Status, method before, method after, whether the body goes along.
METHODS = [
    *((status, method, method, True) for status in (307, 308) for method in ("GET", "HEAD", "POST", "PUT", "DELETE")),
    *((303, method, "GET", False) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
    (303, "HEAD", "HEAD", True),
    *((status, "POST", "GET", False) for status in (301, 302)),
    *((status, method, method, True) for status in (301, 302) for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE")),
]


@pytest.mark.parametrize(("status", "before", "after", "keeps_body"), METHODS)
def test_method_and_body_after_a_redirect(status: int, before: str, after: str, keeps_body: bool) -> None:
    site = Site({START: (status, "/two")})
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip", "X-Own": "1"}
    response = follow(site, before, body=b"data", headers=headers)
    first, second = site.seen
    assert response.status_code == 200
    assert (first.method, second.method) == (before, after)
    assert second.body == (b"data" if keeps_body else None)
    assert ("Content-Type" in second.headers, "Content-Encoding" in second.headers) == (keeps_body, keeps_body)
    assert second.headers["X-Own"] == "1"
    assert first.headers["Content-Type"] == "text/plain"


def test_a_body_source_goes_along_to_be_opened_anew() -> None:
    source = Upload()
    site = Site({START: (308, "/two")})
    follow(site, "POST", body=source)
    assert site.seen[1].body is source


@pytest.mark.parametrize("status", [300, 304, 305, 306, 200, 201])
def test_other_statuses_with_a_location_are_answers(status: int) -> None:
    assert follow(Site({START: (status, "/two")})).status_code == status


def test_a_redirect_without_location_is_an_answer() -> None:
    class Nowhere(Site):
        @override
        async def send(self, request: Request) -> Response:
            return Response(request, 302)

    assert follow(Nowhere({})).status_code == 302


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/two", "http://a.example/two"),
        ("two", "http://a.example/dir/two"),
        ("../two", "http://a.example/two"),
        ("?page=2", "http://a.example/dir/one?page=2"),
        ("//a.example/two", "http://a.example/two"),
        ("http://a.example/two#part", "http://a.example/two"),
        ("http://A.EXAMPLE/two", "http://A.EXAMPLE/two"),
        ("/tw o?q=ä", "http://a.example/tw%20o?q=%C3%A4"),
        ("/a%2Fb?c=%2F", "http://a.example/a%2Fb?c=%2F"),
    ],
)
def test_a_location_is_read_against_where_it_came_from(location: str, target: str) -> None:
    url = "http://a.example/dir/one"
    site = Site({url: (302, location)})
    response = follow(site, url=url, headers={"Token": "t"})
    assert response.url == str(site.seen[1].url) == target, "byte for byte, where it is a URL as it stands"
    assert site.seen[1].headers["Token"] == "t", "the same origin, whatever its spelling"


OTHER_ORIGINS = ["http://b.example/two", "http://a.example:8080/two", "https://a.example/two", "//sub.a.example/two"]


@pytest.mark.parametrize("location", OTHER_ORIGINS)
def test_another_origin_gets_no_credentials_and_no_header_of_the_caller(location: str) -> None:
    site = Site({START: (302, location)})
    headers = {"Authorization": "Bearer t", "Cookie": "c=1", "X-Api-Key": "k", "token": "t", "Accept": "text/csv"}
    follow(site, headers=headers, auth=BasicAuth("user", "pass"))
    assert dict(site.seen[0].headers) == headers
    assert dict(site.seen[1].headers) == {"Accept": "text/csv"}
    assert site.seen[1].options.auth is None, "None, so that the client's own credentials stay away too"


def test_less_protection_is_another_origin() -> None:
    url = "https://a.example/one"
    site = Site({url: (302, "http://a.example/two")})
    follow(site, url=url, headers={"token": "t"}, auth=BasicAuth("user", "pass"))
    assert "token" not in site.seen[1].headers
    assert site.seen[1].options.auth is None


def test_credentials_do_not_come_back_once_another_origin_was_passed() -> None:
    site = Site({START: (302, "http://b.example/"), "http://b.example/": (302, "http://a.example/three")})
    follow(site, headers={"token": "t"}, auth=BasicAuth("user", "pass"))
    assert "token" not in site.seen[2].headers
    assert site.seen[2].options.auth is None


@pytest.mark.parametrize("location", OTHER_ORIGINS)
@pytest.mark.parametrize("body", [b"data", Upload()])
def test_a_body_never_goes_to_another_origin(location: str, body: Any) -> None:
    site = Site({START: (307, location)})
    with pytest.raises(RedirectError, match=r"redirected to https?://.*, another origin, with a body; send it there"):
        follow(site, "POST", body=body)
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://a.example/", "javascript:alert(1)", "https:///x", "mailto:a@b"]
)
def test_only_http_is_followed(location: str) -> None:
    site = Site({START: (302, location)})
    with pytest.raises(RedirectError, match="only http and https are followed"):
        follow(site)
    assert len(site.seen) == 1


@pytest.mark.parametrize("location", ["http://[::1/", "http://a.example:port/", "http://a.example:99999/", "//[/"])
def test_a_malformed_location_is_named(location: str) -> None:
    with pytest.raises(RedirectError, match="which is no URL") as caught:
        follow(Site({START: (302, location)}))
    assert location in str(caught.value)


def test_a_chain_is_followed_to_its_end_and_a_loop_is_not() -> None:
    chain = {f"http://a.example/{n}": (302, f"/{n + 1}") for n in range(1, 11)}
    site = Site(chain)
    assert follow(site, url="http://a.example/1").url == "http://a.example/11"
    site = Site({START: (302, START)})
    with pytest.raises(RedirectError, match="more than 10 times"):
        follow(site)
    assert len(site.seen) == 11
