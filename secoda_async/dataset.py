"""One sync's records as two JSONL files, whoever wrote them: a run's spool, `JSONLSink`, or another program."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from secoda_async.errors import ConfigurationError
from secoda_async.spool import Kind


class Dataset(NamedTuple):
    """Where the records of one sync are. Each file holds one JSON object a line; an empty one holds no record."""

    resources: Path
    lineage: Path

    def file(self, kind: Kind) -> Path:
        """The file of a kind."""
        return self.resources if kind is Kind.RESOURCES else self.lineage


def open_dataset(directory: Path) -> Dataset:
    """The dataset in a folder. Raises ConfigurationError where the folder holds none."""
    found = Dataset(*(directory / kind.filename for kind in Kind))
    for path in found:
        if not path.is_file():
            raise ConfigurationError(f"{directory} holds no {path.name}; give a folder with both JSONL files")
    return found
