"""One run's lifetime: extract, then deliver all or nothing, then report."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from secoda_async.baselines import Baselines
from secoda_async.checks import Checks
from secoda_async.counters import Counters, Pace
from secoda_async.dataset import Dataset
from secoda_async.errors import ConfigurationError, DeliveryError, IncompleteRunError, OutputError, SpoolError, leaves
from secoda_async.findings import Findings
from secoda_async.network.asked import last_asked
from secoda_async.network.client import Client
from secoda_async.network.critical_path import go_on_from
from secoda_async.network.message import Auth, Transport
from secoda_async.network.replay import ReplayTransport
from secoda_async.pace_file import load_paces, save_paces
from secoda_async.pagination.walk import Walks
from secoda_async.pipeline.intake import Intake
from secoda_async.pipeline.pump import drain, pump
from secoda_async.pipeline.sink import GuardedSink, RunInfo, Sink, SyncSink
from secoda_async.redact import Redactor
from secoda_async.report import Delivery, RunReport, write_report
from secoda_async.run_journal import RunJournal, resumed
from secoda_async.scopes import Scopes
from secoda_async.settings import Input, Settings
from secoda_async.spool import Spool, new_run_id, resolve_state_dir
from secoda_async.spool_index import Kind
from secoda_async.stored_scopes import StoredScopes
from secoda_async.stragglers import cancel_stragglers, marked, stop_stragglers, tasks_of
from secoda_async.watchdog import Waits, Watchdog
from secoda_async.workers import WORKER_TASK, Workers, gave_up

REPORT: Final = "report.json"
"""The run's report, in its folder."""
_CLEAN_UP: Final = 1.0  # seconds a failed run's sink may take to say so


def _no_auth() -> None:
    return None


