"""One run's lifetime: extract, then deliver all or nothing, then report."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from secoda_async.baselines import Baselines
from secoda_async.checks import Checks
from secoda_async.counters import Counters, Pace
from secoda_async.dataset import Dataset, Sums
from secoda_async.errors import ConfigurationError, DeliveryError, OutputError, RunError, SpoolError, reason_of
from secoda_async.extraction import Extraction
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.message import Auth, Transport
from secoda_async.network.replay import ReplayTransport
from secoda_async.pace_file import load_paces, save_paces
from secoda_async.phases import Phases
from secoda_async.pipeline.sink import GuardedSink, RunInfo, Sink, SyncSink
from secoda_async.redact import Redactor
from secoda_async.report import Delivery, RunReport, write_report
from secoda_async.run_journal import RunJournal, resumed
from secoda_async.settings import Input, Settings
from secoda_async.shielding import shieldable
from secoda_async.spool import Spool, new_run_id, resolve_state_dir
from secoda_async.spool_index import Kind
from secoda_async.stored_scopes import StoredScopes
from secoda_async.stragglers import tasks_of
from secoda_async.telemetry import Tell, require_telemetry, run_span
from secoda_async.timeline import TimelineSampler
from secoda_async.watchdog import Waits, Watchdog
from secoda_async.workers import gave_up

REPORT: Final = "report.json"
"""The run's report, in its folder."""
_CLEAN_UP: Final = 1.0  # seconds a failed run's sink may take to say so


def _no_auth() -> None:
    return None


