"""Runs an unmodified synchronous integration of ``secodadk`` on this engine."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, ClassVar, Final

import anyio
from typing_extensions import override

from secoda_async import models
from secoda_async.compat import stand_in
from secoda_async.compat.crossing import Crossing
from secoda_async.compat.intake import ThreadIntake
from secoda_async.compat.replies import replies
from secoda_async.compat.strategies import IngestResourcesStrategy, NetworkCallStrategy
from secoda_async.credentials import Credentials
from secoda_async.errors import ExitError, RequestError, StatusError
from secoda_async.extraction import Extraction
from secoda_async.findings import Findings
from secoda_async.integration import SecodaIntegration
from secoda_async.network.client import BodyOptions, Client
from secoda_async.network.message import Response, Transport
from secoda_async.spool_index import Kind
from secoda_async.user_code import innermost, place_of, running_frames

EXTRACT_THREAD: Final = "secoda-async extract"
"""Name of the thread of a synchronous ``extract``: it may go on after its run's end, where it was cancelled."""
_PATIENCE: Final = 0.5  # seconds that a thread may take to clean up once its run was cancelled


class BridgedIntegration(SecodaIntegration):
    """A synchronous integration as an asynchronous one: its ``extract`` in a thread, all else as usual.

    What it prints goes to standard error, since standard output is for records.

    Usage: ``bridged(Legacy)(credentials=...).start()``. Settings, sinks and reports are those of any other.

    ``http_*`` of the synchronous class return what ``secodadk`` returns, a final 429 or 5xx too, which is a loss of the
    run; so is a request without an answer, which raises httpx's error. Threads may call them, and ``declare_*``, at any
    time until ``extract`` returns; those that still run then are losses. ``sys.exit()`` in it raises ExitError.
    """

    legacy: ClassVar[type[Any]]
    """The synchronous class."""

    @override
    def __init__(self, *, credentials: Mapping[str, Any], transport: Transport | None = None, **settings: Any) -> None:
        # Its URLs are absolute, so a credential called base_url is only its own.
        others = {name: value for name, value in credentials.items() if name != "base_url"}
        super().__init__(credentials=others, transport=transport, **settings)
        self.credentials = Credentials(credentials)

    @override
    async def extract(self) -> None:
        run = self.current_run
        assert run is not None
        error: Exception | None = None
        has_returned = False
        async with asyncio.TaskGroup() as group:
            crossing = Crossing(group)
            intake = ThreadIntake(
                run.extraction.intake, crossing, self.settings, counters=run.counters, findings=run.findings
            )
            feeding = group.create_task(intake.feed())
            before = {*threading.enumerate()}
            bridge = _Bridge(crossing, intake, run.extraction.client)
            thread = _Thread(crossing, partial(_extract, self.legacy, self.credentials, bridge, run.findings))
            try:
                with contextlib.redirect_stdout(sys.stderr), _told_of_failures(before, crossing, run.extraction):
                    await thread.run()
                has_returned = True
                _lose_threads(before, run.findings)
            except Exception as exc:  # noqa: BLE001 # raised below, where it is in no group
                error = exc
            finally:
                crossing.close()
                intake.close(has_returned=has_returned)
                with anyio.CancelScope(shield=True):
                    await thread.clean_up()
                    await intake.finish()
                feeding.cancel()
        if error is not None:
            raise error


def bridged(legacy: type[Any]) -> type[BridgedIntegration]:
    """An asynchronous class that runs a synchronous one; it has the same name."""
    names = {"legacy": legacy, "__doc__": legacy.__doc__, "__module__": legacy.__module__}
    return type(legacy.__name__, (BridgedIntegration,), names)


class _Bridge(IngestResourcesStrategy, NetworkCallStrategy):
    """Both strategies of a synchronous integration, for its threads."""

    def __init__(self, crossing: Crossing, intake: ThreadIntake, client: Client) -> None:
        self._crossing = crossing
        self._intake = intake
        self._client = client

    def prepare(self) -> None:
        """Make what takes time; called in a thread, before anything else."""
        self._replies = replies(self._lose)
        self._resources = _kinds("Resource")
        self._lineage = _kinds("DeclaredLineage")

    @override
    def declare_resource(self, resource: Any) -> None:
        self._intake.declare(Kind.RESOURCES, resource, self._resources)

    @override
    def declare_lineage(self, lineage: Any) -> None:
        self._intake.declare(Kind.LINEAGE, lineage, self._lineage)

    @override
    def make_request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        verify: bool | str = True,
        follow_redirects: bool = False,
        auth: Any = None,
    ) -> Any:
        options = BodyOptions(params=params, headers=headers, follow_redirects=follow_redirects)
        # As httpx: of both, the form is sent unless it is empty.
        if data:
            options["data"] = data
        elif json is not None:
            options["json"] = json
        if verify is not True:  # the default, which --ca-file may have changed
            options["verify"] = verify
        if auth is not None:
            options["auth"] = auth
        try:
            response = self._crossing.call(partial(self._ask, method, url, options))
        except RequestError as error:
            raise self._replies.error(error) from error
        return self._replies.reply(response)

    @override
    def finalize(self) -> None:
        return

    async def _ask(self, method: str, url: str, options: BodyOptions) -> Response:
        try:
            return await self._client.request(method, url, **options)
        except StatusError as error:  # it is a loss by now, and given as secodadk gives it
            return error.response

    def _lose(self, error: RequestError) -> None:
        """Count an answer whose body is not what it was read as; the message is redacted when this returns."""

        async def lose() -> None:
            self._client.lose(error, optional=False)

        self._crossing.call(lose)


