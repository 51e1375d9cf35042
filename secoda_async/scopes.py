"""Parts of a run that succeed or fail on their own: what becomes of a scope that failed, by its policy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TypeVar

import anyio
from anyio import to_thread
from typing_extensions import override

from secoda_async.counters import Counters
from secoda_async.errors import (
    BackpressureError,
    ConfigurationError,
    DeliveryError,
    ScopeError,
    StatusError,
    leaves,
)
from secoda_async.findings import Findings, Ledger
from secoda_async.pipeline.intake import Intake
from secoda_async.pipeline.scope import Scope, current_scope
from secoda_async.redact import Redactor
from secoda_async.settings import Carry, OnError, Skip, as_policy
from secoda_async.spool_index import Outcome
from secoda_async.stored_scopes import StoredScope, StoredScopes
from secoda_async.wording import counted
from secoda_async.workers import Worker

T = TypeVar("T")
R = TypeVar("R")

# Of the program or the machine, not of the source: what a policy absorbs would hide it.
_NEVER: Final = (ConfigurationError, BackpressureError, DeliveryError, ScopeError)


class Scopes:
    """The scopes of one run.

    Usage: ``async with scopes.open("schema:sales", on_error="carry"): ...``. ``stored`` loads those of the last
    accepted sync, or gives None; ``stop`` stops what was started in a scope and is not wanted any more.
    """

    def __init__(
        self,
        intake: Intake,
        *,
        counters: Counters,
        findings: Findings,
        redact: Redactor,
        stored: Callable[[], StoredScopes | None],
        stop: Callable[[Ledger], None],
    ) -> None:
        self.intake = intake
        self.counters = counters
        self.findings = findings
        self.redact = redact
        self.stop = stop
        self._load = stored
        self._stored: StoredScopes | None = None
        self._is_loaded = False
        self._one_at_a_time = anyio.Lock()

    def open(self, name: str, on_error: OnError = "fail") -> OpenScope:
        """A scope, for ``async with``. Raises ConfigurationError where the name or the policy is none."""
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"a scope's name must be a text that is not empty, not {name!r}")
        return OpenScope(self, name, as_policy(on_error))

    def each_in(self, worker: Worker[T, R], name: Callable[[T], str], on_error: OnError) -> Worker[T, R]:
        """The worker, with a scope of its own for each item."""
        as_policy(on_error)

        async def scoped(item: T) -> R | None:
            async with self.open(name(item), on_error):
                return await worker(item)
            return None  # the scope failed, and its policy absorbed that

        scoped.__qualname__ = getattr(worker, "__qualname__", repr(worker))
        return scoped  # type: ignore[return-value] # for_each, which this is for, uses no result

    async def find(self, name: str) -> StoredScope | None:
        """The last accepted sync's scope of this name."""
        async with self._one_at_a_time:
            if not self._is_loaded:
                self._stored = await to_thread.run_sync(self._load)
                self._is_loaded = True
        return None if self._stored is None else self._stored.find(name)


