"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from secoda_async.errors import ConfigurationError

TargetClass: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODULE_OR_FILE:CLASS", help="The integration, such as examples/cluvio.py:Cluvio.")
]
CredentialPair: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--credential",
        metavar="NAME=VALUE",
        help="One credential. Others may see a command's arguments: not for secrets.",
    ),
]
CredentialEnv: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VARIABLE", help="One credential, from the environment variable."),
]
CredentialsFile: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Credentials from a file: one JSON object. - is standard input.")
]
StateDir: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where runs keep their files. Default: .secoda-async.")
]
Proxy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A proxy for every request, http://host:port. One with a password: see --trust-env.",
    ),
]
TrustEnv: TypeAlias = Annotated[
    bool,
    typer.Option("--trust-env", help="Use the proxies of the environment: https_proxy, no_proxy and the like."),
]
CaFile: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Check every server's certificate against this CA file.")
]
Assignments: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as timeout=30; --show-settings lists them."),
]
Strict: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse an upload for what is else a warning of a rule (exit status 3), and end with 5 on other findings.",
    ),
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]
Debug: TypeAlias = Annotated[bool, typer.Option("--debug", help="Show tracebacks, and with run log every retry.")]


def given(**values: object) -> dict[str, Any]:
    """Those that were given: what is None was not, and a setting has a default of its own."""
    return {name: value for name, value in values.items() if value is not None}


def network_settings(proxy: str | None, trust_env: bool, ca_file: Path | None) -> dict[str, Any]:
    """What is the same for the source and for the workspace. Raises ConfigurationError where a file is not there."""
    if ca_file is not None and not ca_file.exists():
        raise ConfigurationError(f"--ca-file: there is no file {ca_file}; give one of certificates in PEM form")
    return given(proxy=proxy, trust_env=trust_env or None, verify=None if ca_file is None else str(ca_file))
