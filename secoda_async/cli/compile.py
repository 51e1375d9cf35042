"""``secoda-async compile``: an integration as one file for plain secodadk."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from tokenize import detect_encoding
from typing import Annotated

import typer
from rich.text import Text

from secoda_async.cli.failure import exit_status, show_error
from secoda_async.cli.options import TargetClass
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal
from secoda_async.compile.compile_source import compile_source
from secoda_async.errors import ConfigurationError, OutputError
from secoda_async.redact import Redactor
from secoda_async.spool import replace_file


def compile_command(
    target: TargetClass,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it. Default: standard output.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Make one self-contained file that runs under plain secodadk, as Secoda's Marketplace takes.

    http_*, for_each, map, gather, paginate, and basic, bearer and key credentials are carried over; what cannot be is
    refused with its line. The file asks one request after another.
    """
    console = Terminal(stderr=True)
    try:
        path, name = _source_of(target)
        made = compile_source(_read(path), name, name=str(path))
        if out is not None:
            if out.exists() and out.samefile(path):
                raise ConfigurationError(f"-o {out} is the integration itself; choose another file")
            _write(out, made.text)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, console, Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None
    for note in made.notes:
        console.print(Text.assemble(("note: ", "yellow"), f"{path}:{note.line}: {note.message}"), soft_wrap=True)
    if out is None:
        print_document(made.text, nl=False)
    else:
        console.print(Text(f"written: {out}"), soft_wrap=True)


def _source_of(target: str) -> tuple[Path, str]:
    """The file of a target and the class in it; nothing of it is run."""
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise ConfigurationError(f"{target!r} names no class; write MODULE:CLASS or FILE.py:CLASS")
    path = Path(place)
    if not place.endswith(".py"):
        path = Path(*place.split(".")).with_suffix(".py")
        if not path.is_file():
            raise ConfigurationError(f"there is no file {path} here; give the path of the integration's file")
    if not path.is_file():
        raise ConfigurationError(f"there is no file {path}; give the path of the integration's file")
    return path, name


def _read(path: Path) -> str:
    data = path.read_bytes()
    try:
        encoding, _ = detect_encoding(BytesIO(data).readline)
        if encoding in ("utf-8", "utf-8-sig"):
            return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):
        pass
    # A comment that names another encoding would be wrong in the file that is written.
    raise ConfigurationError(f"{path} is no text in UTF-8; save it as that, and name no other encoding in it")


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as exc:
        raise OutputError(f"{path} cannot be written: {exc.strerror or exc}") from exc
