"""What a sync would do, found out before it is sent: rules, diff and stale guard, in one pass over its files.

It imports DuckDB, so it is imported where something is delivered only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import anyio

from secoda_async.analysis.distinct import write_distinct
from secoda_async.analysis.engine import Connection, analyse
from secoda_async.analysis.folder import temporary_folder
from secoda_async.analysis.tables import load_lineage, load_resources
from secoda_async.baselines import Baseline
from secoda_async.checks import Checks
from secoda_async.dataset import Dataset
from secoda_async.diff import Diff, Tables, compare
from secoda_async.errors import RulesError
from secoda_async.phases import Phases
from secoda_async.pipeline.sink import GuardedSink, SyncSink
from secoda_async.rules.judge import judge
from secoda_async.rules.judge_dataset import count_rows, make_verdict
from secoda_async.rules.judge_sql import judge_sql
from secoda_async.rules.verdict import Breach, Verdict
from secoda_async.settings import Settings
from secoda_async.spool_index import Kind
from secoda_async.stale_guard import guard, no_preview
from secoda_async.wording import counted


class _Before(NamedTuple):
    """What a target holds."""

    dataset: Dataset
    against: str
    ids_only: bool = False


class Preflight:
    """Lets a sync pass, or says why not.

    Usage: ``files = await Preflight(sink, settings, checks, phases).check(dataset, work, baseline)``. What it finds out
    is in ``checks``, also where it refuses the sync. Only a `GuardedSink` has a diff and a guard.
    """

    def __init__(self, sink: SyncSink, settings: Settings, checks: Checks, phases: Phases) -> None:
        self._sink = sink
        self._guarded = sink if isinstance(sink, GuardedSink) else None
        self._removes_absent = self._guarded is not None and self._guarded.removes_absent
        self._settings = settings
        self._checks = checks
        self._phases = phases

    async def check(self, dataset: Dataset, work: Path, baseline: Baseline | None) -> Dataset:
        """The files to send, each record once; ``work`` is a folder for them.

        Raises RulesError where records break a rule, StaleGuardError where the sync would remove too much or where
        nobody can say what it would remove, and SpoolError where files cannot be read or written.
        """
        async with temporary_folder(work, "preflight-") as folder:
            before = await self._before(folder, baseline)
            verdict, self._checks.diff, files = await self._judge(dataset, before, folder, work)
            self._checks.verdict = verdict
        if verdict.errors:
            raise RulesError(_refusal(verdict.errors), breaches=verdict.errors)
        if self._checks.diff is not None:
            guard(self._checks.diff, self._settings)
        return files

    async def _before(self, folder: Path, baseline: Baseline | None) -> _Before | None:
        """What the target holds. Raises StaleGuardError where that is not known and has to be."""
        sink, wants_last = self._guarded, self._settings.against == "last"
        if sink is None:
            return None
        # What the target may hold besides is not shown by the baseline, and would be removed.
        is_sure = baseline is not None and not (baseline.doubt and self._removes_absent)
        if baseline is not None and wants_last and is_sure:
            when = f"{baseline.accepted_at:%Y-%m-%d %H:%M} UTC"
            return _Before(baseline.dataset, f"the last accepted sync, {baseline.run}, of {when}")
        if wants_last and not self._removes_absent:
            return None
        self._phases.begin("survey")
        survey = await sink.survey(folder)
        if survey.dataset is not None:
            return _Before(
                survey.dataset, f"the workspace, which holds {counted(survey.resources, 'resource')}", ids_only=True
            )
        if self._removes_absent and not self._settings.first_sync:
            raise no_preview(survey.why_not)
        nothing = Dataset(*(folder / f"nothing.{kind.filename}" for kind in Kind))
        for path in nothing:
            await anyio.Path(path).touch()
        return _Before(nothing, f"nothing, since what the workspace holds is not known ({survey.why_not})")

    async def _judge(
        self, dataset: Dataset, before: _Before | None, folder: Path, work: Path
    ) -> tuple[Verdict, Diff | None, Dataset]:
        settings = self._settings
        statements, phases = folder / "statements.jsonl", self._phases
        phases.begin("rules")

        def body(connection: Connection) -> tuple[int, int, list[Breach], Diff | None, Dataset]:
            load_resources(connection, dataset, "now_resources")
            load_lineage(connection, dataset, "now_lineage")
            breaches = judge(
                connection,
                dataset,
                resources="now_resources",
                lineage="now_lineage",
                on_conflict=settings.on_conflict,
                strict=settings.strict,
                statements=statements,
                told=phases.tell,
            )
            counts = count_rows(connection, "now_resources"), count_rows(connection, "now_lineage")
            files = dataset if self._guarded is None else write_distinct(connection, dataset, work)
            if before is None:
                return *counts, breaches, None, files
            phases.begin("diff")
            load_resources(connection, before.dataset, "before_resources")
            load_lineage(connection, before.dataset, "before_lineage")
            diff = compare(
                connection,
                Tables("before_resources", "before_lineage"),
                Tables("now_resources", "now_lineage"),
                keep="first" if settings.on_conflict == "first" else "last",
                ids_only=before.ids_only,
                against=before.against,
                removes_absent=self._removes_absent,
            )
            return *counts, breaches, diff, files

        reads = [*dataset, *(() if before is None else before.dataset)]
        resources, lineage, breaches, diff, files = await analyse(folder, reads, body)
        phases.begin("SQL")
        breaches += await judge_sql(statements, dataset.lineage.name, strict=settings.strict)
        return make_verdict(resources, lineage, breaches), diff, files


def _refusal(errors: Sequence[Breach]) -> str:
    first = errors[0]
    where = "".join(f", first in {one}" for one in first.samples[:1])
    broken = f"{counted(first.count, 'record')} {'breaks' if first.count == 1 else 'break'} a rule"
    others = len(errors) - 1
    more = f"; {counted(others, 'more rule')} {'is' if others == 1 else 'are'} broken" if others else ""
    return f"nothing was delivered, since {broken}: {first.message}{where}; {first.to_do}{more}"
