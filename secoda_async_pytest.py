"""The pytest plugin of secoda_async: options and fixtures for tests of an integration (docs/testing.md).

It stands beside the package, since importing anything of that takes half a second, and pytest loads its plugins for
every project of an environment: here only a test that uses a fixture imports it. It asserts nothing, so
PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from secoda_async import SecodaIntegration, Transport
    from secoda_async.testing import FakeSource, LabReport

_UPDATE = "SECODA_ASYNC_UPDATE_GOLDEN"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, among those of pytest."""
    group = parser.getgroup("secoda-async", "tests of secoda_async integrations")
    group.addoption(
        "--secoda-update-golden", action="store_true", help="write the golden files that assert_golden compares with"
    )
    group.addoption(
        "--secoda-record",
        action="store_true",
        help="record the journals that the fixture `replayed` replays, from the real source",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell `assert_golden`, which knows nothing of pytest, what was asked for."""
    if config.getoption("secoda_update_golden"):
        before = os.environ.get(_UPDATE)
        os.environ[_UPDATE] = "1"
        config.add_cleanup(lambda: _restore(before))


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(_UPDATE, None)
    else:
        os.environ[_UPDATE] = before


@pytest.fixture
def fake_source() -> Iterator[FakeSource]:
    """A `FakeSource`; a request that had no route is an error at the end of the test, whatever became of it."""
    from secoda_async.testing import FakeSource  # noqa: PLC0415 # see above

    source = FakeSource()
    yield source
    if source.unrouted:
        raise AssertionError(
            "; ".join(f"{asked} has no route in fake_source" for asked in dict.fromkeys(map(str, source.unrouted)))
        )


@pytest.fixture
def replayed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str | Path], dict[str, Path]]]:
    """Settings that have an integration answered by a recording: ``Jobs(credentials=…, **replayed("jobs.journal"))``.

    The path is beside the test's file. With ``--secoda-record`` the real source is asked, and the recording is written
    where the test passes.
    """
    record = request.config.getoption("secoda_record")
    made: dict[Path, Path] = {}
    failed_before = request.session.testsfailed

    def settings(path: str | Path) -> dict[str, Path]:
        place = request.path.parent / path
        if record:
            made[place] = tmp_path / f"recorded-{len(made)}"
            return {"record": made[place]}
        if not place.is_file():
            pytest.fail(f"there is no recording {place}; run pytest --secoda-record with credentials for the source")
        return {"replay": place}

    yield settings
    if request.session.testsfailed == failed_before:
        for place, recorded in made.items():
            if recorded.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(recorded, place)


@pytest.fixture
def fault_lab(request: pytest.FixtureRequest) -> Callable[..., LabReport]:
    """Runs a `FaultLab`, prints its report, and fails where it finds something; the path of a recording is beside the
    test's file: ``fault_lab(lambda transport: Jobs(credentials={}, transport=transport), "jobs.journal")``.
    """
    from secoda_async.testing import FaultLab  # noqa: PLC0415 # see above

    def run(make: Callable[[Transport], SecodaIntegration], source: Any, **options: Any) -> LabReport:
        __tracebackhide__ = True
        if isinstance(source, str | Path):
            source = request.path.parent / source
        report = FaultLab(make, source, **options).run_sync()
        print(report)  # noqa: T201 # pytest shows it where the test fails, or with -s
        report.assert_ok()
        return report

    return run
