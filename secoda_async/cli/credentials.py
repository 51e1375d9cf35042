"""Reads credentials from where a command says they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from secoda_async.errors import ConfigurationError
from secoda_async.settings import Input

API_KEY_VARIABLE: Final = "SECODA_API_KEY"


def read_credentials(
    pairs: Iterable[str], variables: Iterable[str], file: Path | None, inputs: Mapping[str, Input] | None
) -> dict[str, Any]:
    """The file's credentials, then the environment's, then the command's: the later wins.

    Raises ConfigurationError, which never shows a value, where one cannot be read or is none of ``inputs``.
    """
    given: dict[str, Any] = {} if file is None else _read_file(file)
    for text in variables:
        name, variable = _split(text, "--credential-env", "NAME=VARIABLE")
        if variable not in os.environ:
            raise ConfigurationError(
                f"--credential-env {name}: the environment has no variable {variable}; set it, or name another"
            )
        given[name] = os.environ[variable]
    given.update(_split(text, "--credential", "NAME=VALUE") for text in pairs)
    unknown = sorted(given.keys() - inputs.keys()) if inputs is not None else []
    if inputs is not None and unknown:
        raise ConfigurationError(
            f"no such credential: {', '.join(unknown)}; this integration takes {', '.join(inputs)}"
        )
    return given


def read_api_key(file: Path | None) -> str:
    """The workspace's API key, from the file or from ``SECODA_API_KEY``; empty where neither is given."""
    if file is None:
        return os.environ.get(API_KEY_VARIABLE, "")
    return _read(file, "--api-key-file").decode("utf-8", "replace").strip()


def _split(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        # The text may be a secret whose name was forgotten, so it is not repeated.
        raise ConfigurationError(f"{option} must be {form}, the name and its value with = between them")
    return name, value


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(_read(file, "--credentials-file"))
    except orjson.JSONDecodeError as exc:
        raise ConfigurationError(
            f"--credentials-file {file} is not JSON (line {exc.lineno}, column {exc.colno}); it must hold one object: "
            '{"name": "value"}'
        ) from None
    if not isinstance(content, dict):
        raise ConfigurationError(f'--credentials-file {file} must hold one JSON object: {{"name": "value"}}')
    return content


def _read(file: Path, option: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"{option} {file} cannot be read: {exc.strerror or exc}") from exc
