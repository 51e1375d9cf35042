"""What a user subclasses: the names of ``secodadk``, asynchronous. It delegates, and holds no logic."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from typing import Any, ClassVar, Final, TypeVar, final

from typing_extensions import Unpack

from secoda_async.credentials import Credentials
from secoda_async.errors import ConfigurationError, RunError
from secoda_async.extraction import Extraction
from secoda_async.models import DeclaredLineage, Resource
from secoda_async.network.auth import as_auth
from secoda_async.network.client import BodyOptions, RequestOptions
from secoda_async.network.message import Auth, Response, Transport
from secoda_async.network.stream import StreamedResponse
from secoda_async.pagination.pagers import Pager
from secoda_async.pagination.walk import Drift, Walk
from secoda_async.pipeline.sink import Sink
from secoda_async.process import run_in_process
from secoda_async.progress import current_tally
from secoda_async.redact import Redactor
from secoda_async.report import RunReport
from secoda_async.runner import Run
from secoda_async.settings import Input, OnError, Settings
from secoda_async.sinks.stdout import StdoutSink
from secoda_async.stragglers import told_of_failures
from secoda_async.workers import Items, Map, Worker

T = TypeVar("T")
R = TypeVar("R")
Call = Coroutine[Any, Any, R]


_NOT_RUNNING: Final = "http_*, paginate and declare_* work only while extract() runs; start it with run() or start()"


class SecodaIntegration(abc.ABC):
    """Extracts the metadata of one source. Subclass it, and write ``extract``.

    Usage::

        class Cluvio(SecodaIntegration):
            base_url = "https://api.cluvio.com"
            rate_limits = {"api.cluvio.com": RateLimit(100, per=60)}

            async def extract(self) -> None:
                reply = await self.http_get("/dashboards/")
                ...

        Cluvio(credentials={"token": "…"}).start()

    Every field of `Settings` may be a class attribute and a keyword of the constructor; the keyword wins. A
    ``base_url`` among the credentials takes the place of the class attribute, so that one form serves every server.
    ``transport`` takes the place of the network, below limits and retries; it is closed when a run ends.
    Raises ConfigurationError where a setting cannot be used.
    """

    base_url: str = ""
    inputs: ClassVar[Mapping[str, Input] | None] = None
    """The inputs of the connection form; None: every credential is secret and none is required beforehand."""

    def __init__(self, *, credentials: Mapping[str, Any], transport: Transport | None = None, **settings: Any) -> None:
        self.credentials = Credentials(credentials)
        own = {f.name: getattr(type(self), f.name) for f in fields(Settings) if hasattr(type(self), f.name)}
        self.setting_origins = {
            name: "class attribute" for name, value in own.items() if (name, value) != ("base_url", "")
        }
        """Where each setting that is not at its default comes from, for a person."""
        if isinstance(given := credentials.get("base_url"), str) and given:
            own["base_url"] = given
            self.setting_origins["base_url"] = "credential base_url"
        self.setting_origins |= dict.fromkeys(settings, "constructor")
        self.settings = Settings.of({**own, **settings})
        self.base_url = self.settings.base_url
        self.report: RunReport | None = None
        """The last run's report, also where it failed."""
        self._transport = transport
        self._current: Run | None = None
        self._running: Extraction | None = None

    @abc.abstractmethod
    async def extract(self) -> None:
        """Read the source, and declare what it holds. When it returns, everything must have been declared."""

    @final
    def configure(self, origin: str = "configure", /, **settings: Any) -> None:
        """Change settings before a run: ``integration.configure(concurrency=20)``.

        They win over those of the class and of the constructor. ``origin`` says where they are from, for a person.
        Raises ConfigurationError where one cannot be used, RunError while a run is under way.
        """
        if self._current is not None:
            raise RunError("settings cannot change while a run is under way; wait for its end")
        values = {f.name: getattr(self.settings, f.name) for f in fields(Settings)}
        self.settings = Settings.of({**values, **settings})
        self.base_url = self.settings.base_url
        self.setting_origins |= dict.fromkeys(settings, origin)

    @final
    async def run(self, sink: Sink | None = None) -> RunReport:
        """Extract, and deliver all of it to the sink (standard output by default) or nothing.

        Leaves the process as it is: signals, collector, loop and logging are the caller's. Each call starts afresh.
        Raises what ``extract`` raised, IncompleteRunError where something was lost although it returned,
        DeliveryError where the result was not delivered, RunError where a run is under way.
        """
        if self._current is not None:
            raise RunError("this integration is already running; wait for the end, or make another instance")
        redact = Redactor.of(self.credentials, self.inputs)
        run = self._current = Run(
            type(self).__name__,
            self.settings,
            redact=redact,
            transport=self._transport,
            default_auth=self._checked_auth,
            inputs=self.inputs,
        )
        self._running = run.extraction
        try:
            return await run.execute(self._checked_extract, sink or StdoutSink())
        finally:
            self.report = run.report
            self._current = self._running = None

    @final
    def start(self, sink: Sink | None = None) -> RunReport:
        """`run`, blocking, with the process its own: a fast event loop, a quiet collector, orderly ends on signals.

        Inside a running event loop (a notebook) it runs in a thread of its own. Raises what `run` raises.
        """
        return run_in_process(lambda: self._run_owning_the_loop(sink), self._explain)

    def default_auth(self) -> Auth | None:
        """The credentials of requests that choose none: override it, ``return BearerAuth(self.credentials["token"])``.

        It is called at the start of a run. The credentials go to the origin of ``base_url`` alone; the ``auth=`` of a
        call takes their place, and ``auth=None`` sends none.
        """
        return None

    @final
    def http_get(self, url: str, **options: Unpack[RequestOptions]) -> Call[Response]:
        """GET. Every ``http_*`` returns the answer, of any status but a final 429 or 5xx, which raises StatusError, as
        does a 403 that says when a used-up quota begins anew.

        A URL without a scheme is appended to ``base_url``. Raises RequestError where there is no answer; such a request
        is a loss of the run even where the error is caught, unless it said ``optional=True``.
        """
        return self._extraction.client.request("GET", url, **options)

    @final
    def http_post(self, url: str, **options: Unpack[BodyOptions]) -> Call[Response]:
        """POST, sent twice only with ``idempotent=True`` or where the server took nothing in."""
        return self._extraction.client.request("POST", url, **options)

    @final
    def http_put(self, url: str, **options: Unpack[BodyOptions]) -> Call[Response]:
        """PUT."""
        return self._extraction.client.request("PUT", url, **options)

    @final
    def http_patch(self, url: str, **options: Unpack[BodyOptions]) -> Call[Response]:
        """PATCH, sent twice only with ``idempotent=True`` or where the server took nothing in."""
        return self._extraction.client.request("PATCH", url, **options)

    @final
    def http_delete(self, url: str, **options: Unpack[BodyOptions]) -> Call[Response]:
        """DELETE."""
        return self._extraction.client.request("DELETE", url, **options)

    @final
    def http_stream(
        self, method: str, url: str, **options: Unpack[BodyOptions]
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """A large answer, read while it arrives: ``async with self.http_stream("GET", "/export") as reply``.

        The request lasts until the block is left, and its time-outs too: ``timeout=Timeout(total=None)`` for a body
        that takes longer than two minutes. Leaving early by ``break`` or ``return`` is no loss; by an exception it is.
        It holds a slot meanwhile where ``concurrency`` is a number. Raises ConfigurationError where streams hold all of
        them, and each reader waits for another request to the host (itself, or in `for_each`; behind a task of its own
        only the time-out ends that).
        """
        return self._extraction.client.stream(method, url, **options)

    @final
    def paginate(
        self,
        url: str,
        pager: Pager | None = None,
        *,
        items: str | None = None,
        method: str | None = None,
        drift: Drift = "error",
        max_pages: int | None = None,
        concurrency: int | None = None,
        **options: Unpack[BodyOptions],
    ) -> Walk:
        """The items of a listing, page after page: ``async for table in self.paginate("/tables", items="data")``.

        ``pager`` says how the listing goes on: `PageNumber`, `Offset`, `Cursor`, `NextURL`, `LinkHeader`,
        `GraphQLCursor`, `SinglePage`, or one of your own; None recognises the common kinds from the first answer.
        ``items`` is the dotted path of the list in an answer; None finds it where there is no doubt. ``method`` is GET,
        or POST where there is a body. ``params`` stay on every page; a next URL is asked as it is, and elsewhere than
        at the first page's origin without credentials. The other keywords are those of ``http_*``.

        Pages that repeat, are missing, or do not make up the declared total raise PaginationError; with
        ``drift="report"`` they are a finding, repeated items are left out and the listing goes on where it can.
        ``max_pages`` is how many there may be. Raises StatusError for a page that is not 2xx, and RequestError as
        ``http_*`` do; each is a loss of the run, unless the call says ``optional=True``.
        """
        return self._extraction.walks.paginate(
            url,
            pager,
            items=items,
            method=method,
            drift=drift,
            max_pages=max_pages,
            concurrency=concurrency,
            **options,
        )

    @final
    def declare_resource(self, resource: Resource) -> Awaitable[None]:
        """Declare a resource. It is taken by the call; await the result, which is where a full queue is waited for.

        Raises RecordError where it is not taken: it cannot be written as JSON, it is too large, or nothing is awaited.
        """
        extraction = self._running  # and not `_extraction`: each call costs, and records come by the million
        if extraction is None or not extraction.is_running:
            raise RunError(_NOT_RUNNING)
        return extraction.intake.declare_resource(resource)

    @final
    def declare_lineage(self, lineage: DeclaredLineage) -> Awaitable[None]:
        """Declare a lineage, as `declare_resource` does a resource."""
        extraction = self._running
        if extraction is None or not extraction.is_running:
            raise RunError(_NOT_RUNNING)
        return extraction.intake.declare_lineage(lineage)

    @final
    def for_each(
        self,
        items: Items[T],
        worker: Worker[T, Any],
        *,
        concurrency: int | None = None,
        scope: Callable[[T], str] | None = None,
        on_error: OnError = "fail",
    ) -> Call[None]:
        """Await ``worker(item)`` for every item, ``concurrency`` at a time (default: as many as are of use, at
        most the setting).

        Items may be any iterable, sync or async, of any length: workers pull. The first error stops the rest and is
        raised. ``scope=lambda schema: f"schema:{schema['name']}"`` gives each item a `scope` of its own, with
        ``on_error`` as its policy. Raises ConfigurationError where ``on_error`` is given without ``scope``.
        """
        extraction = self._extraction
        if scope is not None:
            worker = extraction.scopes.each_in(worker, scope, on_error)
        elif on_error != "fail":
            raise ConfigurationError("for_each: on_error needs scope=, which names the scope of an item")
        return extraction.workers.for_each(items, worker, concurrency=concurrency)

    @final
    def map(self, items: Items[T], worker: Worker[T, R], *, concurrency: int | None = None) -> Map[T, R]:
        """The results of ``worker(item)`` as they complete: ``async for result in self.map(items, worker)``."""
        return self._extraction.workers.map(items, worker, concurrency=concurrency)

    @final
    def scope(self, name: str, *, on_error: OnError = "fail") -> AbstractAsyncContextManager[None]:
        """A part of the run that succeeds or fails on its own.

        Usage: ``async with self.scope("schema:sales", on_error="carry"): ...``

        What is declared inside, and in tasks that are started inside, belongs to it, once it has ended without an error
        and without a loss. Where it has not: ``"fail"`` fails the run; ``"carry"``, or ``Carry(max_age=…)``, puts the
        records of this scope in the last accepted sync in its place; ``Skip(403, …)`` leaves it out where what went
        wrong is only that. Such a run is degraded. Cancellation passes through all of them.
        A name is the scope's own, in every run the same; scopes within one another end inner first.
        Raises ScopeError where they do not, and where there is nothing to carry; ConfigurationError for another policy.
        """
        return self._extraction.scopes.open(name, on_error)

    @final
    def expect(self, requests: int) -> None:
        """Say how many requests there are, where nothing else tells: ``self.expect(len(urls))`` before a `gather`.

        For progress and the time that is left. It holds for ``extract``, or for the item of the `for_each` or `map`
        around the call; several calls add up. Lists that are given to `for_each` and `map`, and listings that declare a
        total, tell theirs by themselves. Raises ConfigurationError for what is no number of requests.
        """
        if not isinstance(requests, int) or isinstance(requests, bool) or requests < 0:
            raise ConfigurationError(f"expect: requests must be a whole number of 0 or more, not {requests!r}")
        tally = current_tally.get() or self._extraction.tally
        tally.expected += requests

    @property
    def current_run(self) -> Run | None:
        """The run that is under way, for who wants to show it."""
        return self._current

    @property
    def _extraction(self) -> Extraction:
        extraction = self._running
        if extraction is None or not extraction.is_running:
            raise RunError(_NOT_RUNNING)
        return extraction

    async def _run_owning_the_loop(self, sink: Sink | None) -> RunReport:
        with told_of_failures(Extraction.lose_task):
            return await self.run(sink)

    def _explain(self) -> str:
        run = self._current
        return "no run is under way" if run is None else run.describe_waits()

    def _checked_auth(self) -> Auth | None:
        if self.inputs is not None:
            self.credentials.require(self.inputs)
        return as_auth(self.default_auth())

    async def _checked_extract(self) -> None:
        extraction = self.extract()
        if not inspect.isawaitable(extraction):
            raise ConfigurationError(
                f"{type(self).__name__}.extract must be asynchronous: write `async def extract(self)`"
            )
        await extraction
