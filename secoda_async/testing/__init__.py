"""What tests and demonstrations of an integration need: sources and workspaces that are made up, and what judges a run.

How to test an integration is told in docs/testing.md.
"""

from secoda_async.simulated import Faults, Latency
from secoda_async.testing.answer import Answer
from secoda_async.testing.assert_valid import assert_valid
from secoda_async.testing.catalog import Sync
from secoda_async.testing.extract import Records, run_extract, run_extract_sync
from secoda_async.testing.fake_source import FakeSource
from secoda_async.testing.fault_lab import FaultLab
from secoda_async.testing.golden import assert_golden
from secoda_async.testing.lab_report import Experiment, LabReport, Outcome
from secoda_async.testing.listing import Listing
from secoda_async.testing.route import Route
from secoda_async.testing.virtual_time import VirtualTimeLoop, run_virtually
from secoda_async.testing.workspace import FakeWorkspace

__all__ = [
    "Answer",
    "Experiment",
    "FakeSource",
    "FakeWorkspace",
    "FaultLab",
    "Faults",
    "LabReport",
    "Latency",
    "Listing",
    "Outcome",
    "Records",
    "Route",
    "Sync",
    "VirtualTimeLoop",
    "assert_golden",
    "assert_valid",
    "run_extract",
    "run_extract_sync",
    "run_virtually",
]
