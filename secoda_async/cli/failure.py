"""Turns whatever ended a command into one message and an exit status."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import Final

from rich.console import Console
from rich.text import Text

from secoda_async.errors import ConfigurationError, RulesError, RunError, SecodaAsyncError, StaleGuardError
from secoda_async.redact import Redactor
from secoda_async.report import Delivery
from secoda_async.user_code import place_of


class ExitStatus(IntEnum):
    """What the command's exit status says."""

    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    RULES = 3
    STALE = 4
    FINDINGS = 5
    DEGRADED = 6
    INTERRUPTED = 130
    TERMINATED = 143


def exit_status(error: BaseException) -> ExitStatus:
    """The exit status for an error."""
    if isinstance(error, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    if isinstance(error, SystemExit) and error.code == ExitStatus.TERMINATED:
        return ExitStatus.TERMINATED
    if isinstance(error, ConfigurationError) and not isinstance(error, RunError):
        return ExitStatus.USAGE
    if isinstance(error, RulesError):
        return ExitStatus.RULES
    if isinstance(error, StaleGuardError):
        return ExitStatus.STALE
    return ExitStatus.FAILED


def show_error(
    error: BaseException,
    console: Console,
    redact: Redactor,
    *,
    debug: bool,
    delivery: Delivery = Delivery.NOTHING,
) -> None:
    """Print what happened; with ``debug`` the traceback as well. ``delivery`` is what became of the result."""
    if debug:
        console.print(Text(redact("".join(traceback.format_exception(error)))), soft_wrap=True)
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
    # As text, never as markup: a message may hold anything that a server answered.
    console.print(Text.assemble(("error: ", "bold red"), redact(f"{_message(error, delivery)}{notes}")), soft_wrap=True)


_AFTER_A_SIGNAL: Final = {
    Delivery.NOTHING: "nothing was delivered, and what was delivered before is untouched",
    Delivery.UNCERTAIN: "while it was delivering: look there whether it has arrived, before you run again",
    Delivery.DELIVERED: "but everything had been delivered",
}


def _message(error: BaseException, delivery: Delivery) -> str:
    match error:
        case KeyboardInterrupt():
            return f"interrupted: {_AFTER_A_SIGNAL[delivery]}"
        case SystemExit(code=ExitStatus.TERMINATED):
            return f"terminated: {_AFTER_A_SIGNAL[delivery]}"
        case SecodaAsyncError():
            return str(error)
        case SystemExit(code=code):
            place = place_of(error.__traceback__)
            return f"sys.exit({code!r}) was called{place}, so the run has no end of its own; return, or raise an error"
        case ModuleNotFoundError():
            place = place_of(error.__traceback__)
            return f"{error}{place}; install its package beside secoda-async, or put its file beside the integration's"
    place = place_of(error.__traceback__)
    return f"{type(error).__name__}: {error}{place} (--debug shows the traceback)"


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """Let SIGTERM end the processes that a command has started and remove its files, as Ctrl-C does."""

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(ExitStatus.TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
