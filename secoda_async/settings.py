"""What can be set: small frozen values, checked when they are made."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from typing_extensions import override

from secoda_async.errors import ConfigurationError


class Unset(Enum):
    """The type of `UNSET`, which says that nothing was chosen, where None is a choice."""

    UNSET = "unset"

    @override
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final[Literal[Unset.UNSET]] = Unset.UNSET
OnConflict: TypeAlias = Literal["error", "first", "last"]
"""What becomes of records that share an id and differ."""


def _require(condition: bool, message: str) -> None:  # an assertion with a plain message
    if not condition:
        raise ConfigurationError(message)


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``requests`` requests in any ``per`` seconds, wherever those seconds begin.

    Usage: ``rate_limits = {"api.cluvio.com": RateLimit(100, per=60)}``.

    ``burst`` is how many may leave at the same moment. By default a window's requests are spread evenly, over one
    second at most (so ``RateLimit(100, per=60)`` sends its hundred within the first second, then waits).
    Raises ConfigurationError where a number is not positive.
    """

    requests: int
    """Requests in one window."""
    per: float = 1.0
    """Length of the window in seconds."""
    burst: int | None = field(default=None, kw_only=True)
    """Requests that may leave at the same moment; None: 25 ms worth of the spread, at least one."""

    def __post_init__(self) -> None:
        _require(
            _is_count(self.requests),
            f"RateLimit: requests must be a whole number of 1 or more, not {self.requests!r}",
        )
        _require(_is_seconds(self.per), f"RateLimit: per must be a number of seconds above 0, not {self.per!r}")
        if self.burst is not None:
            _require(
                _is_count(self.burst) and self.burst <= self.requests,
                f"RateLimit: burst must be from 1 to requests ({self.requests}), not {self.burst!r}",
            )


def check_on_conflict(value: object) -> None:
    """Raises ConfigurationError where it is no `OnConflict`."""
    _require(
        isinstance(value, str) and value in get_args(OnConflict),
        f'on_conflict must be "error", "first" or "last", not {value!r}',
    )


def as_limits(key: str, value: object) -> tuple[RateLimit, ...]:
    """The limits of one key of ``rate_limits``. Raises ConfigurationError where they are none."""
    limits = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    _require(
        all(isinstance(limit, RateLimit) for limit in limits),
        f"rate_limits: {key!r} needs a RateLimit or a list of them, not {value!r}",
    )
    return limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how long apart, a request is repeated.

    Usage: ``retry = RetryPolicy(attempts=8)`` on the class, or ``await self.http_get(url, retry=None)`` for one call.

    The wait before attempt n+1 is random between 0 and ``backoff * 2**(n-1)``, at most ``max_backoff`` (full jitter);
    ``Retry-After`` takes its place where the answer carries one.
    Raises ConfigurationError where a number is out of range.
    """

    attempts: int = 5
    """Attempts in all, the first included."""
    backoff: float = 0.5
    """Upper bound of the first wait, in seconds."""
    max_backoff: float = 30.0
    """Upper bound of any wait that the server did not ask for, in seconds."""
    max_wait: float = 300.0
    """Longest ``Retry-After`` that is obeyed, in seconds; a longer one ends the request with an error."""
    unspecified_wait: float | None = None
    """Wait in seconds after a 429 without ``Retry-After``; None: the usual back-off."""

    def __post_init__(self) -> None:
        _require(
            _is_count(self.attempts),
            f"RetryPolicy: attempts must be a whole number of 1 or more, not {self.attempts!r}",
        )
        for name in ("backoff", "max_backoff", "max_wait"):
            value = getattr(self, name)
            _require(_is_seconds(value), f"RetryPolicy: {name} must be a number of seconds above 0, not {value!r}")
        _require(
            self.unspecified_wait is None or _is_seconds(self.unspecified_wait),
            "RetryPolicy: unspecified_wait must be a number of seconds above 0, or None, "
            f"not {self.unspecified_wait!r}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """How long one attempt may take, in seconds; None is no limit. Waiting for a rate limit does not count.

    Usage: ``timeout = Timeout(total=300)`` on the class, or ``timeout=Timeout(read=5)`` for one call.
    Raises ConfigurationError where a number is not positive.
    """

    connect: float | None = 10.0
    """Until the connection stands, TLS included."""
    read: float | None = 60.0
    """Between two reads."""
    total: float | None = 120.0
    """The whole attempt, from leaving the rate limit to the last byte."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            _require(
                value is None or _is_seconds(value),
                f"Timeout: {f.name} must be a number of seconds above 0, or None, not {value!r}",
            )

    @classmethod
    def of(cls, value: "Timeout | float | None") -> Self:
        """A number stands for the whole attempt, None for no limit at all."""
        if isinstance(value, cls):
            return value
        if value is None:
            return cls(connect=None, read=None, total=None)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ConfigurationError(f"timeout must be a Timeout, a number of seconds or None, not {value!r}")
        return cls(connect=value, read=value, total=value)