class Run:
    """One run, from its first request to its report.

    Usage: ``run = Run("Cluvio", settings, redact=redact); report = await run.execute(extract, sink)``.
    """

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
        self.phases = Phases()
        """What it has done and does: ``prepare``, ``extract``, where it is a sync ``rules``, ``survey``, ``diff`` and
        ``SQL``, then ``upload`` or ``deliver``, and ``keep``."""
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
        self.extraction = Extraction(
            settings, counters=self.counters, findings=self.findings, redact=redact, stored=self._load_scopes
        )

    async def execute(self, extract: Callable[[], Awaitable[None]], sink: Sink) -> RunReport:
        """Run ``extract``, and hand its spool to the sink where nothing was lost.

        Raises what ``extract`` raised, IncompleteRunError where it returned although something was lost, and
        DeliveryError where the result could not be kept or delivered; ``report`` holds the report in each case.
        """
        if self._settings.telemetry:
            require_telemetry()
        with run_span(self._integration, self.run_id, on=self._settings.telemetry) as tell:
            return await self._execute(extract, sink, tell)

    async def _execute(self, extract: Callable[[], Awaitable[None]], sink: Sink, tell: Tell) -> RunReport:
        started_at, clock = datetime.now(UTC), time.monotonic()
        error: BaseException | None = None
        if self._settings.sample is not None and isinstance(sink, SyncSink):
            raise ConfigurationError(
                "sample reads a part of the source, which is never delivered: leave sample out, or try it with "
                "secoda-async check (in code: with a sink that delivers nothing)"
            )
        self._watchdog = Watchdog(self._settings.watchdog, self._waits(), self._warn)
        self._watchdog.start()
        sampler = TimelineSampler(self.counters.source, self.counters.upload)
        sampler.start()
        self.phases.begin("prepare")
        try:
            await shieldable(partial(self._extract_and_deliver, extract, sink))
        except BaseException as exc:
            error = exc
            raise
        finally:
            self._watchdog.stop()
            self.phases.end()
            self.report = RunReport.of(
                run=self.run_id,
                integration=self._integration,
                delivery=self._delivery,
                started_at=started_at,
                seconds=time.monotonic() - clock,
                error=None if error is None else self._redact(reason_of(error)),
                counters=self.counters,
                findings=self.findings,
                checks=self.checks,
                redact=self._redact,
                concurrency=self._settings.concurrency,
                inputs=self._inputs,
                timeline=sampler.stop(self._redact),
            )
            tell(self.report)
            if self._directory is not None:
                with contextlib.suppress(OutputError):  # it is returned as well
                    await shieldable(partial(to_thread.run_sync, write_report, self.report, self._directory / REPORT))
        return self.report

    async def _extract_and_deliver(self, extract: Callable[[], Awaitable[None]], sink: Sink) -> None:
        await self._prepare_replay()
        with anyio.CancelScope(shield=True):  # or files that are made in that moment would stay open
            spool = await to_thread.run_sync(self._open_files, sink)
        opened: list[Sink] = []
        try:
            await sink.open(self._info())
            opened.append(sink)
            self.phases.begin("extract")
            await self.extraction.run(extract, self._client(), spool, sink)
            await self._finish_journal()
            if self._settings.sample is not None:
                await self._abort(spool, opened, RunError("a sample is no complete run, so it is not delivered"))
                return
            await to_thread.run_sync(spool.complete, self._lacks())
            await self._check(spool, sink)
            await self._deliver(spool, sink)
            self.phases.begin("keep")
            with anyio.CancelScope(shield=True):  # or the next run would not know of what was delivered
                await to_thread.run_sync(self._accept, spool, sink)
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
        self.phases.begin("rules")
        await to_thread.run_sync(import_module, "secoda_async.preflight")  # with DuckDB: a tenth of a second
        from secoda_async.preflight import Preflight  # noqa: PLC0415

        baseline = await to_thread.run_sync(self._baselines.current)
        preflight = Preflight(sink, self._settings, self.checks, self.phases)
        files = await preflight.check(self._dataset(spool), spool.directory, baseline)
        spool.distinct = {kind: files.file(kind) for kind in Kind}

    @staticmethod
    def _dataset(spool: Spool) -> Dataset:
        return Dataset(*(spool.file(kind).path for kind in Kind))

    def _accept(self, spool: Spool, sink: Sink) -> None:
        try:
            if self._baselines is not None:
                is_all = not isinstance(sink, GuardedSink) or sink.removes_absent
                files = {kind.filename: spool.file(kind) for kind in Kind}
                sums: dict[str, Sums] = {
                    name: {"bytes": file.bytes, "sha256": file.sha256} for name, file in files.items()
                }
                self._baselines.accept(self._dataset(spool), self.run_id, index=spool.index, sums=sums, is_all=is_all)
            spool.accept()
        except SpoolError as error:
            raise SpoolError(f"all of it was delivered, but that could not be noted here: {error}") from error

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
            return sides, sum(counters.resources.values()), counters.lineage, counters.delivered, self.phases.now.change

        def requests() -> Iterable[str]:
            return self.extraction.waiting(loop.time())

        def others() -> Iterator[str]:
            if (name := self.phases.now.name) != "extract":
                yield f"the run is at: {name}"
            if counters.undelivered:
                yield f"{counters.undelivered:,} declared bytes are not written yet"

        return Waits(done, requests, others, lambda: tasks_of(self.extraction, loop))

    def _warn(self, text: str) -> None:
        logging.getLogger("secoda_async").warning("%s", self._redact(text))

    async def _prepare_replay(self) -> None:
        """Look at the recording before anything is written: a wrong one must not cost an older run its files."""
        path = self._settings.replay
        if path is None:
            return
        if self._transport is not None:
            raise ConfigurationError("give transport= or replay, not both; ReplayTransport(path) is a transport")
        if not await anyio.Path(path).exists():
            raise ConfigurationError(f"replay: there is no recording {path}; run with --record {path} to make one")
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

    def _client(self) -> Client:
        return Client(
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

    def _load_scopes(self) -> StoredScopes | None:
        baseline = None if self._baselines is None else self._baselines.current()
        return None if baseline is None else StoredScopes.load(baseline.directory)

    def _lacks(self) -> str:
        """What the records lack by the will of whoever runs it, for whoever delivers them later."""
        scopes, losses = self.counters.scopes, self.findings.loss_count
        told = (
            (losses, "losses were allowed"),
            (scopes["carried"], "scopes were carried over from an older sync"),
            (scopes["skipped"], "scopes were skipped"),
        )
        return "; ".join(f"{count:,} {what}" for count, what in told if count)

    async def _deliver(self, spool: Spool, sink: Sink) -> None:
        self.phases.begin("upload" if isinstance(sink, GuardedSink) else "deliver")
        async with AsyncExitStack() as around:
            if self._baselines is not None and isinstance(sink, GuardedSink):
                await around.enter_async_context(self._baselines.sending(self.run_id))
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
        reason = self._redact(reason_of(error))
        with anyio.move_on_after(_CLEAN_UP, shield=True):
            for tell in (partial(to_thread.run_sync, spool.fail, reason), *(partial(s.abort, error) for s in sinks)):
                try:
                    await tell()
                except Exception as exc:  # noqa: BLE001 # noted on the error that is raised
                    if str(exc) != str(error):  # a full disk has been told of
                        error.add_note(f"also: {type(exc).__name__}: {self._redact(str(exc))}")

    def _info(self) -> RunInfo:
        return RunInfo(
            self.run_id,
            self._integration,
            self.counters.upload,
            self.findings,
            self._redact,
        )
