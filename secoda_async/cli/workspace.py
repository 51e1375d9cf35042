"""The options that say which workspace is uploaded to, and how, for every command that uploads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from secoda_async.cli.credentials import API_KEY_VARIABLE, read_api_key
from secoda_async.sinks.address import REGIONS
from secoda_async.sinks.secoda import SecodaSink

BaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="REGION|URL", help=f"The workspace's API: {', '.join(REGIONS)}, or its URL. Default: us."),
]
ApiKeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help=f"The API key's file, or - for standard input. Default: the variable {API_KEY_VARIABLE}."
    ),
]
InsecureHttp: TypeAlias = Annotated[
    bool, typer.Option("--insecure-http", help="Send the API key over plain http to another machine.")
]
StalingIsOff: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--staling-is-off",
        help="Disable Automatic Staling is on in the workspace, so that an upload removes nothing.",
    ),
]
Batched: TypeAlias = Annotated[
    bool, typer.Option("--batched", help="Upload in many requests. Only with --staling-is-off.")
]


def workspace_sink(
    *,
    integration_id: str,
    base_url: str | None = None,
    api_key_file: Path | None = None,
    insecure_http: bool = False,
    staling_is_off: bool = False,
    batched: bool = False,
    network: Mapping[str, Any],
) -> SecodaSink:
    """The sink that the options mean; ``network`` holds ``proxy``, ``trust_env`` and ``verify`` where they are given.

    Raises ConfigurationError where they cannot be used.
    """
    return SecodaSink(
        api_key=read_api_key(api_key_file),
        integration_id=integration_id,
        base_url="us" if base_url is None else base_url,
        insecure=insecure_http,
        staling_is_off=staling_is_off,
        batched=batched,
        **network,
    )


def workspace_name(sink: SecodaSink) -> str:
    """What a sink delivers, and where, for a person."""
    syncs = "requests that remove nothing" if sink.is_batched else "one sync"
    return f"{syncs} to integration {sink.target().name} at {sink.base_url}"
