"""Where the processor time of an extraction goes: the main thread's, by layer."""

from __future__ import annotations

import gc
import linecache
import opcode
import re
import signal
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

from secoda_async.errors import ConfigurationError
from secoda_async.user_code import is_users

YOUR_CODE: Final = "your code"
RECORDS: Final = "building records"
JSON: Final = "JSON"
HTTP: Final = "network: aiohttp"
LIMITS: Final = "network: limits and slots"
NETWORK: Final = "network: other layers"
JOURNAL: Final = "journal and replay"
DECLARE: Final = "declare and spool"
WORKERS: Final = "for_each and paginate"
LOOP: Final = "event loop"
GARBAGE: Final = "garbage collection"
OTHER: Final = "other"

# Modules of this package, the first that fits; what is none of these is `OTHER`.
_OWN: Final = (
    (r"models", RECORDS),
    (r"network/(transport|connections|head|stream|decode_body|deadlines)", HTTP),
    (r"network/(limit|gate|window|control|find_slots|find_rate|rate_headers|trips)", LIMITS),
    (r"network/(journal.*|replay|recorded|match_key|redact_answer)|run_journal|simulated|bench/.*", JOURNAL),
    (r"network/(json_items|split)", JSON),
    (r"network/.*", NETWORK),
    (r"(pipeline|sinks)/.*|spool|spool_index", DECLARE),
    (r"pagination/.*|workers|scopes|extraction|integration", WORKERS),
)
# Libraries and parts of Python, by the first name below ``site-packages`` or the standard library. Code of others (a
# parser of dates, say) belongs to whoever called it.
_LIBRARIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("aiohttp", "yarl", "multidict", "frozenlist", "propcache", "aiosignal", "ssl", "zlib"), HTTP),
    **dict.fromkeys(("pydantic", "pydantic_core"), RECORDS),
    **dict.fromkeys(("asyncio", "selectors", "uvloop", "anyio", "concurrent"), LOOP),
    **dict.fromkeys(("json", "ijson", "simplejson"), JSON),
}
_PACKAGE: Final = Path(__file__).parent
_SITES: Final = tuple({Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib", "platstdlib")})
_JSON_CALL: Final = re.compile(r"(orjson|ujson|json|msgspec\.json)\.\w+\(")
_RESUME: Final = opcode.opmap["RESUME"]
_INTERVAL: Final = 0.001  # seconds of processor time; kernels round it up to their tick, which is 1 to 10 ms


class CPUSample:
    """What `sampled_cpu` saw."""

    def __init__(self) -> None:
        self.count = 0
        """Looks at the thread, each after a few milliseconds of processor time."""
        self.seconds = 0.0
        """Processor seconds of the thread, up to the last look."""
        self._known: dict[str, str | None] = {}
        self._times: Counter[tuple[CodeType | None, int, str]] = Counter()
        self._thread = threading.get_ident()
        self._last = time.thread_time()
        self._looking = False
        self._collecting_since: float | None = None
        self._collecting = 0.0

    def shares(self) -> dict[str, float]:
        """Layer to its share of the thread's processor time, the largest first; empty where there was no look."""
        totals: Counter[str] = Counter()
        for (code, instruction, layer), seconds in self._times.items():
            is_json = code is not None and layer != DECLARE and _calls_json(code, instruction)
            totals[JSON if is_json else layer] += seconds
        return {layer: seconds / self.seconds for layer, seconds in totals.most_common() if seconds > 0}

    def _look(self, _: int, frame: FrameType | None) -> None:
        """Attribute the time since the last look to the innermost frame that is known."""
        if self._looking:  # a signal that came during a look would count the same time twice
            return
        self._looking = True
        now = time.thread_time()
        spent = now - self._last
        if self._collecting_since is not None:  # a look that came meanwhile is due at the first line after it
            self._collecting += now - self._collecting_since
            self._collecting_since = now
        collecting, self._collecting = min(self._collecting, spent), 0.0
        self.count += 1
        self.seconds += spent
        if collecting:
            self._times[None, 0, GARBAGE] += collecting  # type: ignore[assignment] # typeshed counts in integers
        if frame is not None and frame.f_back is not None and _is_at_its_start(frame):
            frame = frame.f_back  # nothing was done in it so far: the time is that of what called it
        code, instruction = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
        self._times[code, instruction, self._layer(frame)] += spent - collecting  # type: ignore[assignment]
        self._last = time.thread_time()  # without the look's own
        self._looking = False

    def _collected(self, phase: str, _: Mapping[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting_since = time.thread_time()
        elif self._collecting_since is not None:
            self._collecting += time.thread_time() - self._collecting_since
            self._collecting_since = None

    def _layer(self, frame: FrameType | None) -> str:
        while frame is not None:
            file = frame.f_code.co_filename
            try:
                layer = self._known[file]
            except KeyError:
                layer = self._known[file] = _layer_of(file)
            if layer is not None:
                return layer
            frame = frame.f_back
        return OTHER


@contextmanager
def sampled_cpu() -> Iterator[CPUSample]:
    """Look now and then where the main thread is: ``with sampled_cpu() as sample: ...``, then ``sample.shares()``.

    It costs less than a hundredth of the time: one look after a few milliseconds of processor time, so let it see a
    second or more. What is called from Python but is not Python (orjson, the validation of a model) counts for the line
    that called it; calls of JSON libraries are told apart by their text there, but what writes a declared record's line
    is a part of ``declare and spool``. What an event loop in C does between two tasks counts in part for the next.
    Raises ConfigurationError in another thread than the main one, and where there is no SIGPROF (Windows).
    """
    if not hasattr(signal, "SIGPROF"):
        raise ConfigurationError("this platform has no SIGPROF, so processor time cannot be sampled")
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError("processor time can be sampled in the main thread only")
    sample = CPUSample()
    before = signal.signal(signal.SIGPROF, sample._look)
    signal.siginterrupt(signal.SIGPROF, False)
    gc.callbacks.append(sample._collected)
    timer = signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
    try:
        yield sample
    finally:
        signal.setitimer(signal.ITIMER_PROF, *timer)
        gc.callbacks.remove(sample._collected)
        signal.signal(signal.SIGPROF, signal.SIG_DFL if before is None else before)


def _layer_of(file: str) -> str | None:
    """The layer of a file of code; None: that of what called it."""
    path = Path(file)
    if path.is_relative_to(_PACKAGE):
        name = path.relative_to(_PACKAGE).with_suffix("").as_posix()
        return next((layer for pattern, layer in _OWN if re.fullmatch(pattern, name)), OTHER)
    if is_users(file):
        return YOUR_CODE
    if not path.is_absolute():  # compiled or frozen into a library
        return _LIBRARIES.get(path.parts[0]) if path.parts else None
    inside = [path.relative_to(site) for site in _SITES if path.is_relative_to(site)]
    shortest = min(inside, key=lambda one: len(one.parts), default=None)
    return None if shortest is None else _LIBRARIES.get(shortest.parts[0].partition(".")[0])


def _is_at_its_start(frame: FrameType) -> bool:
    if frame.f_code.co_name == "__init__":  # the object has been made for it
        return False
    at = frame.f_lasti
    code = frame.f_code.co_code
    return at >= 0 and code[at] == _RESUME and not code[at + 1]


def _calls_json(code: CodeType, instruction: int) -> bool:
    """Whether the expression at an instruction is a call of a JSON library."""
    line, end_line, column, end_column = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    if line is None or end_line is None or column is None or end_column is None:
        return False
    text = linecache.getline(code.co_filename, line).encode()[column:]  # columns are bytes
    return _JSON_CALL.match(text.decode("utf-8", "replace")) is not None
