"""Credentials of every kind, in one crawl that fails: none is in what it prints, logs, keeps or raises."""

import base64
import os
import random
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

import anyio
import orjson
from aiohttp import web

from tests.server import serve
from tests.test_cli import COMMAND
from tests.test_resume import everything, spellings

CREDENTIALS = {
    "password": "pa$s w0rd/of+the ünit",
    "user": "Crawler@Example",
    "bearer": "be4rer-T0ken+of/ours==",
    "key": "the-k3y&in=the query",
    "client_id": "cl1ent@example",
    "client_secret": "cl1ent s3cret/+",
}
EXTRACT = """
import traceback
from secoda_async import APIKeyAuth, BasicAuth, BearerAuth, Input, OAuth2ClientCredentials
from secoda_async import RequestError, Resource, RetryPolicy, SecodaIntegration


class Signs(SecodaIntegration):
    inputs = {"base_url": Input(secret=False), **{name: Input() for name in NAMES}}
    retry = RetryPolicy(attempts=2, backoff=0.001)

    async def extract(self):
        known = self.credentials
        reply = await self.http_post("/sign_in", json={"user": known["user"], "password": known["password"]})
        signed = {"headers": {"X-Session": reply.json()["session_token"]}}
        oauth = OAuth2ClientCredentials(known["base_url"] + "/oauth/token", known["client_id"], known["client_secret"])
        ways = {
            "session": signed,
            "bearer": {"auth": BearerAuth(known["bearer"])},
            "basic": {"auth": BasicAuth(known["user"], known["password"])},
            "query": {"auth": APIKeyAuth(known["key"], query="api_key")},
            "params": {"params": {"q": known["key"]}},
            "oauth": {"auth": oauth},
        }
        for way, options in ways.items():
            (await self.http_get(f"/fine/{way}", **options)).raise_for_status().json()
            await self.declare_resource(Resource(entity_type="table", databuilder_id=way))
            for fault in ("500", "422", "html", "reset", "redirect"):
                try:
                    reply = await self.http_get(f"/{fault}/{way}", **options, follow_redirects=True)
                    reply.raise_for_status().json()
                except RequestError as error:
                    print(repr(error), error, error.args, getattr(error, "response", None))
                    if way != "params":  # where the caller has put it, the request has it
                        asked = error.request
                        print(asked, repr(asked), asked.options, asked.headers.get("Authorization"))
                    traceback.print_exception(error)
                else:
                    raise AssertionError(fault)
        await self.http_get("/500/last", **ways["oauth"])
"""


class Source:
    """Fails, and shows in its answers all that it was sent, in the spelling that it came in and in others."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.seen: set[str] = set()

    def _new(self) -> str:
        self.given.append(f"T0ken+{len(self.given)}/{random.randbytes(12).hex()}==")
        return self.given[-1]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        _, fault, *way = request.path.split("/")
        headers = [request.headers.get(name, "") for name in ("Authorization", "X-Session")]
        sent = [*headers, *request.query.values(), str(request.rel_url), await request.text(), *self.given]
        for scheme, _, rest in (header.partition(" ") for header in headers):
            if scheme == "Basic":
                sent += [rest, base64.b64decode(rest).decode()]
        self.seen.update(way)
        told = [form for one in sent if one for form in (one, quote(one), base64.b64encode(one.encode()).decode())]
        match fault:
            case "sign_in":
                token = self._new()
                return web.json_response({"session_token": token}, headers={"Set-Cookie": f"sid={token}; Path=/"})
            case "oauth":
                return web.json_response({"access_token": self._new(), "token_type": "bearer", "expires_in": 3600})
            case "fine":
                return web.json_response({"told": told}, headers={"X-Told": quote(sent[0] or "x")})
            case "500" | "422":
                return web.json_response({"told": told}, status=int(fault))
            case "redirect":
                raise web.HTTPFound(f"ftp://elsewhere.example/?{'&'.join(f'q={quote(one)}' for one in sent)}")
            case "reset":
                assert request.transport is not None
                request.transport.write(f"HTTP/9 {' '.join(told)}\r\n\r\n".encode())
                request.transport.close()
        return web.Response(text=f"<p>{' '.join(told)}</p>", content_type="text/html")


def forms(secrets: Iterable[str]) -> Iterable[bytes]:
    for secret in secrets:
        yield from (form.encode() for form in (*spellings(secret), quote(quote_plus(secret))))
    pair = f"{CREDENTIALS['user']}:{CREDENTIALS['password']}"
    yield base64.b64encode(pair.encode()).rstrip(b"=")


async def test_no_kind_of_credential_is_in_the_output_or_a_file_of_a_run_that_fails(tmp_path: Path) -> None:
    source = Source()
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / "signs.py").write_text(EXTRACT.replace("NAMES", repr([*CREDENTIALS])))
    async with serve(source.handle) as url:
        (tmp_path / "credentials.json").write_bytes(orjson.dumps({"base_url": url, **CREDENTIALS}))
        command = [
            *(COMMAND, "run", tmp_path / "signs.py:Signs", "--credentials-file", tmp_path / "credentials.json"),
            *("--debug", "--resumable", "--record", kept / "recorded.journal"),
            *("--state-dir", kept / "state", "--out", kept / "out"),
        ]
        done = await anyio.run_process([*map(str, command)], env={**os.environ, "COLUMNS": "200"}, check=False)
    (kept / "output").write_bytes(done.stdout + b"\n" + done.stderr)
    assert done.returncode == 1, done.stderr.decode()
    assert source.seen == {"session", "bearer", "basic", "query", "params", "oauth", "last", "token"}
    assert {path.name for path in kept.rglob("*")} >= {
        "run.failed.json",
        "journal",
        "recorded.journal",
        "output",
        "paces.json",
    }
    everywhere = b"\n".join(everything(kept, besides="none"))
    assert everywhere.count(b"[redacted]") > 100
    found = [form for form in forms([*CREDENTIALS.values(), *source.given]) if form in everywhere]
    assert found == []