@dataclass(frozen=True, slots=True)
class Carry:
    """What a scope that fails ends in: its records of the last accepted sync take the place of its own.

    Usage: ``async with self.scope(name, on_error=Carry(max_age=86400))``, or ``on_error="carry"`` for a week.
    The run is *degraded* then. Where no accepted sync holds the scope, or only one that is too old, the scope fails.
    """

    max_age: float = 7 * 86_400.0
    """Seconds since these records were read from the source, after which they are not carried any further."""

    def __post_init__(self) -> None:
        _require(_is_seconds(self.max_age), f"Carry: max_age must be a number of seconds above 0, not {self.max_age!r}")


@dataclass(frozen=True, slots=True, init=False)
class Skip:
    """What a scope that fails ends in: nothing of it is part of the sync, so that the workspace removes what it holds.

    Usage: ``async with self.scope(name, on_error=Skip(403, PermissionError))``: statuses, and classes of exceptions.
    Whatever else goes wrong fails the scope. The run is *degraded* then.
    Raises ConfigurationError where nothing is named, or something that is neither.
    """

    statuses: frozenset[int]
    errors: tuple[type[Exception], ...]

    def __init__(self, *what: int | type[Exception]) -> None:
        _require(bool(what), "Skip: name what may be skipped, such as Skip(403, PermissionError)")
        for one in what:
            _require(
                (isinstance(one, int) and not isinstance(one, bool) and 400 <= one <= 599)
                or (isinstance(one, type) and issubclass(one, Exception)),
                f"Skip takes statuses from 400 to 599 and classes of exceptions, not {one!r}",
            )
        object.__setattr__(self, "statuses", frozenset(one for one in what if isinstance(one, int)))
        object.__setattr__(self, "errors", tuple(one for one in what if isinstance(one, type)))


OnError = Literal["fail", "carry"] | Carry | Skip


