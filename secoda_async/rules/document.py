"""The documentation of the rules, made of their table."""

from __future__ import annotations

from secoda_async.rules.table import PARENTS, RULES, Rule
from secoda_async.rules.verdict import Severity

_HEAD = """\
# Rules

Every upload, and `secoda-async validate DIR`, judges the records of one sync by these rules. `python -m
secoda_async.rules` prints this page.
An *error* stops a delivery. A *warning* is said, and under `--strict` it is an error too, where the table does not say
otherwise. Judged is what an upload would hold: repeats of a record count once, and of records that share an id and
differ only what `on_conflict` keeps.

Where Secoda's documents contradict themselves (a dashboard without a group, or a table without a parent, stand in
published examples), the rule is a warning.

| rule | severity | broken where | to do | source |
|---|---|---|---|---|
"""


def document() -> str:
    """The page ``docs/rules.md``."""
    rows = "".join(f"{_row(rule)}\n" for rule in RULES)
    parents = "".join(
        f"| `{kind}` | {' or '.join(f'`{parent}`' for parent in allowed) or 'the integration'} |\n"
        for kind, allowed in PARENTS.items()
    )
    return f"{_HEAD}{rows}\n| type | stands under |\n|---|---|\n{parents}"


def _row(rule: Rule) -> str:
    severity = str(rule.severity)
    if rule.severity is Severity.WARNING and rule.strict is Severity.WARNING:
        severity += ", also under `--strict`"
    return f"| `{rule.id}` | {severity} | {rule.says} | {rule.to_do} | {rule.source} |"
