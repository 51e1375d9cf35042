"""The options that say what an upload may remove, for every command that uploads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias

import typer

from secoda_async.cli.options import given
from secoda_async.errors import ConfigurationError
from secoda_async.settings import StaleLimits

AllowStale: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="TYPE", help="Entity type of which this upload may remove any share; '*' is each type."),
]
AllowEmpty: TypeAlias = Annotated[
    bool, typer.Option("--allow-empty", help="Upload although there is nothing to upload, which removes everything.")
]
StaleLimit: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TYPE=]SHARE",
        help="Largest share, from 0 to 1, of the resources of a type that an upload may remove. Default: 0.2.",
    ),
]
FirstSync: TypeAlias = Annotated[
    bool,
    typer.Option("--first-sync", help="Upload although what the workspace holds is not known: it is the first sync."),
]
Against: TypeAlias = Annotated[
    Literal["last", "workspace"] | None,
    typer.Option(
        help="What an upload is compared with: the last accepted sync (where none is kept: the workspace), "
        "or the workspace. Default: last."
    ),
]


def guard_settings(
    *,
    allow_stale: list[str] | None,
    allow_empty: bool,
    stale_limit: list[str] | None,
    first_sync: bool,
    against: Literal["last", "workspace"] | None,
) -> dict[str, Any]:
    """The settings that were given. Raises ConfigurationError where a limit is none."""
    return given(
        allow_stale=allow_stale or None,
        allow_empty=allow_empty or None,
        stale_limits=_limits(stale_limit) if stale_limit else None,
        first_sync=first_sync or None,
        against=against,
    )


def _limits(texts: Iterable[str]) -> StaleLimits:
    shares: dict[str, float] = {}
    for text in texts:
        name, _, share = text.rpartition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise ConfigurationError(
                f"--stale-limit must be SHARE or TYPE=SHARE, such as 0.1 or column=0.5, not {text!r}"
            ) from None
    return StaleLimits(share=shares.pop("", StaleLimits().share), by_type=shares)
