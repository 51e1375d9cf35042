"""A comparison for a person: what differs, or that nothing does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from secoda_async.comparison.compare import Comparison
from secoda_async.comparison.differences import Changed, Resource
from secoda_async.wording import counted


def show_comparison(found: Comparison, console: Console) -> None:
    """Print both sides, and each kind of difference with examples."""
    for line in _lines(found):
        console.print(line, soft_wrap=True)


def _lines(found: Comparison) -> Iterator[Text]:
    """As texts, never as markup: ids and values may hold anything."""
    for name, target, side, requests in (
        ("OLD", found.old_target, found.old, found.old_requests),
        ("NEW", found.new_target, found.new, found.new_requests),
    ):
        told = (
            f"{counted(side.resources, 'resource')} ({side.repeated_resources:,} repeated), "
            f"{side.lineage:,} lineage ({side.repeated_lineage:,} repeated), {counted(requests, 'request')}"
        )
        yield Text.assemble((f"{name} ", "dim"), f"{target}: {told}")
    if found.none:
        yield Text("no difference", style="bold green")
        return
    yield from _alone("only OLD declares", "-", "red", found.only_old, found.only_old_examples)
    yield from _alone("only NEW declares", "+", "yellow", found.only_new, found.only_new_examples)
    if found.changed:
        fields = ", ".join(f"{field} {count:,}" for field, count in found.changed_fields.items())
        yield Text(f"other values: {counted(found.changed, 'resource')} ({fields})", style="bold yellow")
        for one in found.changed_examples:
            yield from _changed(one)
        yield from _rest(found.changed, len(found.changed_examples))
    lineage = found.lineage
    for count, told, sign, edges in (
        (lineage.removed or 0, "only OLD declares", "-", lineage.removed_examples),
        (lineage.added or 0, "only NEW declares", "+", lineage.added_examples),
    ):
        if count:
            yield Text(f"{told} {count:,} lineage", style="bold red" if sign == "-" else "bold yellow")
            yield from (Text(f"  {sign} {edge}") for edge in edges)
            yield from _rest(count, len(edges))


def _alone(told: str, sign: str, style: str, count: int, examples: Sequence[Resource]) -> Iterator[Text]:
    if count:
        yield Text(f"{told} {counted(count, 'resource')}", style=f"bold {style}")
        yield from (Text(f"  {sign} {one.type} {one.id}") for one in examples)
        yield from _rest(count, len(examples))


def _changed(one: Changed) -> Iterator[Text]:
    yield Text(f"  {one.type} {one.id}")
    for values in one.fields:
        yield Text(f"    {values.field}: {_value(values.old)} → {_value(values.new)}", style="dim")
    if not one.fields:
        yield Text("    declared several times, with other values", style="dim")


def _value(text: str | None) -> str:
    return "null" if text is None else f"“{text}”"


def _rest(count: int, shown: int) -> Iterator[Text]:
    if count > shown:
        yield Text(f"  … and {count - shown:,} more", style="dim")
