"""What breaks the rules, for a person: rule by rule, errors first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from secoda_async.rules.verdict import Breach, Severity, Verdict
from secoda_async.wording import counted

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def show_verdict(verdict: Verdict, console: Console) -> None:
    """Print every breach with its samples, and what it all comes to."""
    show_breaches(verdict.breaches, console)
    judged = f"{counted(verdict.resources, 'resource')} and {counted(verdict.lineage, 'lineage')}"
    if not verdict.breaches:
        console.print(Text(f"no rule is broken by {judged}", style="bold green"), soft_wrap=True)
        return
    errors, warnings = len(verdict.errors), len(verdict.breaches) - len(verdict.errors)
    console.print(
        Text(
            f"{counted(errors, 'kind')} of error, {counted(warnings, 'kind')} of warning in {judged}: "
            + ("fit to be delivered" if verdict.passed else "not fit to be delivered"),
            style="bold green" if verdict.passed else "bold red",
        ),
        soft_wrap=True,
    )


def show_breaches(breaches: Iterable[Breach], console: Console) -> None:
    """Print breaches with their samples and what to do."""
    for breach in breaches:
        for line in _lines(breach):
            console.print(line, soft_wrap=True)


def _lines(breach: Breach) -> Iterator[Text]:
    """As texts, never as markup: ids may hold anything."""
    yield Text.assemble(
        (breach.severity.value, _STYLES[breach.severity]),
        f" {breach.rule} ",
        (f"({breach.count:,})", "bold"),
        f": {breach.message}",
    )
    for sample in breach.samples:
        yield Text(f"    {sample}", style="dim")
    if breach.count > len(breach.samples) > 0:
        yield Text(f"    … and {breach.count - len(breach.samples):,} more", style="dim")
    yield Text(f"    to do: {breach.to_do}")
