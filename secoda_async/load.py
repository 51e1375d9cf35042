"""Finds the integration class that a command names, one of ``secodadk`` too."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from secoda_async.compat.bridge import bridged
from secoda_async.compat.stand_in import base_class, standing_in
from secoda_async.errors import ConfigurationError
from secoda_async.integration import SecodaIntegration
from secoda_async.settings import Input


def load_integration(target: str) -> type[SecodaIntegration]:
    """The class that ``MODULE:CLASS`` or ``FILE.py:CLASS`` names.

    The file's folder (for a module: the working directory) is put on ``sys.path``, as ``python FILE.py`` does.
    A synchronous class of ``secodadk`` is given as one that runs it, whether or not that package is installed.
    Raises ConfigurationError where there is no such class; what the file itself raises passes through.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise ConfigurationError(f"{target!r} names no class; write MODULE:CLASS or FILE.py:CLASS")
    try:
        with standing_in():
            module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    except ModuleNotFoundError as exc:
        if exc.name == "httpx":
            exc.add_note("secodadk brings httpx along, and this package does not: pip install httpx")
        raise
    found = getattr(module, name, None)
    if not _is_integration(found):
        raise ConfigurationError(_why_not(place, name, found, module))
    is_legacy = not issubclass(found, SecodaIntegration)
    written = "def extract(self)" if is_legacy else "async def extract(self)"
    if inspect.isabstract(found):
        raise ConfigurationError(f"{name} in {place} has no extract(); write `{written}` in it")
    _check_constructor(found)
    if not is_legacy:
        _check_inputs(found)
        return found
    if inspect.isgeneratorfunction(found.extract):
        raise ConfigurationError(
            f"extract() of {name} in {place} has a `yield`, so nothing of it would run; leave it out"
        )
    if inspect.iscoroutinefunction(found.extract):
        raise ConfigurationError(
            f"{name} in {place} is a class of secodadk with an asynchronous extract(): derive it from "
            "secoda_async.SecodaIntegration"
        )
    return bridged(found)


def _check_constructor(found: type[Any]) -> None:
    try:
        inspect.signature(found).bind(credentials={})
    except TypeError as exc:
        name = found.__name__
        raise ConfigurationError(
            f"{name} cannot be made from credentials alone ({exc}): it is called as {name}(credentials=…), so let it "
            "take that, and give each other parameter a default"
        ) from None


def with_recording(found: type[SecodaIntegration], **arguments: Any) -> SecodaIntegration:
    """One that is given settings and a transport besides its credentials.

    Raises ConfigurationError where its constructor takes none.
    """
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as exc:
        raise ConfigurationError(
            f"{found.__name__} cannot be given a recording ({exc}): let its constructor take **settings, and hand them "
            "to super().__init__(credentials=credentials, **settings)"
        ) from None
    return found(**arguments)


def _check_inputs(found: type[SecodaIntegration]) -> None:
    given: object = found.inputs
    if given is not None and not (isinstance(given, Mapping) and all(isinstance(v, Input) for v in given.values())):
        raise ConfigurationError(
            f'inputs of {found.__name__} must be a dictionary of Input by name, such as {{"token": Input()}}'
        )


def _is_integration(found: object) -> TypeGuard[type[Any]]:
    legacy = base_class()
    bases = (SecodaIntegration,) if legacy is None else (SecodaIntegration, legacy)
    return inspect.isclass(found) and issubclass(found, bases)


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}; give the path of the integration's file")
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} cannot be imported as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and pickle look a class's module up
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(f"there is no module {name!r}; for a file write its path with .py")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not (name == exc.name or name.startswith(f"{exc.name}.")):
            raise  # the module is there, and imports one that is not
        raise ConfigurationError(f"there is no module {name!r}; for a file write its path with .py") from None


def _why_not(place: str, name: str, found: object, module: ModuleType) -> str:
    if found is not None:
        return f"{name} in {place} is no subclass of SecodaIntegration, of secoda_async or of secodadk"
    there = sorted(
        other for other, value in vars(module).items() if _is_integration(value) and not inspect.isabstract(value)
    )
    return f"{place} has no class {name}; " + (
        f"it has {', '.join(there)}" if there else "it has no integration at all"
    )
