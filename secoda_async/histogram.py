"""Lengths of time, by the million, in a few hundred numbers."""

from __future__ import annotations

import math
from typing import Final

_EXACT_BITS: Final = 5
_STEPS: Final = 16  # buckets for each doubling
_EXACT: Final = 32  # microseconds below which each has a bucket of its own


class Histogram:
    """Counts lengths of time in buckets that grow with them, so that a percentile is at most 3.2 % off, or 1 µs.

    Usage: ``histogram.add(0.1203); histogram.percentile(0.99)``. Memory: at most some hundred buckets, however many
    lengths are added; only those that hold something take any.
    """

    __slots__ = ("_buckets", "most", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.total = 0.0
        """Seconds, added up."""
        self.most = 0.0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self._buckets.values())

    def add(self, seconds: float) -> None:
        """Count one length of time, in seconds."""
        bucket = int(seconds * 1e6)
        if bucket >= _EXACT:
            shift = bucket.bit_length() - _EXACT_BITS
            bucket = shift * _STEPS + (bucket >> shift)
        try:
            self._buckets[bucket] += 1
        except KeyError:
            self._buckets[bucket] = 1
        self.total += seconds
        if seconds > self.most:  # noqa: PLR1730 # max() costs four times as much
            self.most = seconds

    def merge(self, other: Histogram) -> None:
        """Count what another one has counted."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self.total += other.total
        self.most = max(self.most, other.most)

    def percentile(self, share: float) -> float:
        """Seconds that this share of all took at most (nearest rank); 0 where there are none."""
        left = max(1, math.ceil(share * self.count))
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(_middle(bucket), self.most)
        return 0.0


def _middle(bucket: int) -> float:
    """Seconds in the middle of a bucket."""
    if bucket < _EXACT:
        return (bucket + 0.5) / 1e6
    shift = bucket // _STEPS - 1
    return (bucket - shift * _STEPS + 0.5) * (1 << shift) / 1e6