class Run:
    """One run, from its first request to its report.

    Usage: ``run = Run("Cluvio", settings, redact=redact); report = await run.execute(extract, sink)``.
    ``client``, ``intake``, ``workers`` and ``walks`` exist while ``extract`` runs.
    """

    client: Client
    intake: Intake
    workers: Workers
    walks: Walks
    scopes: Scopes

    def __init__(
        self,
        integration: str,
        settings: Settings,
        *,
        redact: Redactor,
        transport: Transport | None = None,
        default_auth: Callable[[], Auth | None] = _no_auth,
        inputs: Mapping[str, Input] | None = None,
    ) -> None:
        self.run_id = new_run_id()
        self.counters = Counters()
        self.findings = Findings()
        self.checks = Checks()
        self.report: RunReport | None = None
        self.extracting = False
        self.phase = "extract"
        """What it is doing, for a person: ``extract``, ``check``, then ``deliver``."""
        self._delivery = Delivery.NOTHING
        self._integration = integration
        self._settings = settings
        self._redact = redact
        self._transport = transport
        self._journal: RunJournal | None = None
        self._default_auth = default_auth
        self._inputs = inputs
        self._known: dict[str, Pace] = {}
        self._watchdog: Watchdog | None = None
        self._baselines: Baselines | None = None
        self._held = ExitStack()
        self._directory: Path | None = None

    async def execute(self, extract: Callable[[], Awaitable[None]], sink: Sink) -> RunReport:
        """Run ``extract``, and hand its spool to the sink where nothing was lost.

        Raises what ``extract`` raised, IncompleteRunError where it returned although something was lost, and
        DeliveryError where the result could not be kept or delivered; ``report`` holds the report in each case.
        """
        started_at, clock = datetime.now(UTC), time.monotonic()
        error: BaseException | None = None
        self._watchdog = Watchdog(self._settings.watchdog, self._waits(), self._warn)
        self._watchdog.start()
        try:
            await _shieldable(partial(self._extract_and_deliver, extract, sink))
        except BaseException as exc:
            error = exc
            raise
        finally:
            self._watchdog.stop()
            self.report = RunReport.of(
                run=self.run_id,
                integration=self._integration,
                delivery=self._delivery,
                started_at=started_at,
                seconds=time.monotonic() - clock,
                error=None if error is None else self._redact(f"{error}" or type(error).__name__),
                counters=self.counters,
                findings=self.findings,
                checks=self.checks,
                redact=self._redact,
                concurrency=self._settings.concurrency,
                inputs=self._inputs,
            )
            if self._directory is not None:
                with contextlib.suppress(OutputError):  # it is returned as well
                    await to_thread.run_sync(write_report, self.report, self._directory / REPORT)
        return self.report

    async def _extract_and_deliver(self, extract: Callable[[], Awaitable[None]], sink: Sink) -> None:
        await self._prepare_replay()
        with anyio.CancelScope(shield=True):  # or files that are made in that moment would stay open
            spool = await to_thread.run_sync(self._open_files, sink)
        opened: list[Sink] = []
        try:
            await sink.open(self._info())
            opened.append(sink)
            await self._extract(extract, spool, sink)
            await self._finish_journal()
            await to_thread.run_sync(spool.complete)
            await self._check(spool, sink)
            await self._deliver(spool, sink)
            await to_thread.run_sync(self._accept, spool)
        except BaseException as exc:
            try:
                await self._finish_journal()
            except OutputError as error:
                exc.add_note(f"also: {error}")
            await self._abort(spool, [] if self._delivery is Delivery.DELIVERED else opened, exc)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._close_files, spool)

    async def _check(self, spool: Spool, sink: Sink) -> None:
        """Let the sync pass the rules and the stale guard, where the sink replaces what an earlier one brought."""
        # Files are no sync yet: `validate` and `upload` judge them, or the run itself where it is strict.
        if self._baselines is None or not isinstance(sink, SyncSink):
            return
        if not self._settings.strict and not isinstance(sink, GuardedSink):
            return
        self.phase = "check"
        await to_thread.run_sync(import_module, "secoda_async.preflight")  # with DuckDB: a tenth of a second
        from secoda_async.preflight import Preflight  # noqa: PLC0415

        baseline = await to_thread.run_sync(self._baselines.current)
        preflight = Preflight(sink, self._settings, self.checks)
        files = await preflight.check(self._dataset(spool), spool.directory, baseline)
        spool.distinct = {kind: files.file(kind) for kind in Kind}

    @staticmethod
    def _dataset(spool: Spool) -> Dataset:
        return Dataset(*(spool.file(kind).path for kind in Kind))

    def _accept(self, spool: Spool) -> None:
        spool.accept()
        if self._baselines is not None:
            self._baselines.accept(self._dataset(spool), self.run_id, index=spool.index)

    def describe_waits(self) -> str:
        """What the run waits for now, for a person; called in any thread but the event loop's."""
        return "" if self._watchdog is None else self._redact(self._watchdog.describe())

    def _waits(self) -> Waits:
        loop, counters = asyncio.get_running_loop(), self.counters

        def done() -> object:
            sides = [
                (
                    one.requests - one.in_flight,
                    one.attempts,
                    one.bytes_received,
                    one.body_sent,
                    one.served,
                    one.recorded,
                )
                for one in (counters.source, counters.upload)
            ]
            return sides, counters.resources.total(), counters.lineage, counters.delivered, self.phase

        def requests() -> Iterable[str]:
            return self.client.waiting(loop.time()) if hasattr(self, "client") else ()

        def others() -> Iterator[str]:
            if self.phase != "extract":
                yield f"the run is at: {self.phase}"
            if counters.undelivered:
                yield f"{counters.undelivered:,} declared bytes are not written yet"

        return Waits(done, requests, others, lambda: tasks_of(self, loop))

    def _warn(self, text: str) -> None:
        logging.getLogger("secoda_async").warning("%s", self._redact(text))

    async def _prepare_replay(self) -> None:
        """Look at the recording before anything is written: a wrong one must not cost an older run its files."""
        path = self._settings.replay
        if path is None:
            return
        if self._transport is not None:
            raise ConfigurationError("give transport= or replay, not both; ReplayTransport(path) is a transport")
        replay = ReplayTransport(path, integration=self._integration)
        await replay.check()
        self._transport = replay

    def _open_files(self, sink: Sink) -> Spool:
        """The run's spool, its journal where it keeps one, and the sink's target, which no other run may have now."""
        settings = self._settings
        state_dir = resolve_state_dir(settings.state_dir)
        if isinstance(sink, SyncSink):
            self._baselines = self._held.enter_context(Baselines(state_dir, sink.target()).held(self.run_id))
        try:
            return self._open_spool(settings, state_dir)
        except BaseException:
            self._held.close()
            raise

    def _open_spool(self, settings: Settings, state_dir: Path) -> Spool:
        self._known = load_paces(state_dir)
        if settings.record is not None and not settings.record.parent.is_dir():
            raise ConfigurationError(f"record: there is no folder {settings.record.parent}; make it")
        with resumed(settings, state_dir, self._integration) as source:
            spool = Spool.create(state_dir, self.run_id)
            self._directory = spool.directory
            try:
                if RunJournal.wanted(settings):
                    self._journal = RunJournal.open(
                        settings, spool.directory, integration=self._integration, run=self.run_id, source=source
                    )
            except BaseException as exc:
                spool.fail(self._redact(str(exc)))
                spool.close()
                raise
        return spool

    def _close_files(self, spool: Spool) -> None:
        try:
            if self._transport is None:  # else what was found out is not about the hosts
                with contextlib.suppress(OSError):  # the next run will find it out again
                    save_paces(resolve_state_dir(self._settings.state_dir), self.counters.source.paces)
        finally:
            self._held.close()
            spool.close()

    async def _finish_journal(self) -> None:
        if self._journal is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._journal.finish)

    async def _extract(self, extract: Callable[[], Awaitable[None]], spool: Spool, sink: Sink) -> None:
        """Run ``extract`` and the pump beside each other until everything declared is in the spool."""
        client = Client(
            self._settings,
            traffic=self.counters.source,
            findings=self.findings,
            redact=self._redact,
            transport=self._transport,
            journals=None if self._journal is None else self._journal.journals,
            auth=self._default_auth(),
            known=self._known,
            gave_up=gave_up,
        )
        ends = _Ends()
        with Intake(self._settings, self.counters, self.findings, self._last_request) as self.intake:
            try:
                async with client as self.client, anyio.create_task_group() as group:
                    source = self.counters.source
                    self.workers = Workers(group, self._settings.concurrency, lambda: source.waiting > 0)
                    self.client.renew_in(partial(group.start_soon, name=WORKER_TASK))
                    self.walks = Walks(self.workers, self.client, self.findings, self._redact)
                    self.scopes = Scopes(
                        self.intake,
                        counters=self.counters,
                        findings=self.findings,
                        redact=self._redact,
                        stored=self._load_scopes,
                        stop=self.workers.stop_part,
                    )
                    group.start_soon(ends.of, group, partial(pump, self.intake, spool, sink))
                    # A task of its own: what user code does to its task (cancel, uncancel) must not reach the run's.
                    group.start_soon(ends.of, group, partial(self._call, extract))
            finally:
                if not ends.with_unwritten:
                    with contextlib.suppress(SpoolError):  # the run has failed already, and says why
                        await drain(self.intake, spool)
        ends.raise_first()
        self._find_unmatched_limits()
        if self.findings.loss_count and not self._settings.allow_losses:
            raise self._incomplete()

    async def _call(self, extract: Callable[[], Awaitable[None]]) -> None:
        self.extracting = True
        loop = asyncio.get_running_loop()
        began, busy = loop.time(), time.thread_time()
        go_on_from(0.0)  # whoever runs this may be within another run's extract()
        try:
            with marked(self):
                await extract()
            await self._look_for_what_was_left()
        except BaseException as exc:
            for error in _behind(exc):
                self.client.distrust(error)
            cancel_stragglers(self)
            raise
        finally:
            self.extracting = False
            self.counters.extraction = loop.time() - began
            self.counters.loop_busy = time.thread_time() - busy
            self.workers.stop()
            self.client.stop()
            self.intake.close()

    async def _look_for_what_was_left(self) -> None:
        """Whatever was cut off, or has not ended when ``extract`` returns, is missing from the result."""
        self.findings.lose_cancelled()
        for sentence, ledger in await self.workers.aclose():
            self.findings.lose(sentence, ledger=ledger)
        for request in self.client.in_flight:
            self.findings.lose(self._redact(f"{request} was still in flight when extract() returned; await it"))
        for sentence in await stop_stragglers(self):
            self.findings.lose(sentence)
        for name in self.intake.open_scopes:
            self.findings.lose(f"the scope {name!r} had not ended when extract() returned; await what it is in")
        if forgotten := self.client.never_awaited:
            self.findings.lose(
                f"{forgotten} http_* calls were never awaited, or cancelled before they began, so nothing was sent; "
                "write `await`"
            )

    @staticmethod
    def lose_task(run: object, sentence: str) -> None:
        """Count a task of ``run`` that failed and that nobody awaited."""
        if isinstance(run, Run):
            run.findings.lose(run._redact(sentence))

    def _last_request(self) -> str:
        request = last_asked.get()
        return "" if request is None else self._redact(str(request))

    def _load_scopes(self) -> StoredScopes | None:
        baseline = None if self._baselines is None else self._baselines.current()
        return None if baseline is None else StoredScopes.load(baseline.directory)

    def _find_unmatched_limits(self) -> None:
        for key in self.client.unmatched_limits:
            self.findings.find("unmatched-limit", key, f"rate_limits: no request went to {key!r}; is it spelt right?")

    def _incomplete(self) -> IncompleteRunError:
        count, first = self.findings.loss_count, self.findings.losses[0]
        more = f" (and {count - 1} more, see the report)" if count > 1 else ""
        step = ""
        if first.request:
            step = ". Let its error end extract(), or pass optional=True where the run is complete without that data"
        return IncompleteRunError(f"the run is incomplete, so nothing was delivered: {first.message}{more}{step}")

    async def _deliver(self, spool: Spool, sink: Sink) -> None:
        self.phase = "deliver"
        self._delivery = Delivery.UNCERTAIN  # so it stays where this is cancelled in the middle
        try:
            await sink.commit(spool)
        except DeliveryError as error:
            if not error.ambiguous:
                self._delivery = Delivery.NOTHING
            raise
        self._delivery = Delivery.DELIVERED

    async def _abort(self, spool: Spool, sinks: list[Sink], error: BaseException) -> None:
        """Tell the files, and the sink that waits for an end, that the run failed; a failure here hides no error."""
        reason = self._redact(str(error) or type(error).__name__)
        with anyio.move_on_after(_CLEAN_UP, shield=True):
            for tell in (partial(to_thread.run_sync, spool.fail, reason), *(partial(s.abort, error) for s in sinks)):
                try:
                    await tell()
                except Exception as exc:  # noqa: BLE001 # noted on the error that is raised
                    error.add_note(f"also: {type(exc).__name__}: {self._redact(str(exc))}")

    def _info(self) -> RunInfo:
        return RunInfo(
            self.run_id,
            self._integration,
            self.counters.upload,
            self.findings,
            self._redact,
            self._settings.on_conflict,
        )


