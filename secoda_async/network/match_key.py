"""What makes two requests equal to a journal: method, URL, parameters in any order, and body; never a credential."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote_plus

import orjson

from secoda_async.network.message import Request
from secoda_async.redact import MASK, Redactor, looks_secret

_QUOTED_MASK: Final = quote(MASK)
_FORM: Final = "application/x-www-form-urlencoded"
# Two requests that differ in one of these ask for different data.
_OF_THE_DATA: Final = ("Accept", "Range")


class MatchKey(NamedTuple):
    """One request, as a journal looks for it."""

    shown: str
    """Method and URL without credentials, for a person."""
    loose: str
    """Every value that is known to be secret, or whose name says so, masked: equal for whoever asks."""
    exact: str
    """As ``loose``, but only what is both is masked: ``?key=PROJ-1`` may be no credential, and not ``?key=PROJ-2``.
    It may hold a secret, and is only ever written as a `digest`."""


def match_key(request: Request, redact: Redactor, body: bytes | None) -> MatchKey:
    """The key of a request. ``body`` is its body, or the digest of one that is read while it is sent."""
    url = request.url
    head = f"{request.method} {url.scheme}://{url.raw_host}:{url.port}{url.raw_path}"
    loose_query, exact_query = _pairs(url.raw_query_string, redact) if url.raw_query_string else ("", "")
    shown = redact.mask_known(_unquoted(f"{head}{loose_query}"))
    exact = f"{head}{exact_query}"
    loose = shown
    if body:
        loose_body, exact_body = _body(request, redact, body)
        loose, exact = f"{loose}\n{loose_body}", f"{exact}\n{exact_body}"
    if request.headers:
        exact += "".join(f"\n{name}: {request.headers[name]}" for name in _OF_THE_DATA if name in request.headers)
    return MatchKey(shown, loose, exact)


def digest(text: str, salt: bytes) -> bytes:
    """What a journal keeps of a text that may hold a secret."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=salt).digest()


async def body_bytes(request: Request) -> bytes | None:
    """The body, or the digest of one that is read while it is sent."""
    body = request.body
    if body is None or isinstance(body, bytes):
        return body
    sums = hashlib.blake2b(digest_size=32)
    async for piece in body.open():
        sums.update(piece)
    return sums.digest()


def _pairs(query: str, redact: Redactor) -> tuple[str, str]:
    loose: list[str] = []
    exact: list[str] = []
    # Stable: values of one name stay in their order, which may mean something.
    for pair in sorted(query.split("&"), key=_name):
        name, _, value = pair.partition("=")
        masked = f"{name}={MASK}"
        secret = looks_secret(unquote_plus(name))
        loose.append(masked if secret else pair)
        exact.append(masked if secret and redact.knows(unquote_plus(value)) else pair)
    return f"?{'&'.join(loose)}", f"?{'&'.join(exact)}"


def _name(pair: str) -> str:
    return pair.partition("=")[0]


def _unquoted(text: str) -> str:
    """A value that a recording gave masked comes back as it is, or quoted."""
    return text.replace(_QUOTED_MASK, MASK)


def _body(request: Request, redact: Redactor, body: bytes) -> tuple[str, str]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    if text.startswith(("{", "[")):
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        else:
            return redact.mask_known(_dumped(_masked(value, None))), _dumped(_masked(value, redact))
    if request.headers.get("Content-Type", "").lower().startswith(_FORM):
        loose, exact = _pairs(text, redact)
        return redact.mask_known(_unquoted(loose)), exact
    return redact.mask_known(text), text


def _dumped(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _masked(value: Any, redact: Redactor | None, *, secret: bool = False) -> Any:
    """A JSON value without what its name calls secret; with ``redact``, only where it is known to be."""
    match value:
        case dict():
            return {name: _masked(inner, redact, secret=secret or looks_secret(name)) for name, inner in value.items()}
        case list():
            return [_masked(inner, redact, secret=secret) for inner in value]
        case str() | int() | float() if secret and not isinstance(value, bool):
            return MASK if redact is None or redact.knows(str(value)) else value
        case _:
            return value
