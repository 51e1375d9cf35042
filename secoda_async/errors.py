"""Every exception of the package.

SecodaAsyncError
├── ConfigurationError            correct the settings, the class or the command
│   ├── CredentialError           … a credential that is missing
│   └── RunError                  … the order of calls: run() twice at once, http_get() outside a run
├── RequestError                  the source (or the workspace) could not be read
│   ├── InvalidRequestError       … the request cannot be sent as it stands
│   ├── TransportError            … no complete answer came
│   │   ├── ConnectError          … … nothing was sent
│   │   │   └── CertificateError  … … … the server's certificate is not trusted
│   │   ├── RequestTimeoutError   … … the exchange took too long
│   │   ├── BrokenExchangeError   … … the connection broke, or the answer was malformed
│   │   ├── BodyTooLargeError     … … the body is over the cap
│   │   └── EgressError           … … the egress server could not relay it
│   ├── CircuitOpenError          … the host has not answered for a while, so it was not asked
│   ├── RedirectError             … a redirect that must not be followed
│   ├── OriginError               … a host or an endpoint that is not allowed
│   ├── RequestBudgetError        … one more than the run may make
│   ├── JournalError              … an answer cannot be kept in the run's journal, or read from one
│   ├── ReplayError               … a recording holds no answer to it
│   ├── ReplayedFailureError      … it failed when it was recorded
│   ├── UnroutedError             … a fake source has no route for it
│   ├── AuthError                 … credentials that could not be renewed
│   └── ResponseError             … an answer came, and is not data
│       ├── StatusError           … … its status says so
│       ├── DecodeError           … … its body is not what it was read as
│       └── PaginationError       … … it is not the page of a listing that it should be
├── RecordError                   mend the record, or what builds it
│   ├── EncodeError               … it cannot be written as JSON
│   ├── RecordTooLargeError       … it is over the cap
│   └── BackpressureError         … records come faster than they are taken: `await` the declares
├── ScopeError                    name, nest and end scopes in order; or a policy found nothing to carry
├── DatasetError                  mend the files of records: a line that is none, a file that cannot be read
├── ExitError                     let extract() return: it ended its process, or meant to
├── IncompleteRunError            something was lost, so nothing was delivered
├── BenchmarkError                a run of a benchmark failed
├── ComparisonError               one of two integrations that are compared failed
└── DeliveryError                 the run was complete, its delivery was not
    ├── SpoolError                … the run's own files cannot be written or read
    ├── OutputError               … the output cannot be written
    ├── RulesError                … its records break a rule
    ├── StaleGuardError           … it would remove more from the workspace than is allowed
    └── UploadError               … the workspace did not take the sync
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from secoda_async.diff import Diff
    from secoda_async.network.message import Request, Response
    from secoda_async.rules.verdict import Breach


class SecodaAsyncError(Exception):
    """The root: whatever this package raises on purpose."""


class ConfigurationError(SecodaAsyncError):
    """Raised when a setting, a class or a command cannot be used as it stands."""


class CredentialError(ConfigurationError, KeyError):
    """Raised when a credential that the integration asks for was not given."""

    __str__ = Exception.__str__  # KeyError would show the message's repr


class RunError(ConfigurationError):
    """Raised when a call comes at the wrong time: two runs at once, or a request outside a run."""


class RequestError(SecodaAsyncError):
    """Raised when a request ended without data. ``request`` is what was asked."""

    def __init__(self, message: str, *, request: Request) -> None:
        super().__init__(message)
        self.request = request

    def redact(self, redact: Callable[[str], str]) -> None:
        """Pass every text this error shows through ``redact``."""
        self.args = tuple(redact(part) if isinstance(part, str) else part for part in self.args)
        if hasattr(self, "__notes__"):
            self.__notes__ = [redact(note) for note in self.__notes__]


class InvalidRequestError(RequestError):
    """Raised when a request cannot be sent as it stands: a bad URL, header or body."""


class RequestBudgetError(RequestError):
    """Raised when a run makes more requests than ``max_requests`` allows."""


class TransportError(RequestError):
    """Raised when no complete answer came."""


class ConnectError(TransportError):
    """Raised when no connection was made, so nothing was sent."""


class CertificateError(ConnectError):
    """Raised when the server's certificate is not trusted."""


class RequestTimeoutError(TransportError, TimeoutError):
    """Raised when an attempt was longer than its time-out allows."""


class BrokenExchangeError(TransportError):
    """Raised when the connection broke in the middle, or the answer was not HTTP."""


class BodyTooLargeError(TransportError):
    """Raised when a decoded body is over the cap."""


class CircuitOpenError(RequestError):
    """Raised when a request is not sent because the last ones to its host had no answer."""


class EgressError(TransportError):
    """Raised when Secoda's egress server says that it could not relay a request; the target may have taken it."""


