"""What ``http_*`` of a synchronous integration sends, returns and raises: as httpx does, where that is installed."""

import gzip
import ssl
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.compat.legacy import loaded
from tests.compat.test_bridge import ids
from tests.integrations import MemorySink
from tests.server import serve

pytestmark = pytest.mark.filterwarnings("ignore:Field name:UserWarning")


async def source(request: web.Request) -> web.Response:
    """A listing in pieces, a redirect, and whatever else says what it was asked."""
    match request.path:
        case "/listing":
            return web.json_response(
                {"größe": [1, 2]},
                headers={
                    "Link": '</listing?page=2>; rel="next"',
                    "Set-Cookie": "session=s1; Path=/",
                    "X-Total": "2",
                    "X-Name": "größe",
                },
            )
        case "/zipped":
            return web.Response(body=gzip.compress(b'{"zipped": true}'), headers={"Content-Encoding": "gzip"})
        case "/moved":
            return web.Response(status=302, headers={"Location": "/listing"})
    told = {
        "method": request.method,
        "path": request.path_qs,
        "body": (await request.read()).decode(),
        "type": request.headers.get("Content-Type"),
        "authorization": request.headers.get("Authorization"),
    }
    return web.json_response(told, status=404 if request.path == "/404" else 200)


async def told(tmp_path: Path, expression: str, **site: Any) -> Any:
    """What an expression of a file comes to, as JSON; ``url`` is the server's."""
    made = await loaded(tmp_path, f"import json\nself.declare_resource(table(json.dumps({expression})))")
    sink = MemorySink()
    async with serve(source, **site) as url:
        await made(credentials={"base_url": url}).run(sink)
    return orjson.loads(ids(sink)[0].replace(url, "URL"))


@pytest.mark.usefixtures("httpx")
@pytest.mark.parametrize(
    ("of_the_answer", "expected"),
    [
        ("[r.status_code, r.is_success, r.is_error, r.is_redirect, r.reason_phrase]", [200, True, False, False, "OK"]),
        ("[r.json(), r.headers['x-TOTAL'], r.encoding]", [{"größe": [1, 2]}, "2", "utf-8"]),
        ("r.headers['X-Name']", "größe"),
        ("[r.text, r.content.decode()]", ['{"gr\\u00f6\\u00dfe": [1, 2]}'] * 2),
        ("[str(r.url), dict(r.cookies)]", ["URL/listing", {"session": "s1"}]),
        ("[r.links['next']['url'], r.elapsed.total_seconds() > 0]", ["/listing?page=2", True]),
        ("r.raise_for_status().status_code", 200),
    ],
)
async def test_an_answer_has_what_integrations_use(tmp_path: Path, of_the_answer: str, expected: Any) -> None:
    assert await told(tmp_path, f"(lambda r: {of_the_answer})(self.http_get(url + '/listing'))") == expected


@pytest.mark.usefixtures("httpx")
async def test_a_compressed_body_is_decoded_once(tmp_path: Path) -> None:
    assert await told(tmp_path, "self.http_get(url + '/zipped').json()") == {"zipped": True}


@pytest.mark.usefixtures("httpx")
async def test_a_redirect_is_followed_only_where_it_is_asked_for(tmp_path: Path) -> None:
    assert await told(tmp_path, "self.http_get(url + '/moved').status_code") == 302
    followed = "(lambda r: [r.status_code, str(r.url)])(self.http_get(url + '/moved', follow_redirects=True))"
    assert await told(tmp_path, followed) == [200, "URL/listing"]


@pytest.mark.usefixtures("httpx")
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("http_get(url + '/x?b=1', params={'a': [1, 2], 'c': None})", {"method": "GET", "path": "/x?b=1&a=1&a=2&c="}),
        ("http_post(url, json={'a': 1})", {"method": "POST", "type": "application/json", "body": '{"a":1}'}),
        ("http_post(url, json={})", {"body": "{}"}),
        ("http_put(url, data={'a': 'x y'})", {"method": "PUT", "body": "a=x+y"}),
        ("http_patch(url, data={'a': 1}, json={'b': 2})", {"method": "PATCH", "body": "a=1"}),
        ("http_delete(url, data={}, json={'b': 2})", {"method": "DELETE", "body": '{"b":2}'}),
        ("http_get(url, auth=('u', 'p'))", {"authorization": "Basic dTpw"}),
        ("http_put(url, auth=('u', 'p'))", {"authorization": None}),
        ("http_get(url, headers={'Authorization': 'Bearer t'})", {"authorization": "Bearer t"}),
    ],
)
async def test_a_request_is_what_secodadk_sends(tmp_path: Path, call: str, expected: dict[str, Any]) -> None:
    found = await told(tmp_path, f"self.{call}.json()")
    assert {name: found[name] for name in expected} == expected


@pytest.mark.usefixtures("secodadk")
async def test_credentials_of_httpx_are_taken(tmp_path: Path) -> None:
    found = await told(tmp_path, "self.http_get(url, auth=__import__('httpx').BasicAuth('u', 'p')).json()")
    assert found["authorization"] == "Basic dTpw"


@pytest.mark.usefixtures("httpx")
async def test_certificates_are_checked_as_the_call_says(tmp_path: Path, tls: ssl.SSLContext, ca_file: str) -> None:
    for verify in ("False", repr(ca_file)):
        assert await told(tmp_path, f"self.http_get(url, verify={verify}).status_code", ssl_context=tls) == 200
    with pytest.raises(Exception, match=r"certificate"):
        await told(tmp_path, "self.http_get(url).status_code", ssl_context=tls)


async def test_a_status_raises_what_it_raises_there(tmp_path: Path, httpx: bool) -> None:
    name = "httpx.HTTPStatusError" if httpx else "secoda_async.StatusError"
    body = f"""
        import {name.partition(".")[0]}
        try:
            self.http_get(url + "/404").raise_for_status()
        except {name} as error:
            self.declare_resource(table(error.response.status_code))
    """
    made = await loaded(tmp_path, body)
    sink = MemorySink()
    async with serve(source) as url:
        await made(credentials={"base_url": url}).run(sink)
    assert ids(sink) == ["404"]


async def test_answers_are_real_ones_where_httpx_is_installed(tmp_path: Path, httpx: bool) -> None:
    expression = "[c.__module__.partition('.')[0] for c in type(self.http_get(url)).__mro__]"
    assert await told(tmp_path, expression) == (
        ["httpx", "httpx", "builtins"] if httpx else ["secoda_async", "builtins"]
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("http_get('http://127.0.0.1:1')", "ConnectError"),
        ("http_get('/relative')", "UnsupportedProtocol"),
        ("http_get('https://' + url.partition('://')[2])", "ConnectError"),
    ],
)
async def test_a_request_without_an_answer_raises_what_httpx_raises(
    tmp_path: Path, httpx: bool, call: str, name: str
) -> None:
    body = f"""
        try:
            self.{call}
        except Exception as error:
            self.declare_resource(table(type(error).__module__ + "." + type(error).__name__))
    """
    made = await loaded(tmp_path, body)
    sink = MemorySink()
    async with serve(source) as url:
        report = await made(credentials={"base_url": url}, retry=None, allow_losses=True).run(sink)
    [found] = ids(sink)
    assert found == f"httpx.{name}" if httpx else found.startswith("secoda_async.errors.")
    assert report.loss_count == 1