class OpenScope(AbstractAsyncContextManager[None]):
    """One scope, from its beginning to its end. It is entered once."""

    def __init__(self, scopes: Scopes, name: str, policy: Carry | Skip | None) -> None:
        self._scopes = scopes
        self._name = name
        self._policy = policy
        self._scope: Scope | None = None
        self._outer: Scope | None = None
        self._ledger: Ledger | None = None
        self._task: asyncio.Task[object] | None = None
        self._closing = ExitStack()

    @override
    async def __aenter__(self) -> None:
        if self._scope is not None:
            raise ScopeError(f"the scope {self._name!r} was entered twice; open another one")
        scopes = self._scopes
        self._scope = scopes.intake.open_scope(self._name)
        self._outer = current_scope.get()
        self._task = asyncio.current_task()
        current_scope.set(self._scope)
        if self._policy is not None:
            self._ledger = self._closing.enter_context(scopes.findings.apart(self._absorbs))

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        scope = self._scope
        assert scope is not None
        current_scope.set(self._outer)
        self._closing.close()
        if error is not None and not all(isinstance(leaf, Exception) for leaf in leaves(error)):
            told = f"the scope {self._name!r} was cut off ({type(error).__name__}), so what belongs to it is missing"
            self._fail(scope, told, cut_off=True)
            return False
        if scope.inner:
            raise self._misused(scope, f"ended before {scope.inner} scopes within it; await what they are in", error)
        if asyncio.current_task() is not self._task:  # the one that entered it would go on in it
            raise self._misused(scope, "was left by another task than the one that had entered it", error)
        return await self._end_well(scope) if error is None else await self._end_badly(scope, error)

    async def _end_well(self, scope: Scope) -> bool:
        ledger = self._ledger
        if ledger is not None:
            ledger.lose_cancelled()
            if ledger.count:
                return await self._end_badly(scope, None)
            ledger.give_back()
        self._end(scope, Outcome.LIVE, "live")
        return False

    async def _end_badly(self, scope: Scope, error: BaseException | None) -> bool:
        """It failed: by an error that leaves it, or by losses whose errors were caught."""
        ledger = self._ledger
        said = self._scopes.redact(f"{type(error).__name__}: {error}") if error is not None else ""
        if ledger is not None and ledger.count and not said:
            said = ledger.first
        match self._policy:
            case Skip() if ledger is not None and self._may_skip(ledger, error):
                self._absorb(scope, ledger, "skipped", f"it failed ({said}) and was skipped, as its policy says")
                return True
            case Carry() as policy if ledger is not None and self._may_carry(error):
                return await self._carry(scope, ledger, policy, said, error)
        # Where the error was caught and the run delivers in spite of losses, a part is less harm than nothing.
        outcome = Outcome.LIVE if error is None else Outcome.DEAD
        self._fail(scope, f"the scope {self._name!r} failed: {said}", error=error, outcome=outcome)
        return False

    def _may_skip(self, ledger: Ledger, error: BaseException | None) -> bool:
        return not ledger.unabsorbed and (error is None or self._absorbs(error))

    @staticmethod
    def _may_carry(error: BaseException | None) -> bool:
        return error is None or not any(isinstance(leaf, _NEVER) for leaf in leaves(error))

    async def _carry(self, scope: Scope, ledger: Ledger, policy: Carry, said: str, error: BaseException | None) -> bool:
        missing = f"the scope {self._name!r} failed ({said}), and "
        try:
            stored = await self._scopes.find(self._name)
        except BaseException as exc:
            self._fail(
                scope, f"{missing}nothing was carried over ({self._scopes.redact(str(exc)) or type(exc).__name__})"
            )
            raise
        if stored is None:
            missing += "no accepted sync holds records of it to carry over"
        elif (age := time.time() - stored.extracted_at) > policy.max_age:
            missing += (
                f"those of the last accepted sync are {age / 3600:,.1f} hours old, over max_age "
                f"({policy.max_age / 3600:,.1f} hours)"
            )
            stored = None
        if stored is None:
            self._fail(scope, missing)
            raise ScopeError(f"{missing}; mend its cause, or skip it by a policy") from error
        when = f"{datetime.fromtimestamp(stored.extracted_at, UTC):%Y-%m-%d %H:%M} UTC"
        told = f"it failed ({said}); carried over in its place: {counted(stored.records, 'record')} of {when}"
        self._absorb(scope, ledger, "carried", told)
        self._scopes.intake.carry(scope, stored)
        return True

    def _absorb(self, scope: Scope, ledger: Ledger, how: str, told: str) -> None:
        ledger.absorb()
        self._scopes.stop(ledger)
        self._end(scope, Outcome.DEAD, how)
        self._scopes.findings.find(f"scope-{how}", self._name, f"the scope {self._name!r}: {told}")

    def _fail(
        self,
        scope: Scope,
        message: str,
        *,
        error: BaseException | None = None,
        cut_off: bool = False,
        outcome: Outcome = Outcome.DEAD,
    ) -> None:
        self._end(scope, outcome, "failed")
        if self._ledger is not None:
            self._ledger.give_back()
        findings = self._scopes.findings
        if cut_off:
            findings.cancel(message)
        else:
            findings.lose(message, error=error)

    def _end(self, scope: Scope, outcome: Outcome, how: str) -> None:
        self._scopes.counters.scopes[how] += 1
        self._scopes.intake.end_scope(scope, outcome)

    def _misused(self, scope: Scope, how: str, error: BaseException | None) -> ScopeError:
        message = f"the scope {self._name!r} {how}"
        self._fail(scope, message)
        found = ScopeError(message)
        found.__cause__ = error
        return found

    def _absorbs(self, error: BaseException) -> bool:
        policy = self._policy
        if isinstance(policy, Skip):
            return all(
                isinstance(leaf, policy.errors)
                or (isinstance(leaf, StatusError) and leaf.response.status_code in policy.statuses)
                for leaf in leaves(error)
            )
        return policy is not None
