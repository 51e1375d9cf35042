"""A run's ``extract``, from its beginning until all that it declared is in the spool."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import anyio
from anyio.abc import TaskGroup

from secoda_async.counters import Counters
from secoda_async.errors import DeliveryError, IncompleteRunError, SpoolError, leaves
from secoda_async.findings import Findings
from secoda_async.network.asked import last_asked
from secoda_async.network.client import Client
from secoda_async.network.critical_path import go_on_from
from secoda_async.pagination.walk import Walks
from secoda_async.pipeline.intake import Intake
from secoda_async.pipeline.pump import drain, pump
from secoda_async.pipeline.sink import Sink
from secoda_async.progress import Place, Tally, current_tally
from secoda_async.redact import Redactor
from secoda_async.scopes import Scopes
from secoda_async.settings import Settings
from secoda_async.spool import Spool
from secoda_async.stored_scopes import StoredScopes
from secoda_async.stragglers import cancel_stragglers, marked, stop_stragglers
from secoda_async.wording import counted
from secoda_async.workers import WORKER_TASK, Workers


class Extraction:
    """What user code works with while ``extract`` runs, and what it has left undone when it returns.

    Usage: ``await Extraction(settings, ...).run(extract, client, spool, sink)``. ``client``, ``intake``, ``workers``,
    ``walks`` and ``scopes`` exist while ``is_running``. ``stored`` loads the scopes of the last accepted sync.
    """

    client: Client
    intake: Intake
    workers: Workers
    walks: Walks
    scopes: Scopes

    def __init__(
        self,
        settings: Settings,
        *,
        counters: Counters,
        findings: Findings,
        redact: Redactor,
        stored: Callable[[], StoredScopes | None],
    ) -> None:
        self.is_running = False
        self.tally = Tally(Place())
        """What extract() has done so far, and what that says of the rest."""
        self._settings = settings
        self._counters = counters
        self._findings = findings
        self._redact = redact
        self._stored = stored

    async def run(self, extract: Callable[[], Awaitable[None]], client: Client, spool: Spool, sink: Sink) -> None:
        """Run ``extract`` and the pump beside each other until everything declared is in the spool.

        Raises what ``extract`` raised, DeliveryError where it could not be written, and IncompleteRunError where
        something was lost.
        """
        ends = _Ends()
        with Intake(self._settings, self._counters, self._findings, self._last_request) as self.intake:
            try:
                async with client as self.client, anyio.create_task_group() as group:
                    self.workers = Workers(
                        group,
                        self._settings.concurrency,
                        self._is_busy,
                        sample=self._settings.sample,
                    )
                    self.client.renew_in(partial(group.start_soon, name=WORKER_TASK))
                    self.walks = Walks(
                        self.workers,
                        self.client,
                        self._findings,
                        self._redact,
                        first_page_only=self._settings.sample is not None,
                    )
                    self.scopes = Scopes(
                        self.intake,
                        counters=self._counters,
                        findings=self._findings,
                        redact=self._redact,
                        stored=self._stored,
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
        if self._findings.loss_count and not self._settings.allow_losses:
            raise self._incomplete()

    async def _call(self, extract: Callable[[], Awaitable[None]]) -> None:
        self.is_running = True
        loop = asyncio.get_running_loop()
        current_tally.set(self.tally)
        self.tally.begin_item()
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
            self.is_running = False
            self._counters.extraction = loop.time() - began
            self._counters.loop_busy = time.thread_time() - busy
            self.workers.stop()
            self.client.stop()
            self.intake.close()

    async def _look_for_what_was_left(self) -> None:
        """Whatever was cut off, or has not ended when ``extract`` returns, is missing from the result."""
        self._findings.lose_cancelled()
        for sentence, ledger in await self.workers.aclose():
            self._findings.lose(sentence, ledger=ledger)
        for request in self.client.in_flight:
            self._findings.lose(self._redact(f"{request} was still in flight when extract() returned; await it"))
        for sentence in await stop_stragglers(self):
            self._findings.lose(sentence)
        for name in self.intake.open_scopes:
            self._findings.lose(f"the scope {name!r} had not ended when extract() returned; await what it is in")
        if forgotten := self.client.never_awaited:
            self._findings.lose(
                f"{forgotten} http_* calls were never awaited, or cancelled before they began, so nothing was sent; "
                "write `await`"
            )

    def _is_busy(self) -> bool:
        """Whether another worker would only wait: for a slot or a limit, or for its turn in this process."""
        source = self._counters.source
        # Slots that are found out grow by what waits for one, so there it is for them to tell.
        return source.waiting > 0 or (source.overdue and self._settings.concurrency is not None)

    def waiting(self, now: float) -> Iterable[str]:
        """What the requests that have not ended wait for at a time of the event loop; called in any thread."""
        return self.client.waiting(now) if hasattr(self, "client") else ()

    def held(self) -> list[str]:
        """What ``extract`` waits for now, in words, what holds most first; called in any thread."""
        if not self.is_running:
            return []
        declares = self.intake.waiting
        queue = [f"{counted(declares, 'declare')} for the queue to be written"] if declares else []
        return queue + (self.client.held() or ([] if declares else ["your own code"]))

    @staticmethod
    def lose_task(extraction: object, sentence: str) -> None:
        """Count a task of ``extraction`` that failed and that nobody awaited."""
        if isinstance(extraction, Extraction):
            extraction._findings.lose(extraction._redact(sentence))

    def _last_request(self) -> str:
        request = last_asked.get()
        return "" if request is None else self._redact(str(request))

    def _find_unmatched_limits(self) -> None:
        for key in self.client.unmatched_limits:
            self._findings.find("unmatched-limit", key, f"rate_limits: no request went to {key!r}; is it spelt right?")

    def _incomplete(self) -> IncompleteRunError:
        count, first = self._findings.loss_count, self._findings.losses[0]
        more = f" (and {count - 1} more, see the report)" if count > 1 else ""
        step = ""
        if first.request:
            step = (
                ". Let its error end extract(); where the run is complete without that data, pass optional=True, "
                "or run it with --allow-losses"
            )
        return IncompleteRunError(f"the run is incomplete, so nothing was delivered: {first.message}{more}{step}")


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