class RedirectError(RequestError):
    """Raised when a redirect is not followed: too many, a foreign scheme, a body for another origin."""


class OriginError(RequestError):
    """Raised when a request, or a redirect, would go where ``allowed_hosts`` or ``endpoints`` do not allow it."""


class JournalError(RequestError):
    """Raised when an answer cannot be kept in the run's journal (a full disk, ``max_journal``), or read from one."""


class ReplayError(RequestError):
    """Raised when a recording holds no answer to a request, or fewer than are asked for."""


class ReplayedFailureError(RequestError):
    """Raised when a request of a recording had no answer then either; the message is that of the error then."""


class UnroutedError(RequestError):
    """Raised when a `FakeSource` of a test has no route for a request."""


class AuthError(RequestError):
    """Raised when the credentials of a request could not be renewed, so it was not sent (again)."""


class AddressError(OriginError):
    """Raised when a host is, or resolves to, an address that is not connected to: cloud metadata, or a private one."""


class ResponseError(RequestError):
    """Raised when an answer came that is not data. ``response`` is the answer."""

    def __init__(self, message: str, *, response: Response) -> None:
        super().__init__(message, request=response.request)
        self.response = response


class StatusError(ResponseError):
    """Raised when a status means failure: a final 429 or 5xx, or ``raise_for_status()``."""


class DecodeError(ResponseError, ValueError):
    """Raised when a body is not what it was read as."""


class PaginationError(ResponseError):
    """Raised when the pages of a listing do not add up, or do not say how it goes on."""


class RecordError(SecodaAsyncError):
    """Raised when a declared record is not taken."""


class EncodeError(RecordError, ValueError):
    """Raised when a record cannot be written as JSON."""


class RecordTooLargeError(RecordError):
    """Raised when one record is over the cap."""


class BackpressureError(RecordError):
    """Raised when records come faster than they are taken, because their declares are not awaited."""


class DatasetError(SecodaAsyncError):
    """Raised when files of records cannot be read, or hold something that is no record; says which line, if known."""


class ScopeError(SecodaAsyncError):
    """Raised when scopes do not fit together, or when one failed and there is nothing to carry over in its place."""


class ExitError(SecodaAsyncError):
    """Raised when a synchronous ``extract`` called ``sys.exit()``, or raised what else would end its process."""


class IncompleteRunError(SecodaAsyncError):
    """Raised when ``extract`` returned although something was lost."""


class BenchmarkError(SecodaAsyncError):
    """Raised when a run of a benchmark failed, so that there is nothing to compare. It says which, and why."""


class ComparisonError(SecodaAsyncError):
    """Raised when one of two integrations failed, so that there is nothing to compare. It says which, and why.

    ``not_recorded`` are its requests that the recording holds no answer to.
    """

    def __init__(self, message: str, *, not_recorded: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.not_recorded = tuple(not_recorded)


class DeliveryError(SecodaAsyncError):
    """Raised when what was extracted could not be kept or delivered.

    ``ambiguous`` is true where it may have arrived all the same.
    """

    def __init__(self, message: str, *, ambiguous: bool = False) -> None:
        super().__init__(message)
        self.ambiguous = ambiguous


class SpoolError(DeliveryError):
    """Raised when the run's own files cannot be written or read."""


class OutputError(DeliveryError):
    """Raised when the output cannot be written: a full disk, a closed pipe, a folder without permission."""


class RulesError(DeliveryError):
    """Raised when the records break a rule, so nothing is delivered. ``breaches`` holds those of severity error."""

    def __init__(self, message: str, *, breaches: Sequence[Breach]) -> None:
        super().__init__(message)
        self.breaches = tuple(breaches)


class StaleGuardError(DeliveryError):
    """Raised when a sync is not sent because of what it would remove. Nothing was sent.

    ``reasons`` are all of them, each with what overrides it; ``diff`` is what the sync would do, None where what the
    workspace holds is not known.
    """

    def __init__(self, reasons: Sequence[str], *, diff: Diff | None = None) -> None:
        several = len(reasons) > 1
        told = "; ".join(f"({n}) {reason}" if several else reason for n, reason in enumerate(reasons, 1))
        super().__init__(f"the upload is refused, nothing was sent: {told}")
        self.reasons = tuple(reasons)
        self.diff = diff


class UploadError(DeliveryError):
    """Raised when the workspace did not take the sync. ``status`` is its answer's, or None where none came."""

    def __init__(self, message: str, *, status: int | None = None, ambiguous: bool = False) -> None:
        super().__init__(message, ambiguous=ambiguous)
        self.status = status


def reason_of(error: BaseException) -> str:
    """Why something ended, for a person."""
    if isinstance(error, asyncio.CancelledError):
        return "it was cancelled"  # what the error says is for whoever mends an event loop
    return str(error) or type(error).__name__


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group and of the groups within it; an error that is no group is itself one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
