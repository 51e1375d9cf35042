"""A headless Chromium, where this machine has one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.selenium import Axe
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="needs Chromium and its driver: apt-get install chromium-driver"
)


@contextmanager
def browser(profile: Path, *arguments: str) -> Iterator[Chrome]:
    """Its windows, with a profile of its own that nothing else has used."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        *arguments,
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def looks(driver: Chrome, scheme: str, width: int) -> None:
    """Show the next pages in this scheme of colours, in a window of this width; ``light`` and 1200 is what is usual."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def hindrances(driver: Chrome) -> list[tuple[str, Any]]:
    """What hinders a reader with a keyboard, a screen reader or weak eyes: rule and places, as axe-core finds them."""
    found = Axe().run(driver)
    assert found["passes"]
    return [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found["violations"]]
