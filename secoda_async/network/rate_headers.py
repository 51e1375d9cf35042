"""What a server says about its rate limit: ``Retry-After``, ``RateLimit-*`` and ``X-RateLimit-*``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from multidict import istr

_REMAINING_AND_RESET: Final = (
    (istr("RateLimit-Remaining"), istr("RateLimit-Reset")),
    (istr("X-RateLimit-Remaining"), istr("X-RateLimit-Reset")),
    (istr("X-RateLimit-Remaining"), istr("X-RateLimit-Reset-After")),
    (istr("X-Rate-Limit-Remaining"), istr("X-Rate-Limit-Reset")),
)
_COMBINED: Final = istr("RateLimit")
_PARAMETER: Final = re.compile(r"\b(r|remaining|t|reset)\s*=\s*([0-9]{1,18})\b")
_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]*)?")
_SHORT_EPOCH: Final = 1e9  # a delta of 30 years is none, so the number is a time; in milliseconds from 1e12 on
_LONG_EPOCH: Final = 1e12


class Quota(NamedTuple):
    """How many requests a server still takes before ``reset`` seconds have passed."""

    remaining: int
    reset: float


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, never negative; None where the header is absent or unreadable (RFC 9110, section 10.2.3).

    A date is read against the answer's own ``Date``, so a clock that is off here does no harm.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    moment = _date(text)
    if moment is None:
        return None
    return max(0.0, (moment - _now(headers)).total_seconds())


def parse_quota(headers: Mapping[str, str]) -> Quota | None:
    """What is left of the server's limit; None where it does not say both how much and until when.

    Takes ``RateLimit-Remaining`` with ``RateLimit-Reset``, the same with ``X-``, and ``RateLimit: "name";r=5;t=30``. A
    reset may be seconds from now, seconds or milliseconds since 1970, or a date. Of several limits in one header the
    one with the least left is taken.
    """
    for remaining_name, reset_name in _REMAINING_AND_RESET:
        if remaining_name in headers and reset_name in headers:
            remaining, reset = headers[remaining_name].strip(), _reset(headers, headers[reset_name].strip())
            if reset is not None and _NUMBER.fullmatch(remaining):
                return Quota(int(float(remaining)), reset)
    if _COMBINED in headers:
        quotas = [quota for item in headers[_COMBINED].split(",") if (quota := _combined(item))] or [
            quota for quota in (_combined(headers[_COMBINED]),) if quota
        ]
        return min(quotas, key=lambda quota: (quota.remaining, -quota.reset), default=None)
    return None


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """How long, in seconds, the server that refused wants to be left alone; None: it does not say."""
    asked = parse_retry_after(headers)
    if asked is not None:
        return asked
    quota = parse_quota(headers)
    return quota.reset if quota is not None and quota.remaining == 0 else None


def _combined(text: str) -> Quota | None:
    found = {name[0] if name in ("r", "t") else name: int(value) for name, value in _PARAMETER.findall(text)}
    remaining = found.get("r", found.get("remaining"))
    reset = found.get("t", found.get("reset"))
    return None if remaining is None or reset is None else Quota(remaining, float(reset))


def _reset(headers: Mapping[str, str], text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number < _SHORT_EPOCH:
            return number
        seconds = number / 1000 if number >= _LONG_EPOCH else number
        return max(0.0, seconds - _now(headers).timestamp())
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found = _date(text)
        if found is None:
            return None
        moment = found
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = (moment - _now(headers)).total_seconds()
    return max(0.0, wait) if math.isfinite(wait) else None


def _now(headers: Mapping[str, str]) -> datetime:
    return _date(headers.get("Date", "")) or datetime.now(UTC)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
