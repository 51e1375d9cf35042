"""What every test shares."""

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]  # for tests of the plugin

# No test is about durations: this machine's speed, and hypothesis's own first start, say nothing about the code.
settings.register_profile("full", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("full"))
settings.load_profile("full")


def pytest_configure(config: pytest.Config) -> None:
    """Before the tests are imported, since they ask `examples` then."""
    if config.option.markexpr == "not long":
        settings.load_profile("fast")


# A shell starts what it puts in the background with Ctrl-C ignored, and so would every process of a test be.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs keep their files where the test can see them, and nowhere else."""
    directory = tmp_path / "state"
    monkeypatch.setenv("SECODA_ASYNC_STATE", str(directory))
    return directory


@pytest.fixture(autouse=True)
def loop_guard() -> Iterator[BlockBuster]:
    """A call of this package that blocks the event loop fails the test."""
    with blockbuster_ctx("secoda_async") as guard:
        yield guard


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Signs the certificates of a test's servers and clients."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """Of a server on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """What a client trusts who trusts `authority`."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")
