"""Shows every setting of a run, its value, and where that comes from."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from secoda_async.integration import SecodaIntegration
from secoda_async.redact import MASK, Redactor
from secoda_async.settings import Settings
from secoda_async.spool import resolve_state_dir

_DEFAULT: Final = "default"


def show_settings(integration: SecodaIntegration, console: Console) -> None:
    """Print a table of setting, value and origin."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("setting", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name, value, origin in _rows(integration):
        style = "dim" if origin == _DEFAULT else ""
        table.add_row(Text(name), Text(str(value)), Text(origin), style=style)
    console.print(table)


def settings_json(integration: SecodaIntegration) -> str:
    """``{setting: {"value": …, "origin": …}}``, for a program."""
    rows = {name: {"value": value, "origin": origin} for name, value, origin in _rows(integration)}
    return orjson.dumps(rows, default=str, option=orjson.OPT_INDENT_2).decode()


def _rows(integration: SecodaIntegration) -> list[tuple[str, Any, str]]:
    settings = integration.settings
    redact = Redactor.of(integration.credentials, integration.inputs)
    plain = asdict(settings)
    plain["state_dir"] = resolve_state_dir(settings.state_dir)
    if settings.cert is not None:
        plain["cert"] = MASK  # with its password, and nobody needs to see where a key lies
    rows = []
    for name in sorted(f.name for f in fields(Settings)):
        value = plain[name]
        shown = value if isinstance(value, bool | int | float) or value is None else _redacted(value, redact)
        rows.append((name, shown, integration.setting_origins.get(name, _DEFAULT)))
    return rows


def _redacted(value: Any, redact: Redactor) -> Any:
    if isinstance(value, dict):
        return {redact(str(key)): _redacted(one, redact) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(one, redact) for one in value]
    return value if isinstance(value, bool | int | float) or value is None else redact(str(value))
