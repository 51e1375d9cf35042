"""Writes docs/settings.md from the settings themselves: ``python -m tests.settings_page``."""

import ast
import dataclasses
import inspect
from pathlib import Path
from typing import Any

from secoda_async import settings
from secoda_async.cli import settings_sources
from tests.markdown import ROOT

PAGE = ROOT / "docs" / "settings.md"
INTRODUCTION = """# Every setting

Each is a keyword of the integration's constructor and a class attribute, and can be set from outside the code:

| from | how | wins over |
|---|---|---|
| a command's option | `--concurrency 20`, or `--set NAME=VALUE` for any of them | all below |
| the environment | `SECODA_ASYNC_CONCURRENCY=20` | all below |
| the nearest `pyproject.toml` | `[tool.secoda-async]`, `concurrency = 20` | all below |
| the constructor | `Jobs(credentials=…, concurrency=20)`, or `integration.configure(concurrency=20)` | all below |
| the class | `concurrency = 20` | the default |

`secoda-async run MODULE_OR_FILE:CLASS --show-settings` tells each value and where it is from. As text a setting is what
JSON has (`true`, `none`, `20`, `{"read": 5}`); lists may be `a, b`, a rate limit `100/60` (requests in so many
seconds), and a number stands for a whole `timeout`, for the `attempts` of `retry`, and for the `share` of
`stale_limits`. What permits one run to remove data, or is about one run (ONE_RUN), does not belong in a file and is
refused there.

```toml
[tool.secoda-async]
concurrency = 20
timeout = { total = 60 }
rate_limits = { "api.example.com" = "100/60", "POST api.example.com/search/*" = { requests = 1, burst = 1 } }
allowed_hosts = ["api.example.com"]
```

"""


def page() -> str:
    """The whole page."""
    one_run = ", ".join(f"`{name}`" for name in sorted(settings_sources.ONE_RUN))
    parts = [INTRODUCTION.replace("ONE_RUN", one_run), "## Settings\n\n", table(settings.Settings)]
    for made in (settings.RateLimit, settings.RetryPolicy, settings.Timeout, settings.StaleLimits, settings.Input):
        parts += [f"\n## {made.__name__}\n\n{first_sentence(made)}\n\n", table(made)]
    parts.append(
        "\n## Variables of the environment\n\n| variable | what |\n|---|---|\n"
        "| `SECODA_API_KEY` | the workspace's API key, where `--api-key-file` names no file |\n"
        "| `SECODA_ASYNC_STATE` | where runs keep their files, where `state_dir` says nothing |\n"
        "| `SECODA_ASYNC_<NAME>` | a setting |\n"
        "| `CI` | where it is set, a run prints no lines of progress |\n"
    )
    return "".join(parts)


def table(made: type[Any]) -> str:
    """A row for each field."""
    told = documented(made)
    rows = [f"| `{f.name}` | `{default(f)}` | {told.get(f.name, '')} |" for f in dataclasses.fields(made)]
    return "\n".join(["| name | default | what it is |", "|---|---|---|", *rows, ""])


def default(field: dataclasses.Field[Any]) -> str:
    """The default of a field as one writes it."""
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    if field.default is dataclasses.MISSING:
        return "required"
    value = field.default
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}()"
    return f"{value:_}" if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000 else repr(value)


def documented(made: type[Any]) -> dict[str, str]:
    """The text below each field."""
    [tree] = ast.parse(inspect.getsource(made)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            found[field.target.id] = inline(str(text.value.value))
    return found


def first_sentence(made: type[Any]) -> str:
    return inline(inspect.getdoc(made).partition("\n\n")[0])  # type: ignore[union-attr]


def inline(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    Path(PAGE).write_text(page())
