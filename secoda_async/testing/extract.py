"""Runs an integration for a test, and gives what it declared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import Final

import anyio
from typing_extensions import override

from secoda_async.analysis.folder import temporary_folder
from secoda_async.errors import RunError
from secoda_async.integration import SecodaIntegration
from secoda_async.models import DeclaredLineage, Resource
from secoda_async.pipeline.sink import RunInfo, Sink
from secoda_async.report import RunReport
from secoda_async.spool import Spool
from secoda_async.spool_index import Kind
from secoda_async.testing.virtual_time import run_virtually

_PREFIX: Final = "secoda-async-test-"


@dataclass(frozen=True)
class Records:
    """What a run declared, in order, repeats included; what `run_extract` gives.

    Usage: ``records.by_id["dashboard.1"].title``, ``len(records.resources)``, ``records.report.source.requests``.
    """

    resources: tuple[Resource, ...]
    lineage: tuple[DeclaredLineage, ...]
    report: RunReport

    @cached_property
    def by_id(self) -> dict[str, Resource]:
        """The resources by their ``databuilder_id``; the last of several with one id."""
        return {resource.databuilder_id: resource for resource in self.resources}


async def run_extract(integration: SecodaIntegration) -> Records:
    """Run an integration, and give what it would have delivered: ``records = await run_extract(Jobs(credentials={}))``.

    What is not `complete` raises, as `SecodaIntegration.run` does. The run's files are in a temporary folder, unless
    the integration was given a ``state_dir``.
    """
    sink = MemorySink()
    async with without_traces(integration):
        report = await integration.run(sink)
    return sink.records(report)


def run_extract_sync(integration: SecodaIntegration, *, virtual_time: bool = False) -> Records:
    """`run_extract` for a test that is a plain function: ``records = run_extract_sync(Jobs(credentials={}))``.

    With ``virtual_time`` back-off, limits and latency pass at once, where the source is a `FakeSource` or a recording.
    Raises RunError where an event loop runs, and otherwise as `run_extract`.
    """
    refuse_loop("await run_extract(…)")
    run = run_virtually if virtual_time else asyncio.run
    return run(run_extract(integration))


def refuse_loop(instead: str) -> None:
    """Raise RunError where an event loop runs, which says what to write ``instead`` of a blocking call."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RunError(f"an event loop runs here, and this call would block it; write `{instead}`")


class MemorySink(Sink):
    """Keeps the files of a complete run in memory."""

    def __init__(self) -> None:
        self.committed = False
        """Whether it was given a sync, whatever became of the run then."""
        self._lines: dict[Kind, list[bytes]] = {kind: [] for kind in Kind}

    @override
    async def open(self, run: RunInfo) -> None:
        return

    @override
    async def commit(self, spool: Spool) -> None:
        self.committed = True
        for kind in Kind:
            self._lines[kind] = (await anyio.Path(spool.file(kind).path).read_bytes()).splitlines()

    @override
    async def abort(self, error: BaseException) -> None:
        return

    def records(self, report: RunReport) -> Records:
        """What was committed."""
        return Records(
            tuple(map(Resource.model_validate_json, self._lines[Kind.RESOURCES])),
            tuple(map(DeclaredLineage.model_validate_json, self._lines[Kind.LINEAGE])),
            report,
        )


@asynccontextmanager
async def without_traces(integration: SecodaIntegration) -> AsyncIterator[None]:
    """Have the integration keep its files in a folder that is gone at the end, unless it has one of its own."""
    settings = integration.settings
    if settings.state_dir is not None:
        yield
        return
    async with temporary_folder(Path(gettempdir()), _PREFIX) as folder:
        integration.settings = replace(settings, state_dir=folder)
        try:
            yield
        finally:
            integration.settings = settings
