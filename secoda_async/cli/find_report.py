"""Finds the report of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer
from pydantic import ValidationError

from secoda_async.errors import ConfigurationError
from secoda_async.report import RunReport
from secoda_async.runner import REPORT
from secoda_async.spool import MANIFEST, resolve_state_dir

LAST: Final = "last"
RunName: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its folder, a file of --report, or `last`: the newest run.")
]


def find_report(name: str, state_dir: Path | None) -> RunReport:
    """The report of a run. Raises ConfigurationError where there is none."""
    return read_report(find_path(name, state_dir))


def read_report(path: Path) -> RunReport:
    """The report in a file. Raises ConfigurationError where it holds none."""
    try:
        return RunReport.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no report {path}: a run keeps it in the state folder when it ends, and not with its output. Say "
            "`last` for the newest run, or give a run's id"
        ) from None
    except OSError as exc:
        raise ConfigurationError(f"the report {path} cannot be read: {exc.strerror or exc}") from None
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        why = f"{field}: {first['msg']}" if field else first["msg"]
        raise ConfigurationError(f"{path} is no report of a run that this version reads ({why})") from None


def find_folder(path: Path, run: str, state_dir: Path | None) -> Path | None:
    """The folder of the run whose report is at ``path``: there, or in the state folder; None where it is gone."""
    for folder in (path.resolve().parent, resolve_state_dir(state_dir) / "runs" / Path(run).name):
        if folder.name == run and (folder / MANIFEST).is_file():
            return folder
    return None


def find_path(name: str, state_dir: Path | None) -> Path:
    """The file of a run's report. Raises ConfigurationError where there is no such run."""
    given = Path(name)
    if name != LAST and given.is_file():
        return given
    if name != LAST and given.is_dir():
        return given / REPORT
    runs = resolve_state_dir(state_dir) / "runs"
    kept = sorted(folder.name for folder in runs.iterdir() if (folder / REPORT).is_file()) if runs.is_dir() else []
    if name == LAST and kept:
        return runs / kept[-1] / REPORT
    if name in kept:
        return runs / name / REPORT
    there = f"it holds {', '.join(kept)}" if kept else "it holds no run that has ended"
    wanted = "run" if name == LAST else f"run {name!r}"
    raise ConfigurationError(f"there is no {wanted} in {runs}; {there}. Run an integration first, or give --state-dir")
