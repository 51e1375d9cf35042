"""A process of its own for what is not meant to survive."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from typing import Final

from secoda_async.errors import ConfigurationError

CAN_FORK: Final = hasattr(os, "fork")
_FAILED: Final = 70
_LONGEST: Final = 120.0  # seconds
_LOOK: Final = 0.005


def killed_in_child(work: Callable[[], object]) -> bool:
    """Do some work in a copy of this process; whether SIGKILL ended it. It blocks.

    Usage: ``if killed_in_child(run_and_kill_yourself): resume()``. An exception of the work, like its end, is no kill.
    Raises ConfigurationError where it takes longer than two minutes.
    """
    with warnings.catch_warnings():
        # Python warns of threads that a child lacks; the work asks none of those that this process has.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = _FAILED
        try:
            work()
            code = 0
        finally:
            os._exit(code)  # nothing of the parent's is to be cleaned up, flushed or reported here
    ends = time.monotonic() + _LONGEST
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if time.monotonic() > ends:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise ConfigurationError(f"a run in a process of its own did not end within {_LONGEST:g} s")
        time.sleep(_LOOK)
