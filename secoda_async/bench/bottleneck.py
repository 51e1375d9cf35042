"""What kept a run from being faster, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import BaseModel

from secoda_async import cpu_sampler as layers
from secoda_async.bench.measure import Figures
from secoda_async.bench.plan import Concurrency

_WAITS: Final = {
    "back-off": "back-off before retries",
    "pause": "pauses that the source asked for",
    "quota": "quota that the source tells of",
    "rate": "rate that was found out",
}
_OF_THIS_PACKAGE: Final = frozenset(
    {layers.HTTP, layers.LIMITS, layers.NETWORK, layers.DECLARE, layers.WORKERS, layers.OTHER}
)
THIS_PACKAGE: Final = "this package"
REPLAY: Final = "the replay itself"
CPU: Final = "processor"
_BUSY: Final = 0.9
"""Share of processor time from which that is what binds: whatever waits then, waits for it too."""


class Bottleneck(BaseModel):
    """One thing that a run waited for."""

    what: str
    """Such as ``rate limit of api.x.com``, ``slots``, ``your code``."""
    share: float
    """Of the time in which it held the run up; of what the processor did, the share of its time."""
    text: str
    """The same for a person: ``rate limit of api.x.com: 98 %``, ``your code: 41 % of CPU``."""


def bottlenecks_of(figures: Figures, concurrency: Concurrency) -> list[Bottleneck]:
    """What held a run up, the worst first; there is always one."""
    parts = _of_cpu(figures)
    if figures.loop_busy >= _BUSY:
        return parts
    # Beside waits, the processor counts with the whole time in which it was busy.
    ranked = [(figures.loop_busy, parts[0]), *((wait.share, wait) for wait in _waits(figures, concurrency))]
    return [one for share, one in sorted(ranked, key=lambda item: item[0], reverse=True) if share > 0] or parts


def cpu_parts(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares of processor time as they matter to who wrote the integration, the largest first."""
    parts: dict[str, float] = {}
    for layer, share in shares.items():
        name = THIS_PACKAGE if layer in _OF_THIS_PACKAGE else REPLAY if layer == layers.JOURNAL else layer
        parts[name] = parts.get(name, 0.0) + share
    return dict(sorted(parts.items(), key=lambda part: part[1], reverse=True))


def _of_cpu(figures: Figures) -> list[Bottleneck]:
    busy = figures.loop_busy
    more = "" if busy >= _BUSY else f", which was busy {percent(busy)} of the time"
    return [
        Bottleneck(what=what, share=share, text=f"{what}: {percent(share)} of CPU{more}")
        for what, share in cpu_parts(figures.cpu_shares).items()
    ] or [Bottleneck(what=CPU, share=busy, text=f"{CPU}: {percent(busy)}")]


def _waits(figures: Figures, concurrency: Concurrency) -> Iterator[Bottleneck]:
    seconds = figures.seconds
    if seconds:
        for key, least in figures.limit_seconds.items():
            yield _wait(f"rate limit of {key}", least / seconds)
        held = figures.slot_seconds / seconds
        if concurrency is None:  # the most that were found is no measure of the fewer that there were before
            waited = figures.waited.get("slot", 0.0)
            yield _wait("slots", max(held, waited), f" (up to {figures.slots:,} at once, found out)")
        else:
            yield _wait("slots", held, f" ({figures.slots:,} at once)")
        yield _wait("requests that follow one another", figures.chain_seconds / seconds)
    for cause, what in _WAITS.items():
        yield _wait(what, figures.waited.get(cause, 0.0))
    yield _wait("waiting for the disk", figures.backpressure)
    yield _wait("waiting for something else than requests", max(0.0, figures.without_requests - figures.loop_busy))


def _wait(what: str, share: float, more: str = "") -> Bottleneck:
    share = min(1.0, share)
    return Bottleneck(what=what, share=share, text=f"{what}: {percent(share)}{more}")


def percent(share: float) -> str:
    """``41 %``; a share that is not nothing is not shown as nothing."""
    return "< 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"
