"""Lets ``import secodadk`` work where it is not installed: its modules, made of this package's names."""

from __future__ import annotations

import importlib
import logging
import sys
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType
from typing import Any, Final

import pydantic
import typing_extensions
from typing_extensions import override

from secoda_async import models
from secoda_async.compat import strategies
from secoda_async.compat.integration import SecodaIntegration

ROOT: Final = "secodadk"
CORE: Final = f"{ROOT}.core"


def _of(owner: object, *names: str) -> dict[str, Any]:
    return {name: getattr(owner, name) for name in names}


# `from .ingestion_models import *` gives `secodadk` what that module itself imports, too.
_MODELS: Final[dict[str, Any]] = {
    **_of(typing, "Optional", "Literal", "Union", "List"),
    **_of(pydantic, "Field"),
    **_of(typing_extensions, "Annotated"),
    **_of(
        models,
        "Resource",
        "InternalResource",
        "ExternalTable",
        "ExternalColumn",
        "TablesFromSQLQuery",
        "LineageID",
        "DeclaredLineage",
    ),
    "datetime": datetime,
    "pydantic": pydantic,
}
_SEAMS: Final = _of(strategies, "IngestResourcesStrategy", "NetworkCallStrategy")
_DEFAULTS: Final = _of(strategies, "DefaultIngestResourcesStrategy", "DefaultNetworkCallStrategy")
_CUSTOM: Final = _of(strategies, "JSONLIngestResourcesStrategy", "EgressServerNetworkCallStrategy")
_DECLARED: Final = _of(models, "Resource", "DeclaredLineage")
_CORE: Final = {"SecodaIntegration": SecodaIntegration}

MODULES: Final = MappingProxyType(
    {
        ROOT: {**_CORE, **_MODELS},
        CORE: {**_CORE, **_SEAMS, **_DEFAULTS, **_DECLARED},
        f"{ROOT}.ingestion_models": _MODELS,
        f"{ROOT}.strats": {},
        f"{ROOT}.strats.core": {**_SEAMS, **_DECLARED},
        f"{ROOT}.strats.default": {**_DEFAULTS, **_SEAMS, **_DECLARED},
        f"{ROOT}.strats.custom": {**_CUSTOM, **_SEAMS, **_DECLARED},
    }
)
"""Name of each module to the names it has."""
_PACKAGES: Final = frozenset({ROOT, f"{ROOT}.strats"})


@contextmanager
def standing_in() -> Iterator[None]:
    """While inside, ``import secodadk`` finds the real one where it is installed, and else this package's.

    ``start()`` of either does nothing meanwhile but say so: a file may call it without looking at ``__name__``.
    Once imported, it stays for the process: functions of the file may import more of it when they are called.
    """
    finder, holder = _Finder(), _Holder()
    sys.meta_path[:] = [holder, *sys.meta_path, finder]  # ours behind all others, so that the real one comes first
    if (known := base_class()) is not None:
        holder.hold(known)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.meta_path.remove(holder)
        holder.let_go()


def base_class() -> type | None:
    """The base class of secodadk, the real or ours, where something has imported it."""
    core = sys.modules.get(CORE)
    found = getattr(core, "SecodaIntegration", None)
    return found if isinstance(found, type) else None


class _Holder(MetaPathFinder):
    """Keeps the base class of secodadk from starting anything, from the moment it is imported."""

    def __init__(self) -> None:
        self._held: list[tuple[Any, Any]] = []

    def hold(self, base: Any) -> None:
        self._held.append((base, base.start))
        base.start = _leave_out

    def let_go(self) -> None:
        for base, start in reversed(self._held):
            base.start = start

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != CORE:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _HoldingLoader(spec.loader, self)
        return spec


class _HoldingLoader(Loader):
    """The loader of the module with the base class."""

    def __init__(self, inner: Loader, holder: _Holder) -> None:
        self._inner = inner
        self._holder = holder

    @override
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    @override
    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        self._holder.hold(module.SecodaIntegration)


def _leave_out(integration: object) -> None:
    logging.getLogger("secoda_async").warning(
        '%s.start() is left out while its file is loaded; `if __name__ == "__main__":` above it says so in the file',
        type(integration).__name__,
    )


class _Finder(MetaPathFinder):
    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in MODULES or (fullname != ROOT and not _is_ours(sys.modules.get(ROOT))):
            return None
        return ModuleSpec(fullname, _Loader(), origin="secoda_async", is_package=fullname in _PACKAGES)


def _is_ours(module: ModuleType | None) -> bool:
    """Whether it is no real one, which other modules of ours must not be mixed with."""
    return module is not None and isinstance(getattr(module.__spec__, "loader", None), _Loader)


class _Loader(Loader):
    @override
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    @override
    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(MODULES[module.__name__])
        if module.__name__ == ROOT:  # all at once: nobody finds them later
            for name in MODULES:
                importlib.import_module(name)
