"""Which requests are of one endpoint: host, method, and a path in which ids count as one.

What ``endpoints`` declares comes first. Elsewhere a segment is an id where it is a number, a UUID, hexadecimal, long,
holds digits or characters that names have not, is a secret, or is one of many in its place; the query never counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from yarl import URL

from secoda_async.counters import EndpointCounts
from secoda_async.network.auth import kind_of_auth
from secoda_async.network.endpoint import Endpoint
from secoda_async.network.hosts import ANY, names_of
from secoda_async.network.message import Request

ID: Final = "{id}"
REST: Final = "**"
MOST_TEMPLATES: Final = 200
"""Of one host; from there on segments with many values become ids, and in the end whole paths ``**``."""
# One by one they cost four times as much: between two requests the processor forgets the code that counts.
_NOTED: Final = 256
_MOST_HOSTS: Final = 100
_MOST_VALUES: Final = 50  # of one segment, from which on it is taken for an id
_MOST_SEGMENTS: Final = 12
_MOST_LETTERS: Final = 40
_NAME: Final = re.compile(r"[A-Za-z_.~-]*|v\d{1,3}(?:\.\d{1,3})*|[A-Za-z][A-Za-z_.~-]{0,15}\d{1,2}[A-Za-z_.~-]{0,15}")
_HEX: Final = re.compile(r"[0-9a-fA-F]{8,}")


_Note = tuple["Paths", Request, int | str, float]


_Declared = tuple[Callable[[str], re.Match[str] | None], list[tuple[Endpoint, EndpointCounts, str]]]


class _Node:
    """One segment's place in a tree of paths."""

    __slots__ = ("any", "counts", "is_folded", "named", "rest")

    def __init__(self) -> None:
        self.named: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.rest: _Node | None = None
        self.counts: EndpointCounts | None = None
        self.is_folded = False

    def fold(self) -> None:
        """Take all names for ids from here on."""
        self.is_folded = True
        into = self.any = self.any or _Node()
        for node in self.named.values():
            into.take(node)
        self.named.clear()

    def take(self, other: _Node) -> None:
        """Count what another one has counted, and all below it."""
        if other.counts is not None:
            if self.counts is None:
                self.counts = other.counts
            else:
                self.counts.merge(other.counts)
        for name, node in other.named.items():
            if self.is_folded:
                self.any = self.any or _Node()
                self.any.take(node)
            elif name in self.named:
                self.named[name].take(node)
            else:
                self.named[name] = node
        if other.any is not None:
            self.any = self.any or _Node()
            self.any.take(other.any)
        if other.rest is not None:
            self.rest = self.rest or _Node()
            self.rest.take(other.rest)
        if other.is_folded or len(self.named) > _MOST_VALUES:
            self.fold()

    def below(self) -> Iterator[tuple[str, _Node]]:
        """The segments that follow, as a template writes them."""
        yield from self.named.items()
        if self.any is not None:
            yield ID, self.any
        if self.rest is not None:
            yield REST, self.rest

    def walk(self, path: str = "") -> Iterator[tuple[str, _Node]]:
        """Every place that something was counted at, with its path."""
        ahead = [(path, self)]
        while ahead:
            path, node = ahead.pop()
            if node.counts is not None:
                yield path, node
            ahead += [(f"{path}/{segment}", one) for segment, one in node.below()]