class _Ends:
    """How the two halves of a run ended: an error of either ends the other, and is raised as itself, not in a group."""

    def __init__(self) -> None:
        self._errors: list[BaseException] = []
        self._cancelled: list[asyncio.CancelledError] = []

    async def of(self, group: TaskGroup, half: Callable[[], Awaitable[None]]) -> None:
        """Run one half, and remember how it ended."""
        try:
            await half()
        except asyncio.CancelledError as exc:
            self._cancelled.append(exc)
            group.cancel_scope.cancel()
            raise
        except BaseException as exc:  # noqa: BLE001 # raised by `raise_first`
            self._errors.append(exc)
            group.cancel_scope.cancel()

    @property
    def with_unwritten(self) -> bool:
        """Whether a batch could not be written: what came after it is of no use then."""
        return any(isinstance(error, DeliveryError) for error in self._errors)

    def raise_first(self) -> None:
        """Raise the first error, the others as notes on it; or the cancellation where there was nothing else."""
        found: list[BaseException] = [leaf for error in self._errors for leaf in leaves(error)] or [*self._cancelled]
        if found:
            first, *others = found
            for other in others:
                if not isinstance(other, asyncio.CancelledError):
                    first.add_note(f"also: {type(other).__name__}: {other}")
            raise first


async def _shieldable(work: Callable[[], Awaitable[None]]) -> None:
    """Do it in a task of its own: anyio's shields hold there, while a task that asyncio cancels has none."""
    errors: list[BaseException] = []

    async def body() -> None:
        try:
            await work()
        except BaseException as exc:  # noqa: BLE001 # raised below, as itself instead of in a group
            errors.append(exc)

    async with anyio.create_task_group() as group:
        group.start_soon(body)
    if errors:
        raise errors[0]


def _behind(error: BaseException) -> list[BaseException]:
    """An error and all that it was raised from."""
    found: list[BaseException] = []
    ahead: list[BaseException | None] = [error]
    while ahead:
        one = ahead.pop()
        if one is not None and one not in found:
            found.append(one)
            ahead += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                ahead += one.exceptions
    return found