def _kinds(name: str) -> tuple[type, ...]:
    """Our model of this name, and that of the real secodadk where it is what was imported."""
    theirs = getattr(sys.modules.get(f"{stand_in.ROOT}.ingestion_models"), name, None)
    return (getattr(models, name), *([theirs] if isinstance(theirs, type) else []))


def _extract(legacy: type[Any], credentials: Credentials, bridge: _Bridge, findings: Findings) -> None:
    """All of a synchronous run; in its thread."""
    bridge.prepare()
    try:
        made = _with(bridge, legacy, findings)(credentials=credentials)
        made.extract()
        made.finalize()
    except Exception:
        raise
    except BaseException as exc:  # none of these may reach the loop, which it would end
        told = f"sys.exit({'' if exc.code is None else repr(exc.code)})" if isinstance(exc, SystemExit) else repr(exc)
        raise ExitError(
            f"{legacy.__name__} ended by {told}{place_of(exc.__traceback__)}, so the run is not complete: let "
            "extract() return where all was declared, and raise an error where it was not"
        ) from exc


def _with(bridge: _Bridge, legacy: type[Any], findings: Findings) -> type[Any]:
    """The class with both strategies replaced from the first line of its constructor on, whatever it is given."""

    def strategy(name: str) -> property:
        def use(_: object) -> _Bridge:
            return bridge

        def give(_: object, given: object) -> None:
            if type(given).__name__ not in _DEFAULTS:
                told = (
                    f"{legacy.__name__} has a {type(given).__name__} as its {name}, which is not used: requests and "
                    "records go through secoda-async; --out or --upload says where records go"
                )
                findings.find("unused-strategy", f"{legacy.__name__}.{name}", told)

        return property(use, give)

    names: dict[str, Any] = {name: strategy(name) for name in ("ingest_resources_strategy", "network_call_strategy")}
    names |= {"__module__": legacy.__module__, "__qualname__": legacy.__qualname__, "__doc__": legacy.__doc__}
    return type(legacy.__name__, (legacy,), names)


_DEFAULTS: Final = frozenset({"DefaultIngestResourcesStrategy", "DefaultNetworkCallStrategy"})


class _Thread:
    """A synchronous run in a thread. No daemon, since the threads that it starts would be daemons, too."""

    def __init__(self, crossing: Crossing, body: Callable[[], None]) -> None:
        self._crossing = crossing
        self._body = body
        self._ended = asyncio.Event()
        self._error: Exception | None = None

    async def run(self) -> None:
        """Wait for its end. Raises what it raised."""
        target = partial(copy_context().run, self._run)
        threading.Thread(target=target, name=EXTRACT_THREAD).start()
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    async def clean_up(self) -> None:
        """Where its run was cancelled: let it go through its ``finally`` blocks, unless it takes long."""
        with anyio.move_on_after(_PATIENCE):
            await self._ended.wait()

    def _run(self) -> None:
        try:
            self._body()
        except Exception as exc:  # noqa: BLE001 # raised in the loop
            self._error = exc
        with contextlib.suppress(SystemExit):  # nobody waits for it any more
            self._crossing.soon(self._ended.set)


@contextlib.contextmanager
def _told_of_failures(before: set[threading.Thread], crossing: Crossing, extraction: Extraction) -> Iterator[None]:
    """Count the threads that ``extract`` started and that an error ended: nobody else hears of it."""
    others = threading.excepthook

    def tell(args: threading.ExceptHookArgs) -> None:
        error = args.exc_value
        if args.thread is not None and args.thread not in before and isinstance(error, Exception):
            told = f"{type(error).__name__}: {error}{place_of(args.exc_traceback)}"
            sentence = f"the thread {args.thread.name!r} ended by {told}"
            crossing.soon(partial(Extraction.lose_task, extraction, sentence))
        others(args)

    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = others


def _lose_threads(before: set[threading.Thread], findings: Findings) -> None:
    """Count the threads that ``extract`` started and that still run code of the user's."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread in before or thread.daemon:  # a daemon is meant to be left behind
            continue
        if where := innermost(running_frames(frames.get(thread.ident or 0))):
            findings.lose(
                f"the thread {thread.name!r} was still running when extract() returned, {where}; join it, or let "
                "the executor that it belongs to shut down"
            )
