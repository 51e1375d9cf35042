"""A client certificate is shown to the origin of base_url, and to no other."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from secoda_async import ConfigurationError, RequestError, Settings
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.redact import Redactor
from tests.network.raw_server import Exchange, raw_server


@pytest.fixture
def cert(authority: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    """The certificate in each form that `cert` takes."""
    issued = authority.issue_cert("crawler.example", common_name="crawler")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"s3cr3t"),
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    files = {name: str(tmp_path / f"{name}.pem") for name in ("both", "cert", "key", "locked")}
    return {
        "one file": files["both"],
        "a pair": (files["cert"], files["key"]),
        "with a password": (files["cert"], files["locked"], "s3cr3t"),
        "without the password": (files["cert"], files["locked"]),
        "a wrong password": (files["cert"], files["locked"], "wr0ng-pass"),
        "no file": "none.pem",
    }


def server_context(authority: trustme.CA, *, asks: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = asks
    return context


def shown(exchange: Exchange) -> str | None:
    """The name in the certificate that the client showed."""
    certificate = exchange.writer.get_extra_info("peercert")
    return (
        next((pair[0][1] for pair in certificate["subject"] if pair[0][0] == "commonName"), None)
        if certificate
        else None
    )


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[Client]:
    chosen = Settings(**{"retry": None} | settings)
    async with Client(chosen, traffic=Traffic(), findings=Findings(), redact=Redactor()) as made:
        yield made


@pytest.mark.parametrize("form", ["one file", "a pair", "with a password"])
@pytest.mark.parametrize("checked", [True, False])
async def test_the_certificate_is_shown_in_each_form(
    form: str, checked: bool, authority: trustme.CA, ca_file: str, cert: dict[str, Any]
) -> None:
    tls = server_context(authority, asks=ssl.CERT_REQUIRED)
    async with raw_server(tls=tls) as server:
        async with client(base_url=server.url, verify=ca_file if checked else False, cert=cert[form]) as http:
            for _ in range(2):
                assert (await http.request("GET", "/x")).text == "ok"
        assert [shown(exchange) for exchange in server.exchanges] == ["crawler"] * 2
        assert server.connections == 1, "one context, so one pool"
        async with client(base_url=server.url, verify=ca_file) as http:
            with pytest.raises(RequestError):
                await http.request("GET", "/x")


async def test_no_other_origin_sees_the_certificate(authority: trustme.CA, ca_file: str, cert: dict[str, Any]) -> None:
    tls = server_context(authority, asks=ssl.CERT_OPTIONAL)

    async def onwards(exchange: Exchange) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {other.url}/y\r\nContent-Length: 0\r\n\r\n"
        await exchange.reply(head.encode())

    async with raw_server(tls=tls) as other, raw_server(onwards, tls=tls) as server:
        async with client(base_url=server.url, verify=ca_file, cert=cert["one file"]) as http:
            await http.request("GET", "/x", follow_redirects=True)
            await http.request("GET", server.url.replace("127.0.0.1", "localhost"))
            await http.request("GET", "/x", verify=False)
        assert [shown(exchange) for exchange in server.exchanges] == ["crawler", None, "crawler"]
        assert [shown(exchange) for exchange in other.exchanges] == [None]


@pytest.mark.parametrize("form", ["without the password", "a wrong password", "no file"])
async def test_a_certificate_that_cannot_be_loaded_is_named_without_its_password(
    form: str, authority: trustme.CA, cert: dict[str, Any]
) -> None:
    async with raw_server(tls=server_context(authority, asks=ssl.CERT_NONE)) as server:
        async with client(base_url=server.url, cert=cert[form]) as http:
            with pytest.raises(
                ConfigurationError, match=r"cert: .*\.pem.* cannot be loaded .*check the files"
            ) as caught:
                await http.request("GET", "/x")
        assert "wr0ng-pass" not in str(caught.value)
        assert server.exchanges == []


def test_a_certificate_needs_an_origin_and_its_password_is_never_shown() -> None:
    with pytest.raises(ConfigurationError, match="cert needs a base_url"):
        Settings(cert="a.pem")
    assert "s3cr3t" not in repr(Settings(base_url="https://x", cert=("a.pem", "b.pem", "s3cr3t")))
    with pytest.raises(ConfigurationError) as caught:
        Settings(base_url="https://x", cert=("a.pem", "b.pem", "s3cr3t", "more"))  # type: ignore[arg-type]
    assert "s3cr3t" not in str(caught.value)
