"""What is measured, and under which conditions."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict

from secoda_async.bench.recording import Recording
from secoda_async.efficiency import least_time
from secoda_async.errors import ConfigurationError
from secoda_async.settings import RateLimit, as_limits

Concurrency: TypeAlias = int | None
"""Requests in flight at once to one host; None: found out during the run."""

ADAPTIVE: Final = "adaptive"
USUAL: Final[tuple[Concurrency, ...]] = (1, 10, 100, None)
LONG: Final = 20.0
"""Seconds from which a run is left out of `USUAL`."""
_TIME: Final = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>ms|s|)")
_SHARE: Final = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<percent>%?)")
_UNITS: Final = {"ms": 0.001, "s": 1.0}


class Conditions(BaseModel):
    """What holds for every run of a benchmark."""

    model_config = ConfigDict(frozen=True)

    target: str
    """``MODULE:CLASS`` or ``FILE.py:CLASS``."""
    journal: Path
    latency: float | None = None
    """Seconds that every answer takes; None: what it took when it was recorded."""
    jitter: float = 0.0
    """Share of it by which it varies."""
    limits: dict[str, list[tuple[int, float]]] | None = None
    """Requests and seconds of each key that is given in place of the declared ones; an empty list: no limit."""
    without_limits: bool = False
    """Whether the declared limits count for nothing."""
    error_rate: float = 0.0
    """Share of attempts that end in a 503 or without a connection."""
    seed: int = 1

    def rate_limits(self, declared: Mapping[str, RateLimit | Iterable[RateLimit]]) -> dict[str, tuple[RateLimit, ...]]:
        """The limits of a run, of an integration that declares these."""
        kept = {} if self.without_limits else {key: as_limits(key, limits) for key, limits in declared.items()}
        given = {
            key: tuple(RateLimit(requests, per=per) for requests, per in limits)
            for key, limits in (self.limits or {}).items()
        }
        return {key: limits for key, limits in {**kept, **given}.items() if limits}


class Job(BaseModel):
    """One run, as a process of its own is told of it."""

    conditions: Conditions
    concurrency: Concurrency
    credentials: dict[str, Any]
    state_dir: Path


def name_of(concurrency: Concurrency) -> str:
    """How a point of the sweep is called."""
    return ADAPTIVE if concurrency is None else str(concurrency)


def least_seconds(
    recording: Recording,
    conditions: Conditions,
    limits: Mapping[str, Iterable[RateLimit]],
    concurrency: Concurrency,
) -> float:
    """What a run takes at least, as far as latency and limits say; of an adaptive one, what its limits say."""
    latency = recording.seconds if conditions.latency is None else recording.requests * conditions.latency
    by_limits = [
        least_time(limit, count) for key, each in limits.items() for count in [recording.under(key)] for limit in each
    ]
    return max(0.0 if concurrency is None else latency / concurrency, *by_limits, 0.0)


def how_to_record(target: str, journal: Path) -> str:
    """The command that makes a journal."""
    return f"Record one with: secoda-async run {target} --record {journal} --out FOLDER, with its credentials"


def parse_latency(text: str) -> float | None:
    """``100ms``, ``0.1s``, ``0``; None for ``recorded``. Raises ConfigurationError for anything else."""
    if text == "recorded":
        return None
    match = _TIME.fullmatch(text.strip())
    if match is None or (not match["unit"] and float(match["number"])):
        raise ConfigurationError(
            f"--latency must be a time such as 100ms or 0.5s, 0, or `recorded` for what each answer took, not {text!r}"
        )
    return float(match["number"]) * _UNITS.get(match["unit"], 0.0)


def parse_share(text: str, option: str) -> float:
    """``2%`` or ``0.02``, from 0 to 1. Raises ConfigurationError, which names the option, for anything else."""
    match = _SHARE.fullmatch(text.strip())
    share = math.inf if match is None else float(match["number"]) / (100 if match["percent"] else 1)
    if share > 1:
        raise ConfigurationError(f"{option} must be a share such as 2% or 0.02, at most 1, not {text!r}")
    return share


def require_place(path: Path, option: str) -> None:
    """Raises ConfigurationError where no file can be written there: before an hour of runs, not after it."""
    if not path.parent.is_dir():
        raise ConfigurationError(f"{option}: there is no folder {path.parent}; make it")
    if path.is_dir():
        raise ConfigurationError(f"{option} {path} is a folder; name a file in it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(f"{option} {path} may not be written; mend its permissions, or choose another")


def parse_limits(texts: Iterable[str]) -> tuple[dict[str, list[tuple[int, float]]], bool]:
    """The given limits by key, and whether the declared ones count for nothing, of ``KEY=REQUESTS/SECONDS`` and
    ``none``. Raises ConfigurationError for anything else.
    """
    limits: dict[str, list[tuple[int, float]]] = {}
    alone = False
    for text in texts:
        key, equals, value = text.strip().rpartition("=")
        if text.strip() == "none":
            alone = True
            continue
        requests, slash, seconds = value.partition("/")
        if not equals or not key:
            raise _no_limit(text)
        if value == "none":
            limits[key] = []
            continue
        try:
            limit = RateLimit(int(requests), per=float(seconds.removesuffix("s")) if slash else 1.0)
        except (ValueError, ConfigurationError):
            raise _no_limit(text) from None
        limits.setdefault(key, []).append((limit.requests, limit.per))
    return limits, alone


def _no_limit(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"--limit must be KEY=REQUESTS/SECONDS such as api.x.com=100/60, KEY=none, or `none` for no limit at all, "
        f"not {text!r}"
    )


def parse_concurrency(text: str) -> tuple[Concurrency, ...]:
    """``1,10,100,adaptive``. Raises ConfigurationError for anything else."""
    found: dict[Concurrency, None] = {}
    for part in map(str.strip, text.split(",")):
        if part == ADAPTIVE:
            found[None] = None
        elif part.isascii() and part.isdigit() and int(part):
            found[int(part)] = None
        else:
            raise ConfigurationError(
                f"--concurrency must be numbers of 1 or more and `adaptive`, such as 10,100,adaptive, not {text!r}"
            )
    return tuple(found)
