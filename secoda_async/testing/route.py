"""Which requests a route of a fake source is for, and what it answers them, one after another."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Final, Self

from typing_extensions import override
from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.message import Request, Response
from secoda_async.testing.answer import Answer

Handler = Callable[..., Any]
"""Called with the request, and the path's parts by their names; gives an `Answer`, or what is to be sent as JSON."""

_NAME: Final = re.compile(r"\{([A-Za-z_]\w*)\}")
_REST: Final = "**"


class Route:
    """One route of a `FakeSource`; what `FakeSource.route` gives. ``calls`` are the requests that came to it."""

    def __init__(self, method: str, pattern: str, first: Answer | Handler) -> None:
        self.method = method.upper()
        self.pattern = pattern
        self.calls: list[Request] = []
        self._answers: list[Answer | Handler] = [first]
        place, _, query = pattern.partition("?")
        self._origin, path = _split(place)
        if not path.startswith("/"):
            raise ConfigurationError(f'{pattern!r} is no pattern of a path; write "/tables/{{id}}"')
        self._query = [*URL.build(path="/", query_string=query).query.items()]
        names = _NAME.findall(path)
        if len({*names}) != len(names):
            raise ConfigurationError(f"{pattern!r} has a name twice")
        self._path = _compiled(path)
        # What says more about a request comes first: an origin, fewer gaps, more of the query.
        self.rank = (not self._origin, path.endswith(_REST), len(names), -len(self._query), method == "*")

    def then(self, handler: Handler | None = None, **answer: Any) -> Self:
        """What the next request gets: ``source.get("/jobs", status=503).then(json=[])``. The last goes on for all."""
        self._answers.append(as_answer(handler, answer))
        return self

    def match(self, request: Request) -> dict[str, str] | None:
        """The named parts of a request's path, where the route is for it."""
        if self.method not in (request.method, "*"):
            return None
        url = request.url
        if self._origin and self._origin != str(url.origin()):
            return None
        if any(value not in url.query.getall(name, ()) for name, value in self._query):
            return None
        found = self._path.fullmatch(url.path)
        return None if found is None else found.groupdict()

    async def answer(self, request: Request, parts: dict[str, str]) -> Response:
        """What it answers now."""
        chosen = self._answers[min(len(self.calls), len(self._answers) - 1)]
        self.calls.append(request)
        if isinstance(chosen, Answer):
            return chosen.response(request)
        given = chosen(request, **parts)
        if inspect.isawaitable(given):
            given = await given
        if isinstance(given, Response):
            return given
        return (given if isinstance(given, Answer) else Answer(json=given)).response(request)

    def fresh(self) -> Route:
        """The same route, at its first answer."""
        made = Route(self.method, self.pattern, self._answers[0])
        made._answers = self._answers
        return made

    @override
    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"


def as_answer(handler: Handler | None, answer: dict[str, Any]) -> Answer | Handler:
    """What a route was given: a handler, or the keywords of an `Answer`."""
    if handler is None:
        return Answer(**answer)
    if answer:
        raise ConfigurationError(f"give a handler, or {', '.join(answer)}, not both")
    if not callable(handler):
        raise ConfigurationError(f"a handler is called with the request; {handler!r} is given with json=")
    return handler


def _split(place: str) -> tuple[str, str]:
    """Origin and path; a pattern without a scheme is for every origin."""
    if "://" not in place:
        return "", place
    scheme, _, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    return str(URL(f"{scheme}://{host}").origin()), slash + path


def _compiled(path: str) -> re.Pattern[str]:
    has_rest = path.endswith(_REST)
    parts = _NAME.split(path.removesuffix(_REST))
    text = "".join(f"(?P<{part}>[^/]+)" if number % 2 else _literal(part) for number, part in enumerate(parts))
    return re.compile(text + (".*" if has_rest else ""), re.DOTALL)


def _literal(part: str) -> str:
    """As the path of a request is compared: without escapes, but for those of a slash."""
    return re.escape(URL.build(path=part, encoded=True).path)
