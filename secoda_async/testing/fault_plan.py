"""Which faults to try at which requests, by a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from secoda_async.network.message import Request, Transport
from secoda_async.printable import printable
from secoda_async.redact import Redactor
from secoda_async.simulated import Faults, Latency
from secoda_async.testing.disturb import FOR_GOOD, ONCE, Act, At, Expired, Sparing, Swapped
from secoda_async.testing.exchanges import Exchange, Key, credentials_of
from secoda_async.testing.pages import PAGE_FAULTS, Swap, swaps

KILL: Final = "a killed process"
_EXPIRED: Final = "credentials that are refused"
_ORDER: Final = "answers in another order"
_EVERYWHERE: Final = "faults everywhere"
FAULTS: Final = frozenset({*ONCE, *FOR_GOOD, *PAGE_FAULTS, _EXPIRED, _ORDER, _EVERYWHERE, KILL})
"""The name of every fault."""
_SEEDS: Final = 3
_LATENCY: Final = 1.0  # seconds
_JITTER: Final = 0.9
_SHARE: Final = 0.2  # of all attempts, where all may be disturbed
_LONG_SEGMENT: Final = 20

Spares = Callable[[Request], bool]
_redact: Final = Redactor()


class Disturbed(NamedTuple):
    """A source with a fault, and how often that came about."""

    source: Transport
    met: Callable[[], int]


class Planned(NamedTuple):
    """One experiment to make."""

    fault: str
    at: str
    disturb: Callable[[Transport], Disturbed]


def plan(
    exchanges: Sequence[Exchange],
    *,
    seed: int,
    steps: int,
    spares: Spares,
    page_params: Collection[str],
    is_replay: bool,
) -> Iterator[Planned]:
    """The experiments with a run that had these exchanges; the same by the same seed.

    A recording knows no credentials, so there each request may be refused.
    """
    asked = [one for one in exchanges if not spares(one.request)]
    picked = _picked(asked, seed, steps)
    for exchange in picked:
        at = _shown(exchange.request)
        for acts, for_good in ((ONCE, False), (FOR_GOOD, True)):
            for name, act in acts.items():
                yield Planned(name, at, partial(_at, Key.of(exchange.request), act, for_good))
    for swap in _chosen(swaps(asked, page_params), seed, steps):
        yield Planned(swap.name, _shown(swap.page.request), partial(_swapped, swap))
    refusable = [one.request for one in asked if is_replay or credentials_of(one.request)]
    for request in refusable[:: max(1, len(refusable) // 2)][: _SEEDS - 1] + refusable[-1:]:  # from early to late
        yield Planned(_EXPIRED, _shown(request), partial(_expired, Key.of(request)))
    for one in range(seed, seed + _SEEDS):
        yield Planned(_ORDER, f"seed {one}", partial(_reordered, one))
        yield Planned(_EVERYWHERE, f"seed {one}", partial(_everywhere, one, spares))


def steps_to_kill_at(asked: int, seed: int) -> list[int]:
    """At which of so many requests a process is killed."""
    return sorted(random.Random(seed).sample(range(1, asked + 1), min(_SEEDS, asked)))


def _at(key: Key, act: Act, for_good: bool, source: Transport) -> Disturbed:  # bound by `plan`
    layer = At(source, key, act, for_good=for_good)
    return Disturbed(layer, lambda: layer.met)


def _swapped(swap: Swap, source: Transport) -> Disturbed:
    layer = Swapped(source, swap.answers)
    return Disturbed(layer, lambda: layer.met)


def _expired(key: Key, source: Transport) -> Disturbed:
    layer = Expired(source, key)
    return Disturbed(layer, lambda: layer.met)


def _reordered(seed: int, source: Transport) -> Disturbed:
    return Disturbed(Latency(source, _LATENCY, jitter=_JITTER, seed=seed), lambda: 1)


def _everywhere(seed: int, spares: Spares, source: Transport) -> Disturbed:
    faults = Faults(Latency(source, _LATENCY, jitter=_JITTER, seed=seed), _SHARE, seed=seed)
    return Disturbed(Sparing(source, faults, spares), lambda: faults.made)


def _picked(exchanges: Sequence[Exchange], seed: int, steps: int) -> list[Exchange]:
    """Requests that got data: one of each endpoint in turn, until there are enough."""
    groups: dict[str, dict[Key, Exchange]] = {}
    for one in exchanges:
        if one.response.is_success:
            groups.setdefault(_shape(one.request), {}).setdefault(Key.of(one.request), one)
    dice = random.Random(seed)
    queues = [dice.sample([*group.values()], len(group)) for group in groups.values()]
    turns = range(max(map(len, queues), default=0))
    return [queue[turn] for turn in turns for queue in queues if turn < len(queue)][:steps]


def _chosen(found: Iterable[Swap], seed: int, steps: int) -> list[Swap]:
    by_name: dict[str, list[Swap]] = {}
    for swap in found:
        by_name.setdefault(swap.name, []).append(swap)
    dice = random.Random(seed)
    return [swap for some in by_name.values() for swap in dice.sample(some, min(steps, len(some)))]


def _shape(request: Request) -> str:
    """The same for requests that ask for the same kind of thing, as far as their path tells."""
    segments = request.url.path.split("/")
    shape = ["*" if any(map(str.isdigit, one)) or len(one) > _LONG_SEGMENT else one for one in segments]
    return f"{request.method} {request.url.raw_host}{'/'.join(shape)}"


def _shown(request: Request) -> str:
    return printable(_redact(f"{request.method} {request.url.raw_path_qs}"))