class Paths:
    """The endpoints of one host."""

    def __init__(
        self,
        host: str,
        declared: Iterable[tuple[Endpoint, str]],
        is_secret: Callable[[str], bool],
        count_noted: Callable[[], None],
    ) -> None:
        self.host = host
        self._count_noted = count_noted
        self._declared = [*declared]
        self._is_secret = is_secret
        self._of_method: dict[str, _Declared | None] = {}
        self._roots: dict[str, _Node] = {}
        self._templates = 0

    def find(self, method: str, url: URL) -> EndpointCounts:
        """What is counted of the endpoint that a request is of."""
        path = url.raw_path
        if self._declared and (counts := self._find_declared(method, url, path)) is not None:
            return counts
        node = self._roots.get(method)
        if node is None:
            node = self._roots[method] = _Node()
        for segment in path[1:].split("/", _MOST_SEGMENTS):
            child = node.named.get(segment)
            if child is None:
                child = node.any
                if child is None or not (node.is_folded or segment.isdigit()):
                    child = self._below(node, segment)
            node = child
        return node.counts or self._begin(node, method, url)

    def all(self) -> Iterator[tuple[str, str, EndpointCounts]]:
        """Method, path and counts of each endpoint that was asked."""
        for method, found in self._of_method.items():
            for _, counts, path in () if found is None else found[1]:
                if counts.statuses or counts.errors:
                    yield method, path, counts
        for method, root in self._roots.items():
            for path, node in root.walk():
                assert node.counts is not None
                yield method, path, node.counts

    def counts(self) -> Iterator[EndpointCounts]:
        """The counts alone."""
        self._count_noted()
        return (counts for _, _, counts in self.all())

    def _below(self, node: _Node, segment: str) -> _Node:
        if "/" in segment or segment == REST:  # what is deeper than any API
            node.rest = node.rest or _Node()
            return node.rest
        if not node.is_folded and not _is_id(segment) and not self._is_secret(segment):
            if len(node.named) < _MOST_VALUES:
                child = node.named[segment] = _Node()
                return child
            node.fold()
        node.any = node.any or _Node()
        return node.any

    def _begin(self, node: _Node, method: str, url: URL) -> EndpointCounts:
        if self._templates >= MOST_TEMPLATES:
            widest = max(self._nodes(), key=lambda one: len(one.named))
            if len(widest.named) > 1:
                widest.fold()
                self._templates = sum(1 for root in self._roots.values() for _ in root.walk())
                return self.find(method, url)  # its place may be another one
            root = self._roots[method]
            node = root.rest = root.rest or _Node()
        if node.counts is None:
            node.counts = EndpointCounts()
            self._templates += 1
        return node.counts

    def _nodes(self) -> Iterator[_Node]:
        ahead = [*self._roots.values()]
        while ahead:
            node = ahead.pop()
            yield node
            ahead += [one for _, one in node.below()]

    def _find_declared(self, method: str, url: URL, path: str) -> EndpointCounts | None:
        try:
            known = self._of_method[method]
        except KeyError:
            known = self._of_method[method] = self._compile(method)
        if known is None:
            return None
        match = known[0](path)
        if match is not None and match.lastindex is not None:
            return known[1][match.lastindex - 1][1]
        if "%" in path:  # a name may be spelt in another way, which only the endpoint itself judges
            return next((counts for endpoint, counts, _ in known[1] if endpoint.matches_path(method, url)), None)
        return None

    def _compile(self, method: str) -> _Declared | None:
        """One pattern for all, whose group says which of them it was."""
        found = [
            (endpoint, EndpointCounts(), path)
            for endpoint, path in self._declared
            if endpoint.path is not None and endpoint.method in (None, method)
        ]
        if not found:
            return None
        return re.compile("|".join(f"({_regex(endpoint)})" for endpoint, _, _ in found)).fullmatch, found


class Templates:
    """The endpoints of a side: ``templates.of(url).find(method, url)`` is what is counted of a request's.

    ``declared`` is as ``endpoints`` of the settings. At most 200 templates for each of 100 hosts; others are ``*``.
    """

    def __init__(
        self, declared: Iterable[str] | None = None, is_secret: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._declared = [(Endpoint.parse(text, setting="endpoints"), _path(text)) for text in declared or ()]
        self._is_secret = is_secret
        self._hosts: dict[str, Paths] = {}
        self._noted: list[_Note] = []

    def of(self, url: URL) -> Paths:
        """The endpoints of a URL's host."""
        exact, bare = names_of(url)
        name = bare if url.is_default_port() else exact
        if name not in self._hosts:
            if len(self._hosts) >= _MOST_HOSTS:
                name = ANY
            declared = [one for one in self._declared if one[0].host in (ANY, exact, bare)]
            self._hosts.setdefault(name, Paths(name, declared if name != ANY else (), self._is_secret, self._count))
        return self._hosts[name]

    def note(self, paths: Paths, request: Request, outcome: int | str, latency: float) -> None:
        """Count a request to one of ``paths``: its status, or the name of its error."""
        noted = self._noted
        noted.append((paths, request if request.body is None else request._replace(body=None), outcome, latency))
        if len(noted) >= _NOTED:
            self._count()

    def _count(self) -> None:
        for paths, request, outcome, latency in self._noted:
            counts = paths.find(request.method, request.url)
            if (auth := request.options.auth) is not counts.last_auth:
                counts.last_auth = auth
                counts.auth_kinds.add(kind_of_auth(request))
            if isinstance(outcome, str):
                counts.errors[outcome] += 1
            else:
                counts.latency.add(latency)
                statuses = counts.statuses
                statuses[outcome] = statuses.get(outcome, 0) + 1
        self._noted.clear()

    def __iter__(self) -> Iterator[tuple[str, str, str, EndpointCounts]]:
        """Host, method, path and counts of each endpoint that was asked."""
        self._count()
        for paths in self._hosts.values():
            for method, path, counts in paths.all():
                yield paths.host, method, path, counts


def _is_id(segment: str) -> bool:
    if segment.isdigit() or len(segment) > _MOST_LETTERS or _NAME.fullmatch(segment) is None:
        return True
    return _HEX.fullmatch(segment) is not None


def _regex(endpoint: Endpoint) -> str:
    """A path as `Endpoint` means it."""
    assert endpoint.path is not None
    body = "".join(f"/{'[^/]*' if part is None else re.escape(part)}" for part in endpoint.path)
    return f"{body}(?:/.*)?" if endpoint.open_end else body


def _path(text: str) -> str:
    return "/" + text.partition("/")[2]
