"""From what a caller writes to what is sent: URL, query, form and JSON, as httpx reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

import orjson
from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.origin import is_valid
from secoda_async.redact import Redactor

FORM_TYPE: Final = "application/x-www-form-urlencoded"
JSON_TYPE: Final = "application/json"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_VALID_QUERY: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")


class BaseUrl:
    """What relative URLs are appended to, as httpx appends them: to its path, never to the host alone.

    Usage: ``BaseUrl("https://x.com/api").resolve("/tables")`` is ``https://x.com/api/tables``.
    Raises ConfigurationError where the base is no http URL or has a query.
    """

    def __init__(self, base_url: str) -> None:
        self._base: URL | None = None
        if not base_url:
            return
        try:
            base = URL(base_url, encoded=is_valid(base_url))
            names_a_host = bool(base.raw_host)  # read here, since only this parses host and port
        except ValueError:
            base, names_a_host = URL(), False
        if base.scheme not in ("http", "https") or not names_a_host:
            shown = Redactor()(base_url)  # it may carry a password
            raise ConfigurationError(f"base_url must start with http:// or https:// and name a host, not {shown!r}")
        if base.raw_query_string or base.raw_fragment:
            raise ConfigurationError(f"base_url must have no query and no fragment: {Redactor()(base_url)!r}")
        self._base = base
        self._path = base.raw_path.rstrip("/") + "/"

    def resolve(self, url: str) -> URL:
        """The absolute URL. Raises ValueError, with the reason, where there is none."""
        valid = is_valid(url)
        if _SCHEME.match(url) is None and not url.startswith("//"):
            if self._base is None:
                raise ValueError("a relative URL needs a base_url; set it on the class or in the constructor")
            if not valid:
                url = str(URL(f"/{url.lstrip('/')}"))  # quotes what must be
            path, _, query = url.partition("#")[0].partition("?")
            return URL.build(
                scheme=self._base.scheme,
                authority=self._base.raw_authority,
                path=self._path + path.lstrip("/"),
                query_string=query,
                encoded=True,
            )
        target = URL(url, encoded=valid)
        if target.scheme not in ("http", "https") or not target.raw_host:
            raise ValueError("a URL must start with http:// or https:// and name a host")
        return target.with_fragment(None) if target.raw_fragment else target


def with_params(url: URL, params: object) -> URL:
    """The URL with ``params`` added to its query; a name that it already has is replaced, as httpx 0.26 does.

    ``params`` is what httpx takes: a mapping (values may be lists), pairs, or an encoded string.
    Raises ValueError or TypeError for anything else.
    """
    added = _encoded_query(params) if isinstance(params, str) else urlencode(list(_pairs(params)))
    if not added:
        return url
    names = {_name(pair) for pair in added.split("&")}
    kept = [pair for pair in url.raw_query_string.split("&") if pair and _name(pair) not in names]
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=url.raw_path,
        query_string="&".join([*kept, added]),
        encoded=True,
    )


def _encoded_query(text: str) -> str:
    if _VALID_QUERY.fullmatch(text) is not None:
        return text
    return URL.build(query_string=text).raw_query_string  # a space or a line end would end the request line


def encode_form(data: object) -> bytes:
    """A form body, from what httpx takes as ``data``. Raises ValueError or TypeError for anything else."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    return urlencode(list(_pairs(data))).encode()


def encode_json(value: object) -> bytes:
    """A JSON body. Raises TypeError where the value has no JSON form."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _pairs(values: object) -> Iterable[tuple[str, str]]:
    if isinstance(values, Mapping):
        items: Iterable[Any] = values.items()
    elif isinstance(values, Sequence) and not isinstance(values, str | bytes):
        items = values
    else:
        raise TypeError(f"expected a dictionary or pairs, not {type(values).__name__}")
    for name, value in items:
        for one in value if isinstance(value, list | tuple) else (value,):
            yield str(name), _text(one)


def _text(value: object) -> str:
    """One value as httpx writes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
