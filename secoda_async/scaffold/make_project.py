"""Writes the files of a new integration, and records a run of it."""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import mkdtemp
from typing import Final, NamedTuple

from secoda_async.errors import ConfigurationError, OutputError
from secoda_async.load import load_integration
from secoda_async.testing.extract import run_extract_sync

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,60}")
_TAKEN: Final = frozenset({"fake_api", "test", "secoda_async", "secodadk", "pytest", "conftest"})


class Names(NamedTuple):
    """What a new integration is called, where."""

    title: str
    module: str
    class_name: str
    variable: str

    @classmethod
    def of(cls, name: str) -> Names:
        """Of what a user calls it. Raises ConfigurationError where that cannot be a module."""
        module = name.replace("-", "_").lower()
        shadows = module in _TAKEN or module in sys.stdlib_module_names or keyword.iskeyword(module)
        # A file beside the integration comes before what is installed, for pytest and this package, too.
        shadows = shadows or (_NAME.fullmatch(name) is not None and importlib.util.find_spec(module) is not None)
        if _NAME.fullmatch(name) is None or shadows:
            why = "another module has it" if shadows else "write letters, digits, - and _, a letter first"
            raise ConfigurationError(f"an integration cannot be called {name!r}: {why}; choose another name")
        words = [word for word in re.split(r"[-_]", name) if word]
        class_name = "".join(word[:1].upper() + word[1:] for word in words)
        return cls(" ".join(words), module, class_name, module.upper())


def make_project(folder: Path, names: Names) -> list[Path]:
    """Write the folder, which must not exist, whole or not at all. The files, in the order in which to read them.

    Raises ConfigurationError where it exists, and OutputError where it cannot be written.
    """
    if folder.exists():
        raise ConfigurationError(f"{folder} exists; choose another name, or another folder with --directory")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as exc:
        raise OutputError(f"{folder} cannot be made: {exc.strerror or exc}") from exc
    try:
        written = _write(work, names)
        work.chmod(0o755)
        work.rename(folder)
    except OSError as exc:
        raise OutputError(f"{folder} cannot be written: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [folder / name for name in written]


def _write(folder: Path, names: Names) -> list[str]:
    templates = files("secoda_async.scaffold") / "templates"
    written = {
        f"{names.module}.py": "integration.py.txt",
        "fake_api.py": "fake_api.py.txt",
        f"test_{names.module}.py": "test.py.txt",
        "pyproject.toml": "pyproject.toml.txt",
        ".gitignore": "gitignore.txt",
    }
    for name, template in written.items():
        text = Template((templates / template).read_text("utf-8")).substitute(names._asdict())
        (folder / name).write_text(text, encoding="utf-8")
    recording = f"{names.module}.journal"
    _record(folder, names, folder / recording)
    return [*written, recording]


def _record(folder: Path, names: Names, recording: Path) -> None:
    """Run it against its own fake API, so that the recording is one of a real run."""
    with _imported_from(folder, names.module, "fake_api"):
        integration = load_integration(f"{folder / names.module}.py:{names.class_name}")
        source = importlib.import_module("fake_api").fake_api()
        run_extract_sync(integration(credentials={"token": "any"}, transport=source, record=recording))


@contextmanager
def _imported_from(folder: Path, *modules: str) -> Iterator[None]:
    """Leave no trace of what was imported, in this process or in the folder."""
    path, writes = sys.path.copy(), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, writes
        for name in modules:
            sys.modules.pop(name, None)
