"""One page of a listing, and what is asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from multidict import CIMultiDict

from secoda_async.errors import ConfigurationError, PaginationError
from secoda_async.network.encode import JSON_TYPE, encode_json, with_params
from secoda_async.network.message import Request, Response
from secoda_async.network.origin import aimed_at, target_of
from secoda_async.pagination.paths import MissingPathError, find, kind_of, with_value

HEADER: Final = "header:"
_FLAGS: Final = {True: True, False: False, None: False, "true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """How the request of a page differs from the caller's own: ``Ask(params={"page": 2})``."""

    params: Mapping[str, Any] = field(default_factory=dict)
    """Set in the query."""
    json: Mapping[str, Any] = field(default_factory=dict)
    """Set in the JSON body, by dotted path."""
    url: str | None = None
    """Asked as it is, in place of the caller's URL and params. It leads where the last page came from."""
    at: int = 0
    """The page's place, where it has one: its number or its offset."""
    expected: int = 0
    """Items that are missing where fewer come, as the answers so far declare."""

    def of(self, first: Request, last: Request) -> Request:
        """The request to send: ``first`` is the caller's, ``last`` that of the page before.

        Raises ValueError, with the reason, where the URL must not be followed, and ConfigurationError where something
        is to be set in a body that is no JSON object.
        """
        if self.url is not None:
            return aimed_at(last, target_of(last.url, self.url))
        request = first
        if self.params:
            request = request._replace(url=with_params(request.url, self.params))
        if self.json:
            body = _json_object(request)
            for path, value in self.json.items():
                body = with_value(body, path, value)
            headers = CIMultiDict(request.headers)
            headers.setdefault("Content-Type", JSON_TYPE)
            request = request._replace(body=encode_json(body), headers=headers)
        return request


def _json_object(request: Request) -> Mapping[str, Any]:
    if request.body is None:
        return {}
    try:
        body = orjson.loads(request.body) if isinstance(request.body, bytes) else None
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, Mapping):
        raise ConfigurationError(
            f"{request}: the pager sets values in a JSON object, so give one with json=, no other body"
        )
    return body


def ask(place: str, values: Mapping[str, Any], *, at: int = 0, expected: int = 0) -> Ask:
    """An ask whose values go into the ``place``: the query or the JSON body."""
    if place == "json":
        return Ask(json=values, at=at, expected=expected)
    return Ask(params=values, at=at, expected=expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer, as a pager sees it.

    Usage, in a `Pager` of one's own: ``return Ask(params={"from": page.find("meta.next")}) if page.items else None``.
    """

    number: int
    """From 1 on, in the order of the listing."""
    ask: Ask
    response: Response
    body: Any
    items: Sequence[Any]
    before: int = 0
    """Items on the page before."""
    largest: int = 0
    """Items on the fullest page before."""
    report: Callable[[str], None] | None = None
    """Told of what does not add up, where the caller chose that instead of an error."""

    def find(self, path: str) -> Any:
        """The value at a dotted path of the body, or of ``header:NAME``. Raises PaginationError where it is absent."""
        if path.startswith(HEADER):
            name = path.removeprefix(HEADER)
            if name not in self.response.headers:
                raise self.error(f"the answer has no header {name!r}")
            return self.response.headers[name]
        try:
            return find(self.body, path)
        except MissingPathError as missing:
            raise self.error(str(missing)) from None

    def has(self, path: str) -> bool:
        """Whether a path is there, null included."""
        if path.startswith(HEADER):
            return path.removeprefix(HEADER) in self.response.headers
        try:
            find(self.body, path)
        except MissingPathError:
            return False
        return True

    def count(self, path: str) -> int | None:
        """A declared number; None where the answer says that it does not know. Raises PaginationError."""
        value = self.find(path)
        number = as_count(value)
        if number is None and value is not None:
            raise self.error(f"{path} is {kind_of(value)}, {value!r:.40}, where a count was expected")
        return number

    def flag(self, path: str) -> bool:
        """Whether there is more. Raises PaginationError where that is neither true nor false."""
        value = self.find(path)
        if isinstance(value, list | dict) or value not in _FLAGS:
            raise self.error(f"{path} is {kind_of(value)}, where true or false was expected")
        return _FLAGS[value]

    def error(self, message: str) -> PaginationError:
        """The error of a listing that cannot go on from here."""
        return PaginationError(self._sentence(message), response=self.response)

    def drift(self, message: str) -> None:
        """Say what does not add up: raises PaginationError, or reports it where the caller chose that."""
        if self.report is None:
            raise self.error(f'{message}. Where the API is known to do so, pass drift="report"')
        self.report(self._sentence(message))

    def _sentence(self, message: str) -> str:
        return f"{self.response.request} (page {self.number}): {message}"


def as_count(value: object) -> int | None:
    """A count that JSON or a header holds; None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def is_url(text: str) -> bool:
    """Whether a text that a server calls the next page is its URL, and not a token."""
    return text.startswith(("http://", "https://", "/", "?"))
