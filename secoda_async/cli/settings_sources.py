"""Settings from outside the code: a command's options, the environment, and ``pyproject.toml``, in this order."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple, get_type_hints

import orjson
from pydantic import TypeAdapter, ValidationError

from secoda_async.errors import ConfigurationError
from secoda_async.integration import SecodaIntegration
from secoda_async.settings import RateLimit, RetryPolicy, Settings, StaleLimits, Timeout, as_limits

PREFIX: Final = "SECODA_ASYNC_"
"""``SECODA_ASYNC_CONCURRENCY=20`` is the setting ``concurrency``."""
TABLE: Final = "secoda-async"
"""The table ``[tool.secoda-async]`` of ``pyproject.toml``."""
_OTHERS: Final = frozenset({f"{PREFIX}STATE", f"{PREFIX}UPDATE_GOLDEN"})
"""Variables of their own: where state is kept, which `start()` reads too, and one of the tests."""
ONE_RUN: Final = frozenset(
    {"allow_losses", "allow_stale", "allow_empty", "first_sync", "resume", "record", "replay", "sample"}
)
"""A file that is kept must not hold what permits one run to remove data, or what is about one run."""
_NAMES: Final = tuple(f.name for f in fields(Settings))
_HINTS: Final = get_type_hints(Settings)
_FLAGS: Final = {"stale_limits": "--stale-limit", "verify": "--ca-file"}
_TEXTS: Final = frozenset({"base_url", "proxy", "resume", "state_dir", "record", "replay", "against", "on_conflict"})
_LISTS: Final = frozenset({"allowed_hosts", "endpoints", "allow_stale"})
_PATHS: Final = frozenset({"state_dir", "record", "replay"})


class Found(NamedTuple):
    """A setting, and where it was found."""

    value: Any
    origin: str


def find_settings(
    options: Mapping[str, Any],
    assignments: Iterable[str] = (),
    *,
    environment: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> dict[str, Found]:
    """What is set outside the code, by name: ``options`` win over the environment, that over ``pyproject.toml``.

    ``options`` are values by setting, ``assignments`` the texts of ``--set NAME=VALUE``. ``pyproject.toml`` is the
    nearest one of ``directory`` (default: the working directory) and the folders above.
    Raises ConfigurationError, which says where it stands, for a name that is none and for a value of another shape.
    """
    found = _from_pyproject(directory or Path.cwd())
    found |= _from_environment(environment)
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--set must be NAME=VALUE, such as timeout=30, not {text!r}")
        name = _known(name.strip(), "--set")
        found[name] = Found(*_from_text(name, value, f"--set {name}"))
    for name, value in options.items():
        found[name] = Found(value, _FLAGS.get(name, f"--{name.replace('_', '-')}"))
    return found


def settings_of(found: Mapping[str, Found]) -> Settings:
    """The settings of a command that has no integration. Raises as `apply_settings`."""
    with _told_where(found):
        return Settings.of({name: one.value for name, one in found.items()})


def apply_settings(integration: SecodaIntegration, found: Mapping[str, Found]) -> None:
    """Give an integration what was found. Raises ConfigurationError, which says where the value comes from."""
    with _told_where(found):
        integration.configure(**{name: one.value for name, one in found.items()})
    integration.setting_origins |= {name: one.origin for name, one in found.items()}


@contextmanager
def _told_where(found: Mapping[str, Found]) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        named = [name for name in found if re.search(rf"\b{name}\b", str(error))]
        if not named:
            raise
        where = ", ".join(f"{name} is from {found[name].origin}" for name in named)
        raise ConfigurationError(f"{error} ({where})") from None


def of_network(found: Mapping[str, Found]) -> dict[str, Any]:
    """What of it is the same for the source and for the workspace."""
    return {name: found[name].value for name in ("proxy", "trust_env", "verify") if name in found}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Found]:
    found = {}
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX) and variable not in _OTHERS:
            name = _known(variable.removeprefix(PREFIX).lower(), f"the environment variable {variable}")
            found[name] = Found(*_from_text(name, text, variable))
    return found


def _from_pyproject(directory: Path) -> dict[str, Found]:
    path = next((p for folder in (directory, *directory.parents) if (p := folder / "pyproject.toml").is_file()), None)
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get(TABLE, {})
    except (OSError, ValueError, AttributeError) as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc}") from None
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.{TABLE} must be a table")
    found = {}
    for key, value in table.items():
        name = _known(key.replace("-", "_"), f"[tool.{TABLE}] of {path}")
        if name in ONE_RUN:
            raise ConfigurationError(
                f"{path}: {name} is for one run, so it does not belong in a file; give it on the command line"
            )
        if name in _PATHS or (name == "verify" and isinstance(value, str)):
            value = str(path.parent / str(value))  # noqa: PLW2901 # as the file's reader means it
        found[name] = Found(_shaped(name, value, str(path)), str(path))
    return found


def _known(name: str, where: str) -> str:
    if name in _NAMES:
        return name
    close = difflib.get_close_matches(name, _NAMES, 1)
    meant = f"did you mean {close[0]}?" if close else f"the settings are {', '.join(sorted(_NAMES))}"
    raise ConfigurationError(f"{where}: there is no setting {name!r}; {meant}")


def _from_text(name: str, text: str, origin: str) -> tuple[Any, str]:
    """A value and its origin, of a text: JSON where the setting is no text itself."""
    text = text.strip()
    if name in _TEXTS:
        return text, origin
    if _HINTS[name] is bool:
        try:
            return TypeAdapter(bool).validate_python(text), origin
        except ValidationError:
            raise ConfigurationError(f"{origin}: {name} must be true or false, not {text!r}") from None
    if text.lower() == "none":
        return None, origin
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = [part.strip() for part in text.split(",") if part.strip()] if name in _LISTS else text
    return _shaped(name, value, origin), origin


def _shaped(name: str, value: Any, origin: str) -> Any:
    """What a setting takes, of what JSON and TOML can say."""
    shape = _SHAPES.get(name)
    if shape is None:
        return value
    try:
        return shape(value)
    except (TypeError, ValueError, AttributeError) as exc:
        raise ConfigurationError(f"{origin}: {name} cannot be {value!r}: {exc}") from None
    except ConfigurationError as exc:
        raise ConfigurationError(f"{origin}: {exc}") from None


def _rate_limits(value: Any) -> dict[str, tuple[RateLimit, ...]]:
    if not isinstance(value, Mapping):
        raise TypeError('write {"api.x.com": "100/60"}: requests and seconds by host')
    limits = {}
    for key, given in value.items():
        listed = given if isinstance(given, list) else [given]
        limits[str(key)] = as_limits(str(key), [_rate_limit(one) for one in listed])
    return limits


def _rate_limit(value: Any) -> object:
    if isinstance(value, str):
        requests, slash, seconds = value.partition("/")
        return RateLimit(int(requests), per=float(seconds.removesuffix("s")) if slash else 1.0)
    return RateLimit(**value) if isinstance(value, Mapping) else value


def _timeout(value: Any) -> Timeout:
    return Timeout(**value) if isinstance(value, Mapping) else Timeout.of(value)


def _retry(value: Any) -> RetryPolicy | None:
    if value is None or value is False:
        return None
    return RetryPolicy(**value) if isinstance(value, Mapping) else RetryPolicy(attempts=value)


def _stale_limits(value: Any) -> StaleLimits:
    return StaleLimits(**value) if isinstance(value, Mapping) else StaleLimits(share=value)


def _cert(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_SHAPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "rate_limits": _rate_limits,
    "timeout": _timeout,
    "retry": _retry,
    "stale_limits": _stale_limits,
    "cert": _cert,
}
