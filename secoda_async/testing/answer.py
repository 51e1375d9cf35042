"""What a fake source answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from multidict import CIMultiDict, CIMultiDictProxy

from secoda_async.errors import ConfigurationError
from secoda_async.network.message import Request, Response
from secoda_async.settings import UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of a `FakeSource`: ``Answer(json={"id": 1})``, ``Answer(status=429, headers={"Retry-After": "2"})``.

    At most one of ``json``, ``text`` and ``content`` is its body; the first two set a Content-Type.
    Raises ConfigurationError for more than one, for a status that is none, and for what is no JSON.
    """

    status: int = 200
    json: Any = UNSET
    text: str | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [self.json is not UNSET, self.text is not None, self.content is not None]
        if sum(given) > 1:
            raise ConfigurationError("an answer has one body: give json=, text= or content=")
        if not isinstance(self.status, int) or not 100 <= self.status <= 599:
            raise ConfigurationError(f"status must be a number from 100 to 599, not {self.status!r}")
        self._body()

    def response(self, request: Request) -> Response:
        """The answer, to a request."""
        content, kind = self._body()
        headers = CIMultiDict(self.headers)
        if kind:
            headers.setdefault("Content-Type", kind)
        return Response(request, self.status, headers=CIMultiDictProxy(headers), content=content)

    def _body(self) -> tuple[bytes, str]:
        if self.json is not UNSET:
            try:
                return orjson.dumps(self.json), "application/json"
            except TypeError as exc:
                raise ConfigurationError(f"json= cannot be written as JSON: {exc}") from None
        if self.text is not None:
            return self.text.encode(), "text/plain; charset=utf-8"
        return self.content or b"", ""
