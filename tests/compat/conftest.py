"""Each test runs without secodadk, and again with the real one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.legacy import imports_of_its_own, real_package


@pytest.fixture(params=["stand-in", "real"])
def secodadk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Which ``secodadk`` a file gets that imports it."""
    with imports_of_its_own():
        if request.param == "real":
            install(tmp_path, monkeypatch)
        yield request.param


@pytest.fixture(params=["stand-in, httpx", "stand-in alone", "real, httpx"])
def httpx(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """As ``secodadk``, and whether httpx is installed, which the real one is never without."""
    with imports_of_its_own():
        if request.param == "stand-in alone":
            monkeypatch.setitem(sys.modules, "httpx", None)
        elif request.param == "real, httpx":
            install(tmp_path, monkeypatch)
        yield request.param != "stand-in alone"


@pytest.fixture
def stand_in() -> Iterator[None]:
    """For what concerns this package's own stand-in alone."""
    with imports_of_its_own():
        yield


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the real secodadk be found, beside what is installed here."""
    (folder / "installed").mkdir()
    (folder / "installed" / "secodadk").symlink_to(real_package())
    monkeypatch.syspath_prepend(folder / "installed")
