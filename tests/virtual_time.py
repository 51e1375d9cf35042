"""An event loop whose clock moves only when nothing else is left to do: hours pass in milliseconds."""

import asyncio
import selectors
from typing import Any

_TICK = 1e-6  # each turn of the loop takes this long, so that a rounding residue cannot make a waiter spin


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        self.now += _TICK
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Usage: ``anyio_backend`` as ``("asyncio", {"loop_factory": VirtualTimeLoop})``; no threads, no sockets."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtually(coroutine: Any) -> Any:
    """Run a coroutine to its end on virtual time: for hypothesis, which calls a test many times."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
