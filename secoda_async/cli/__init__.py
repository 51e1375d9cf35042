"""The command ``secoda-async``."""

from secoda_async.cli.app import main

__all__ = ["main"]
