"""Answers and errors as a synchronous integration knows them: those of httpx, where that is installed."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from multidict import CIMultiDict
from typing_extensions import override

from secoda_async.errors import (
    CircuitOpenError,
    ConnectError,
    DecodeError,
    InvalidRequestError,
    RedirectError,
    ReplayedFailureError,
    RequestError,
    RequestTimeoutError,
    TransportError,
)
from secoda_async.network.message import Response

Lose = Callable[[RequestError], None]
"""Told of an error that an answer raises, before it does."""

# First match wins. What is not here is no fault of the network (a host that is not allowed, a request that is not in
# the recording), and must not be taken for one by an `except httpx.HTTPError`.
_ERRORS: Final[tuple[tuple[type[RequestError], str], ...]] = (
    (ConnectError, "ConnectError"),
    (RequestTimeoutError, "ReadTimeout"),
    (TransportError, "RemoteProtocolError"),
    (CircuitOpenError, "ConnectError"),
    (RedirectError, "TooManyRedirects"),
    (ReplayedFailureError, "TransportError"),
    (InvalidRequestError, "UnsupportedProtocol"),
)


class Replies(abc.ABC):
    """Makes what ``http_*`` of a synchronous integration returns and raises."""

    @abc.abstractmethod
    def reply(self, response: Response) -> Any:
        """The answer."""

    @abc.abstractmethod
    def error(self, error: RequestError) -> Exception:
        """The error."""


def replies(lose: Lose) -> Replies:
    """httpx's where it is installed, else ours. Importing it blocks for a while."""
    try:
        httpx = importlib.import_module("httpx")
    except ImportError:
        return _OwnReplies(lose)
    return _HTTPXReplies(httpx, lose)


class _OwnReplies(Replies):
    def __init__(self, lose: Lose) -> None:
        self._lose = lose

    @override
    def reply(self, response: Response) -> Response:
        # A body that is no JSON is missing data where it should have been there; a page of an error may be anything.
        response.on_error = lambda error: (
            self._lose(error) if response.is_success and isinstance(error, DecodeError) else None
        )
        return response

    @override
    def error(self, error: RequestError) -> Exception:
        return error


class _HTTPXReplies(Replies):
    def __init__(self, httpx: ModuleType, lose: Lose) -> None:
        self._httpx = httpx

        class Reply(httpx.Response):  # type: ignore[misc, name-defined] # httpx is no dependency
            """An ``httpx.Response`` that tells of a body which should be JSON and is not."""

            source: Response

            @override
            def json(self, **options: Any) -> Any:
                try:
                    return super().json(**options)
                except ValueError as exc:
                    if self.is_success:
                        told = f"{self.source.request} answered {self.status_code} with a body that is not JSON: {exc}"
                        lose(DecodeError(told, response=self.source))
                    raise

        Reply.__name__ = Reply.__qualname__ = "Response"
        Reply.__module__ = httpx.__name__
        self._reply = Reply

    @override
    def reply(self, response: Response) -> Any:
        headers = CIMultiDict(response.headers)
        encoding = ", ".join(headers.popall("Content-Encoding", []))  # or it would be decoded once more
        asked = response.request
        made = self._reply(
            response.status_code,
            headers=_raw(headers),
            content=response.content,
            request=self._httpx.Request(asked.method, response.url, headers=_raw(asked.headers)),
        )
        if encoding:
            made.headers["Content-Encoding"] = encoding
        made.elapsed = response.elapsed
        made.source = response
        return made

    @override
    def error(self, error: RequestError) -> Exception:
        name = next((name for kind, name in _ERRORS if isinstance(error, kind)), None)
        if name is None:
            return error
        asked = error.request
        try:
            request = self._httpx.Request(asked.method, str(asked.url), headers=_raw(asked.headers))
        except self._httpx.InvalidURL:
            request = None
        made: Exception = getattr(self._httpx, name)(str(error), request=request)
        return made


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as bytes: httpx takes no text beyond ASCII, which a server may send."""
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]
