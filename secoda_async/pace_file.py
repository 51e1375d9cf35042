"""What was found out about each host, kept in the state folder for the next run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from secoda_async.counters import MOST_SLOTS, Pace
from secoda_async.spool import replace_file

FORMAT: Final = 1
_NAME: Final = "paces.json"
_MOST_HOSTS: Final = 1000


def load_paces(state_dir: Path) -> dict[str, Pace]:
    """By host, as `save_paces` left them. A file that cannot be read is as good as none: it only saves a search."""
    try:
        content = orjson.loads((state_dir / _NAME).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("hosts"), dict):
        return {}
    return {host: pace for host, row in content["hosts"].items() if (pace := _pace(row)) is not None}


def save_paces(state_dir: Path, paces: Mapping[str, Pace]) -> None:
    """Add those of a run to what is known; hosts that were not seen for longest are forgotten. Raises OSError."""
    found = {host: pace for host, pace in paces.items() if pace.raised or pace.cut}
    if not found:
        return
    known = load_paces(state_dir)
    for host, pace in found.items():
        known.pop(host, None)
        known[host] = pace
    rows = {host: {"slots": pace.slots, "rate": pace.rate} for host, pace in [*known.items()][-_MOST_HOSTS:]}
    replace_file(state_dir / _NAME, orjson.dumps({"format": FORMAT, "hosts": rows}, option=orjson.OPT_INDENT_2))


def _pace(row: Any) -> Pace | None:
    match row:
        case {"slots": int(slots), "rate": int() | float() | None as rate} if (
            not isinstance(slots, bool)
            and not isinstance(rate, bool)
            and 1 <= slots <= MOST_SLOTS
            and (rate is None or (rate > 0 and math.isfinite(rate)))
        ):
            return Pace(slots, rate)
    return None