def as_policy(value: object) -> Carry | Skip | None:
    """What ``on_error`` of a scope means; None: it fails the run. Raises ConfigurationError for anything else."""
    if value == "carry":
        return Carry()
    _require(
        value == "fail" or isinstance(value, Carry | Skip),
        f'on_error must be "fail", "carry", Carry(...) or Skip(...), not {value!r}',
    )
    return value if isinstance(value, Carry | Skip) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleLimits:
    """How much of each entity type one sync may remove from a workspace before it is refused.

    Usage: ``stale_limits = StaleLimits(share=0.1, by_type={"column": 0.5})``.

    The default is a fifth: catalogs change by a few percent between two syncs, while a listing that failed or came
    back short takes a schema, a page or everything. A share of exactly the limit passes.
    Raises ConfigurationError where a share is not from 0 to 1.
    """

    share: float = 0.2
    """Of the resources of a type that are held, from 0 (none may be removed) to 1 (all may be)."""
    by_type: Mapping[str, float] = field(default_factory=dict)
    """The share for single entity types, in place of ``share``."""
    least: int = 20
    """Held resources of a type from which its limit applies; of fewer, one or two are a large share."""

    def __post_init__(self) -> None:
        _require(
            isinstance(self.by_type, Mapping) and all(isinstance(name, str) for name in self.by_type),
            f"StaleLimits: by_type must be a dictionary from entity type to share, not {self.by_type!r}",
        )
        for name, value in (("share", self.share), *((f"by_type[{name!r}]", n) for name, n in self.by_type.items())):
            is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
            _require(is_share, f"StaleLimits: {name} must be a number from 0 to 1, not {value!r}")
        _require(_is_count(self.least), f"StaleLimits: least must be a whole number of 1 or more, not {self.least!r}")
        object.__setattr__(self, "by_type", dict(self.by_type))

    def of(self, entity_type: str) -> float:
        """The share of an entity type that may be removed."""
        return self.by_type.get(entity_type, self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of the integration's connection form.

    Usage: ``inputs = {"base_url": Input(secret=False), "token": Input(required=False)}``.
    """

    secret: bool = True
    """Whether its value is kept out of logs, errors and reports."""
    required: bool = True
    """Whether a run without it ends before its first request."""
    description: str = ""
    """What the form says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a run can be given; each is a keyword of the integration's constructor and a class attribute.

    Usage: ``Cluvio(credentials=…, concurrency=20, timeout=Timeout(total=300))``, or ``concurrency = 20`` in the class.

    Raises ConfigurationError where a value is out of range.
    """

    base_url: str = ""
    """What relative URLs are appended to."""
    rate_limits: Mapping[str, RateLimit | Iterable[RateLimit]] = field(default_factory=dict)
    """Limits by ``[METHOD ]host[:port][/path]``; ``"*"`` is a limit for each other host. Several in a list all hold.

    In a path ``*`` or ``{name}`` is one segment, a last ``**`` any number; such a limit holds besides the host's."""
    allowed_hosts: Iterable[str] | None = None
    """Hosts that may be asked, as ``host``, ``host:port`` or ``*.domain``; None: all. Redirects are held to it too."""
    endpoints: Iterable[str] | None = None
    """What the integration talks to, as Secoda's permission form asks: ``[METHOD ]host[:port][/path]`` each, with
    ``*``, ``{name}`` or a last ``**`` in a path. A request elsewhere is a finding; None: nothing is declared."""
    enforce_endpoints: bool = False
    """Refuse whatever is none of ``endpoints``, redirects and next pages included, before it is sent."""
    concurrency: int | None = None
    """Requests in flight at once to one host; None: found out while the host answers, within ``rate_limits``."""
    retry: RetryPolicy | None = RetryPolicy()
    """How often, and how long apart, a request is repeated; None: never, and any status is returned."""
    timeout: Timeout = Timeout()
    """How long one attempt may take, in seconds; waiting for a limit does not count."""
    verify: bool | str = True
    """Certificates: checked, not checked, or checked against the CA file (or folder) at this path."""
    cert: str | tuple[str, str] | tuple[str, str, str] | None = field(default=None, repr=False)
    """Client certificate, for the origin of ``base_url`` alone: a file, (file, key), or (file, key, password)."""
    proxy: str | None = field(default=None, repr=False)
    """A proxy for every request, as ``http://user:password@host:port``."""
    trust_env: bool = False
    """Use the proxies of the environment (``https_proxy``, ``no_proxy`` …) where ``proxy`` names none."""
    cookies: bool = False
    """Keep cookies during a run, in memory, each for the origin that set it."""
    refuse_private: bool = False
    """Refuse loopback, private and other addresses that are not public; those of cloud metadata always are."""
    watchdog: float | None = 300.0
    """Seconds without any progress (no request ended, no record declared, no byte moved) after which a warning in the
    log lists what is waited for; None: never."""
    max_body: int = 256 * 2**20
    """Largest decoded body, in bytes."""
    allow_losses: bool = False
    """Deliver although something was lost. On the platform that removes what is missing; the report says so."""
    stale_limits: StaleLimits = StaleLimits()
    """How much an upload may remove from the workspace before it is refused."""
    allow_stale: Iterable[str] = ()
    """Entity types of which this upload may remove any share; ``"*"`` is each type."""
    allow_empty: bool = False
    """Upload although nothing was extracted, which removes everything that the workspace holds of the integration."""
    first_sync: bool = False
    """Upload although nobody can say what the workspace holds, since this is the integration's first sync."""
    against: Literal["last", "workspace"] = "last"
    """What an upload is compared with: the last accepted sync (where none is kept: the workspace), or the workspace."""
    state_dir: Path | None = None
    """Where runs keep their files; None: ``SECODA_ASYNC_STATE``, else ``.secoda-async/``."""
    resumable: bool = False
    """Keep a journal of what the source answers in the run's folder, so that another run can continue this one."""
    resume: str | None = None
    """Continue a run that died or failed: its id, or ``last``. What it had got is not asked for again."""
    record: Path | None = None
    """Copy the journal to this file at the end of the run, however it ends."""
    replay: Path | None = None
    """Answer every request from a file that ``record`` wrote, with no network at all."""
    conditional: bool = False
    """Ask only for what has changed since the last run that kept a journal (``ETag``, ``Last-Modified``); keeps one."""
    max_journal: int = 4 * 2**30
    """Largest journal, in bytes; the request whose answer would make it larger ends in JournalError."""
    max_requests: int | None = None
    """Requests that a run may make, retries not counted; one more is an error. None: no bound."""
    sample: int | None = None
    """Try the way, and deliver nothing: the first page of each `paginate`, and of each `for_each` and `map` so many
    items. None: everything."""
    telemetry: bool = False
    """Give OpenTelemetry a span for the run and for each attempt, and the run's counts; needs the extra ``otel``."""
    batch_bytes: int = 256 * 2**10
    """A batch crosses the queue when it holds this many bytes."""
    queue_bytes: int = 8 * 2**20
    """Undelivered bytes from which an awaited declare waits."""
    max_undelivered: int = 64 * 2**20
    """Undelivered bytes at which a declare raises BackpressureError."""
    max_record: int = 16 * 2**20
    """Largest line of one record, in bytes."""
    strict: bool = False
    """Refuse to upload what breaks a rule that is else a warning; files of a run are judged only where this is on."""
    on_conflict: OnConflict = "error"
    """What becomes of records that share an id and differ: an error, or only the ``first`` or the ``last`` is sent.

    Records that repeat one another are no conflict: they are sent once."""

    def __post_init__(self) -> None:
        for name in (
            "allow_losses",
            "strict",
            "allow_empty",
            "first_sync",
            "resumable",
            "conditional",
            "refuse_private",
            "trust_env",
            "cookies",
            "telemetry",
        ):
            value = getattr(self, name)
            _require(isinstance(value, bool), f"{name} must be True or False, not {value!r}")
        _require(isinstance(self.base_url, str), f"base_url must be a string, not {self.base_url!r}")
        _require(
            isinstance(self.rate_limits, Mapping),
            f"rate_limits must be a dictionary from host to RateLimit, not {self.rate_limits!r}",
        )
        for name in ("allowed_hosts", "endpoints"):
            values = getattr(self, name)
            if values is not None:
                _require(
                    isinstance(values, Iterable) and not isinstance(values, str | Mapping),
                    f"{name} must be a list of strings, or None, not {values!r}",
                )
                object.__setattr__(self, name, tuple(values))  # an iterator would be used up by the first run
        _require(
            isinstance(self.stale_limits, StaleLimits),
            f"stale_limits must be a StaleLimits, not {self.stale_limits!r}",
        )
        _require(
            isinstance(self.allow_stale, Iterable) and not isinstance(self.allow_stale, str | Mapping),
            f"allow_stale must be a list of entity types, not {self.allow_stale!r}",
        )
        object.__setattr__(self, "allow_stale", tuple(self.allow_stale))
        _require(
            all(isinstance(name, str) for name in self.allow_stale),
            f"allow_stale must be a list of entity types, not {self.allow_stale!r}",
        )
        _require(self.against in ("last", "workspace"), f'against must be "last" or "workspace", not {self.against!r}')
        _require(
            isinstance(self.enforce_endpoints, bool),
            f"enforce_endpoints must be True or False, not {self.enforce_endpoints!r}",
        )
        _require(
            self.endpoints is not None or not self.enforce_endpoints,
            "enforce_endpoints needs endpoints: the list of what the integration talks to",
        )
        limits = {key: as_limits(key, value) for key, value in self.rate_limits.items()}
        object.__setattr__(self, "rate_limits", limits)
        _require(
            self.concurrency is None or _is_count(self.concurrency),
            f"concurrency must be a whole number of 1 or more, or None, not {self.concurrency!r}",
        )
        for name in ("max_requests", "sample"):
            value = getattr(self, name)
            _require(
                value is None or _is_count(value),
                f"{name} must be a whole number of 1 or more, or None, not {value!r}",
            )
        _require(
            self.watchdog is None or _is_seconds(self.watchdog),
            f"watchdog must be a number of seconds above 0, or None, not {self.watchdog!r}",
        )
        for name in ("max_body", "max_journal", "batch_bytes", "queue_bytes", "max_undelivered", "max_record"):
            value = getattr(self, name)
            _require(_is_count(value), f"{name} must be a number of bytes of 1 or more, not {value!r}")
        _require(
            # Four: half of a full queue must be more than the open batches of both kinds, which nothing delivers.
            4 * self.batch_bytes <= self.queue_bytes <= self.max_undelivered,
            "queue_bytes must be at least four times batch_bytes, and max_undelivered at least queue_bytes",
        )
        _require(
            self.retry is None or isinstance(self.retry, RetryPolicy),
            f"retry must be a RetryPolicy or None, not {self.retry!r}",
        )
        _require(
            isinstance(self.verify, bool) or (isinstance(self.verify, str) and self.verify != ""),
            f"verify must be True, False or the path of a CA file as a string, not {self.verify!r}",
        )
        if self.cert is not None:
            parts = (self.cert,) if isinstance(self.cert, str) else self.cert
            _require(
                isinstance(parts, tuple) and 0 < len(parts) <= 3 and all(isinstance(p, str) and p for p in parts),
                "cert must be a path, (path, key path) or (path, key path, password), all strings",  # never its value
            )
            _require(bool(self.base_url), "cert needs a base_url: a client certificate goes to that origin alone")
        _require(self.proxy is None or isinstance(self.proxy, str), "proxy must be a URL such as http://host:port")
        check_on_conflict(self.on_conflict)
        object.__setattr__(self, "timeout", Timeout.of(self.timeout))
        for name, what in (("state_dir", "folder"), ("record", "file"), ("replay", "file")):
            value = getattr(self, name)
            if value is not None:
                _require(
                    isinstance(value, Path) or (isinstance(value, str) and value != ""),
                    f"{name} must be the path of a {what}, or None, not {value!r}",
                )
                object.__setattr__(self, name, Path(value))
        _require(
            self.resume is None or (isinstance(self.resume, str) and self.resume != ""),
            f'resume must be the id of a run, "last" or None, not {self.resume!r}',
        )
        if self.replay is not None:
            for name in ("resumable", "resume", "record", "conditional"):
                _require(not getattr(self, name), f"replay asks no source, so {name} cannot be given with it")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Settings by name. Raises ConfigurationError for a name that is none."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(values.keys() - known)
        _require(not unknown, f"unknown setting {', '.join(unknown)}; the settings are {', '.join(sorted(known))}")
        return cls(**values)
