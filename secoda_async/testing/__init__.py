"""What tests and demonstrations of an integration need: a workspace of their own."""

from secoda_async.testing.catalog import Sync
from secoda_async.testing.workspace import FakeWorkspace

__all__ = ["FakeWorkspace", "Sync"]
