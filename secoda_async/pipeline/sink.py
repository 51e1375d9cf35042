"""Where a run ends: what a sink is asked, in which order."""

from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from secoda_async.baselines import Target
from secoda_async.counters import Traffic
from secoda_async.dataset import Dataset
from secoda_async.findings import Findings
from secoda_async.redact import Redactor
from secoda_async.spool import Batch, Spool


class RunInfo(NamedTuple):
    """What a sink is told about the run it ends."""

    run_id: str
    integration: str
    """Name of the integration's class."""
    upload: Traffic
    """Counts a sink's own requests."""
    findings: Findings
    redact: Redactor


class Sink(Protocol):
    """Takes one run: ``open``, then ``commit`` where the run is complete, or ``abort`` where it is not.

    Usage: ``class Mine(Sink): ...; await integration.run(Mine())``. ``commit`` delivers all or raises.
    """

    async def open(self, run: RunInfo) -> None:
        """Before the first request: refuse here what could not be delivered later."""

    async def commit(self, spool: Spool) -> None:
        """The run is complete: deliver its files."""

    async def abort(self, error: BaseException) -> None:
        """The run failed, or its delivery did: leave what was delivered before as it is."""


@runtime_checkable
class SyncSink(Sink, Protocol):
    """A sink whose ``commit`` replaces what an earlier sync brought. One run at a time has its target."""

    # A method, since asking whether an object is such a sink reads its properties.
    def target(self) -> Target:
        """What it replaces."""


@runtime_checkable
class StreamingSink(Sink, Protocol):
    """A sink that is also given every batch as it is written, before the run is known to be complete."""

    async def write(self, batch: Batch) -> None:
        """Pass on a batch."""


class Survey(NamedTuple):
    """What a target was found to hold: ids and types of its resources, and nothing of its lineage; or why not."""

    dataset: Dataset | None
    """None: it cannot be said what the target holds."""
    resources: int = 0
    """Resources in the dataset; 0 where the target surely holds none."""
    why_not: str = ""
    """The reason, where there is no dataset."""


@runtime_checkable
class GuardedSink(SyncSink, Protocol):
    """A sink whose target others see, that removes there what a sync lacks, and can be asked what it holds.

    Before it is sent, a sync is compared with what the target holds, and refused where it would remove too much.
    """

    @property
    def removes_absent(self) -> bool:
        """Whether what a sync lacks is removed; False: it only adds and changes."""

    async def survey(self, work: Path) -> Survey:
        """Ask the target what it holds; ``work`` is a folder for the answer. Raises SpoolError on a full disk."""
