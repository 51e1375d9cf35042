"""Synchronous integrations as files on disk, loaded beside the real secodadk or without it."""

import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from secoda_async import SecodaIntegration
from secoda_async.load import load_integration
from tests.peer import PYTHON, peer_python

HEAD = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from secodadk import DeclaredLineage, ExternalTable, InternalResource, Resource, SecodaIntegration, TablesFromSQLQuery

def table(name, **fields):
    return Resource(entity_type="table", databuilder_id=str(name), title=str(name), **fields)

class Legacy(SecodaIntegration):
    def extract(self):
        url = self.credentials.get("base_url")
"""


def real_package() -> Path:
    """The installed secodadk, without what its environment holds besides."""
    peer_python()
    [found] = (PYTHON.parents[1] / "lib").glob("python3*/site-packages/secodadk")
    return found


def written(folder: Path, body: str, name: str = "legacy.py") -> Path:
    """A file whose ``extract`` has this body; ``url`` is the credential ``base_url``."""
    path = folder / name
    path.write_text(HEAD + textwrap.indent(textwrap.dedent(body), " " * 8))
    return path


async def load(path: Path, name: str = "Legacy") -> type[SecodaIntegration]:
    """A class of a file as a command loads it, which is before any event loop runs."""
    return await anyio.to_thread.run_sync(load_integration, f"{path}:{name}")


async def loaded(folder: Path, body: str) -> type[SecodaIntegration]:
    """The class of `written`."""
    return await load(written(folder, body))


@contextmanager
def imports_of_its_own() -> Iterator[None]:
    """What is imported inside is forgotten afterwards."""
    modules, path = {**sys.modules}, [*sys.path]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in sys.modules.keys() - modules.keys():
            if name.partition(".")[0] in {"secodadk", "legacy", "helper"}:
                del sys.modules[name]
