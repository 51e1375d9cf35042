"""Which code is the user's own: neither this package's nor a library's."""

from __future__ import annotations

import gc
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType, TracebackType
from typing import Final

_NOT_THE_USERS: Final = (
    Path(__file__).parent,
    *{Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)


def is_users(file: str) -> bool:
    """Whether a file of code is the user's own."""
    # What is compiled or frozen into an interpreter or a library names no file of its own.
    path = Path(file)
    return path.is_absolute() and not any(path.is_relative_to(place) for place in _NOT_THE_USERS)


def innermost(frames: Iterable[FrameType]) -> str:
    """``file:line in function`` of the user's innermost frame; "" where there is none. Outermost come first."""
    found = ""
    for frame in frames:
        if is_users(frame.f_code.co_filename):
            found = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
    return found


def place_of(trace: TracebackType | None) -> str:
    """The user's innermost line of a traceback: ``, in extract at jobs.py:7``; "" where there is none."""
    frames = [frame for frame in traceback.extract_tb(trace) if is_users(frame.filename)]
    return f", in {frames[-1].name} at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def suspended_frames(awaited: object) -> Iterator[FrameType]:
    """The frames of a coroutine that waits, outermost first; as far as the interpreter shows them."""
    for _ in range(_MOST_FRAMES):
        match awaited:
            case CoroutineType(cr_frame=frame, cr_await=inner):
                pass
            case GeneratorType(gi_frame=frame, gi_yieldfrom=inner):
                pass
            case AsyncGeneratorType(ag_frame=frame, ag_await=inner):
                pass
            case _:  # what `anext` gives has no name for the generator that it asks
                frame, inner = None, next((one for one in gc.get_referents(awaited) if isinstance(one, _WAITS)), None)
        if frame is not None:
            yield frame
        if inner is None:
            return
        awaited = inner


def running_frames(frame: FrameType | None) -> list[FrameType]:
    """The frames of a thread, outermost first."""
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found[::-1]


_MOST_FRAMES: Final = 1000
_WAITS: Final = (AsyncGeneratorType, CoroutineType)
