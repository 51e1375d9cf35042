"""Standard input, output and error of a command, whatever it was started with."""

from __future__ import annotations

import io
import os
import sys
from typing import Final

import typer

_STREAMS: Final = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
"""What takes the place of a closed one. Output must fail, or a result that nobody gets would count as delivered."""


def make_ready() -> None:
    """Put something in the place of streams that are closed, and spell out what the locale cannot say."""
    for descriptor, (name, mode, flags) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            # Else the next file that is opened would get its number, and what is printed.
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def let_go_of_stdout() -> None:
    """Without this the interpreter would complain of a closed pipe at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_document(text: str, *, nl: bool = True) -> None:
    """Print what a program reads: UTF-8, whatever the locale is."""
    typer.echo(text.encode(), nl=nl)
