"""A diff for a person: what will be removed comes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from secoda_async.diff import Diff, Example, TypeDiff
from secoda_async.printable import printable
from secoda_async.wording import counted


def show_diff(diff: Diff, console: Console) -> None:
    """Print what a sync removes, adds and changes, by type with examples."""
    for line in _lines(diff):
        console.print(line, soft_wrap=True)


def _lines(diff: Diff) -> Iterator[Text]:
    """As texts, never as markup: ids and titles may hold anything."""
    if diff.against:
        yield Text.assemble(("compared with ", "dim"), diff.against)
    if diff.staled:
        fate, style = ("REMOVED", "red") if diff.removes_absent else ("absent, and kept since staling is off", "yellow")
        share = _percent(diff.staled / diff.before)
        yield Text(f"{fate}: {diff.staled:,} of {counted(diff.before, 'resource')} ({share})", style=f"bold {style}")
        for one in diff.types:
            if one.staled:
                yield Text(
                    f"  {_name(one)}: {one.staled:,} of {one.before:,} ({_percent(one.staled_share)})", style=style
                )
                yield from _examples(one.staled_examples, one.staled)
    elif diff.before:
        yield Text(f"nothing is removed of {counted(diff.before, 'resource')}", style="green")
    else:
        yield Text("nothing is removed, since no resource is held", style="green")
    yield from _group("added", diff.added, [(one, one.added, one.added_examples) for one in diff.types])
    if diff.changed is None and diff.before:
        yield Text("changed: not known, since only ids and types of what is held are known", style="bold")
    else:
        yield from _group(
            "changed", diff.changed or 0, [(one, one.changed or 0, one.changed_examples) for one in diff.types]
        )
    lineage = diff.lineage
    if lineage.before is None:
        yield Text(f"lineage: {lineage.now:,}; what is held is not known", style="bold")
    else:
        yield Text(f"lineage: {lineage.removed:,} of {lineage.before:,} removed, {lineage.added:,} added", style="bold")
    for sign, edges in (("-", lineage.removed_examples), ("+", lineage.added_examples)):
        yield from (Text(f"    {sign} {edge}", style="dim") for edge in edges)


def _group(what: str, count: int, types: Sequence[tuple[TypeDiff, int, tuple[Example, ...]]]) -> Iterator[Text]:
    yield Text(f"{what}: {count:,}", style="bold")
    for one, number, examples in types:
        if number:
            yield Text(f"  {_name(one)}: {number:,}")
            yield from _examples(examples, number)


def _examples(examples: Sequence[Example], count: int) -> Iterator[Text]:
    for example in examples:
        title = f' "{example.title}"' if example.title else ""
        parent = f" in {example.parent}" if example.parent else ""
        was = "" if example.was is None else f", was a {example.was}"
        yield Text(f"    {example.id}{title}{parent}{was}", style="dim")
    if examples and count > len(examples):
        yield Text(f"    … and {count - len(examples):,} more", style="dim")


def _name(one: TypeDiff) -> str:
    return printable(one.type) or "(no type)"


def _percent(share: float) -> str:
    """Never 0 % where something is removed, nor 100 % where something stays."""
    shown = f"{share:.1%}".replace("%", " %")
    return {"0.0 %": "under 0.1 %", "100.0 %": "100 %" if share == 1 else "over 99.9 %"}.get(shown, shown)
