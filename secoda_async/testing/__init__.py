"""What tests and demonstrations of an integration need: a workspace of their own, and a network that goes wrong."""

from secoda_async.simulated import Faults, Latency
from secoda_async.testing.catalog import Sync
from secoda_async.testing.workspace import FakeWorkspace

__all__ = ["FakeWorkspace", "Faults", "Latency", "Sync"]
