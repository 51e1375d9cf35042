"""How much memory this process has held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
_STATUS: Final = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most memory this process has held.

    Linux's own figure starts anew with a program; that of ``getrusage`` begins with the peak of whoever started it.
    """
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
