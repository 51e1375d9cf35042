"""The pytest plugin, as a project has it that tests its own integration."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from secoda_async.testing import FakeSource, run_extract_sync
from tests.testing import flawed

PLUGIN = "secoda_async_pytest"
ROOT = Path(__file__).parent.parent.parent
JOBS = """
from secoda_async import Resource, SecodaIntegration
from secoda_async.testing import *

class Jobs(SecodaIntegration):
    base_url = "http://jobs.test"

    async def extract(self):
        for name in (await self.http_get("/jobs")).raise_for_status().json():
            job = (await self.http_get(f"/jobs/{name}")).raise_for_status().json()
            await self.declare_resource(Resource(entity_type="dashboard", databuilder_id=name, title=job["title"]))
"""


def run(pytester: pytest.Pytester, test: str, *options: str, **expected: int) -> pytest.RunResult:
    """Run a file of tests with the plugin, and nothing else."""
    pytester.makepyfile(JOBS + test)
    result = pytester.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider", "-W", "error", *options)
    result.assert_outcomes(**expected)
    return result


def test_the_package_registers_it_under_its_own_name() -> None:
    # So that `-p` of the same name does not load it twice.
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert entries == {PLUGIN: PLUGIN}
    assert import_module(PLUGIN).__doc__


def test_where_it_is_not_used_nothing_of_the_package_is_imported(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_it():\n"
        "    assert 'secoda_async_pytest' in sys.modules\n"
        "    assert not {'secoda_async', 'aiohttp', 'duckdb'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 0, result.stdout


def test_a_source_that_lacked_a_route_fails_the_test_at_its_end(pytester: pytest.Pytester) -> None:
    test = """
def test_well(fake_source):
    fake_source.get("/jobs", json=["a"])
    fake_source.get("/jobs/{name}", json={"title": "A"})
    assert run_extract_sync(Jobs(credentials={}, transport=fake_source)).by_id["a"].title == "A"

def test_unrouted(fake_source):
    try:
        run_extract_sync(Jobs(credentials={}, transport=fake_source))
    except Exception:
        pass
"""
    result = run(pytester, test, passed=2, errors=1)
    result.stdout.fnmatch_lines(["*GET http://jobs.test/jobs has no route in fake_source*"])


def test_golden_files_are_written_when_asked_for_and_compared_otherwise(pytester: pytest.Pytester) -> None:
    test = """
import os, pathlib

def test_golden(fake_source):
    fake_source.get("/jobs", json=["a"])
    fake_source.get("/jobs/{name}", json={"title": os.environ["TITLE"]})
    records = run_extract_sync(Jobs(credentials={}, transport=fake_source))
    assert_golden(records, pathlib.Path(__file__).parent / "golden.json")
"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TITLE", "one")
        run(pytester, test, failed=1).stdout.fnmatch_lines(["*run pytest with --secoda-update-golden*"])
        run(pytester, test, "--secoda-update-golden", passed=1)
        run(pytester, test, passed=1)
        patch.setenv("TITLE", "two")
        run(pytester, test, failed=1).stdout.fnmatch_lines(['*~ a: title: "one" → "two"*'])


REPLAYED = """
import os

def test_it(replayed):
    class At(Jobs):
        base_url = os.environ["JOBS_URL"]
    records = run_extract_sync(At(credentials={}, **replayed("journals/jobs.journal")))
    assert [one.title for one in records.resources] == os.environ["TITLES"].split()
"""


async def test_a_journal_is_recorded_where_the_test_passes_and_replayed_then(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anyio import to_thread

    source = FakeSource()
    source.get("/jobs", json=["a", "b"])
    source.get("/jobs/{name}", lambda request, name: {"title": name.upper()})
    journal = pytester.path / "journals" / "jobs.journal"

    async def step(*options: str, **expected: int) -> pytest.RunResult:
        return await to_thread.run_sync(lambda: run(pytester, REPLAYED, *options, **expected))

    async with source.serve() as url:
        monkeypatch.setenv("JOBS_URL", url)
        monkeypatch.setenv("TITLES", "other")
        (await step(failed=1)).stdout.fnmatch_lines(
            ["*there is no recording*jobs.journal; run pytest --secoda-record*"]
        )
        await step("--secoda-record", failed=1)
        assert not journal.exists()
        monkeypatch.setenv("TITLES", "A B")
        await step("--secoda-record", passed=1)
    asked = len(source.calls)
    recorded = journal.read_bytes()
    await step(passed=1)
    assert len(source.calls) == asked
    assert journal.read_bytes() == recorded


def test_the_laboratory_fails_the_test_with_what_it_found(pytester: pytest.Pytester) -> None:
    path = pytester.path / "flawed.journal"
    run_extract_sync(flawed.Mended(credentials={}, transport=flawed.source(), record=path))
    test = """
from tests.testing import flawed

def test_well(fault_lab):
    report = fault_lab(lambda it: flawed.Mended(credentials={}, transport=it), "flawed.journal", steps=1)
    assert report.resources == 7

def test_flawed(fault_lab):
    fault_lab(lambda it: flawed.SwallowedStatus(credentials={}, transport=it), "flawed.journal", steps=2)
"""
    result = run(pytester, test, passed=1, failed=1)
    result.stdout.fnmatch_lines(["*500 for good at GET /tables/*lost, of 7 resources*"])


def test_async_tests_run_on_anyios_plugin_in_virtual_time_too(pytester: pytest.Pytester) -> None:
    test = """
import anyio, pytest

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": VirtualTimeLoop}

async def test_it(fake_source, fault_lab):
    await anyio.sleep(3600)
    fake_source.get("/jobs", status=503, headers={"Retry-After": "200"}).then(json=["a"])
    fake_source.get("/jobs/{name}", json={"title": "A"})
    assert (await run_extract(Jobs(credentials={}, transport=fake_source))).by_id["a"].title == "A"
    with pytest.raises(Exception, match="await lab.run()"):
        fault_lab(lambda it: Jobs(credentials={}, transport=it), fake_source)
"""
    run(pytester, test, passed=1)
