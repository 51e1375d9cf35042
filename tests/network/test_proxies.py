"""Requests go through the proxy that is meant, with its password, and nothing of that is shown."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from secoda_async import ConfigurationError, ConnectError, RequestError, Settings
from secoda_async.counters import Traffic
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.proxies import Proxies
from secoda_async.redact import Redactor
from tests.network.proxy_server import proxy_server
from tests.network.raw_server import raw_server


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[Client]:
    chosen = Settings(**{"retry": None} | settings)
    async with Client(chosen, traffic=Traffic(), findings=Findings(), redact=Redactor()) as made:
        yield made


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("password", ["", "s3cr3t", "p@ss:w/rd"])
async def test_http_is_forwarded_and_https_is_tunnelled(password: str, tls: ssl.SSLContext, ca_file: str) -> None:
    async with proxy_server(password=password) as proxy, raw_server() as plain, raw_server(tls=tls) as secure:
        url = str(URL(f"http://127.0.0.1:{proxy.port}").with_user("user").with_password(password or None))
        async with client(proxy=url if password else proxy.url, verify=ca_file) as http:
            assert (await http.request("GET", f"{plain.url}/x?a=%2F", headers={"token": "t"})).text == "ok"
            assert (await http.request("GET", f"{secure.url}/y", headers={"token": "t"})).text == "ok"
        assert proxy.lines == [
            f"GET {plain.url}/x?a=%2F HTTP/1.1",
            f"CONNECT {secure.url.removeprefix('https://')} HTTP/1.1",
        ]
        assert "token" not in proxy.heads[1]
        for server in (plain, secure):
            assert server.exchanges[0].header("Proxy-Authorization") == []
            assert server.exchanges[0].header("token") == ["t"]


async def test_a_wrong_password_and_an_absent_proxy_are_errors_that_show_no_password(tls: ssl.SSLContext) -> None:
    async with proxy_server(password="right") as proxy, raw_server() as plain, raw_server(tls=tls) as secure:
        async with client(proxy=f"http://user:wr0ng@127.0.0.1:{proxy.port}") as http:
            assert (await http.request("GET", plain.url)).status_code == 407
            with pytest.raises(
                ConnectError, match=r"the proxy makes no connection \(Proxy Auth.*\); check proxy and its password"
            ):
                await http.request("GET", secure.url)
        assert plain.exchanges == secure.exchanges == []
    async with client(proxy=f"http://user:wr0ng@127.0.0.1:{proxy.port}") as http:
        with pytest.raises(ConnectError, match=r"cannot connect to the proxy \(.*refused.*\); check proxy") as caught:
            await http.request("GET", plain.url)
        assert "wr0ng" not in str(caught.value)
        assert "user" not in str(caught.value)


async def test_a_host_behind_the_proxy_that_is_not_there(tls: ssl.SSLContext) -> None:
    async with proxy_server() as proxy, client(proxy=proxy.url) as http:
        assert (await http.request("GET", "http://127.0.0.1:1/")).status_code == 502
        with pytest.raises(ConnectError, match="the proxy makes no connection \\(Bad Gateway\\)"):
            await http.request("GET", "https://127.0.0.1:1/")


async def test_the_environment_is_asked_only_with_trust_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cr3t")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with proxy_server() as proxy, raw_server() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        for trust_env, used in ((False, 0), (True, 1)):
            async with client(trust_env=trust_env) as http:
                await http.request("GET", server.url)
            assert len(proxy.lines) == used
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        async with client(trust_env=True) as http:
            await http.request("GET", server.url)
        assert len(proxy.lines) == 1
        assert [exchange.header("Authorization") for exchange in server.exchanges] == [[], [], []], "~/.netrc"


async def test_the_given_proxy_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy_server() as given, proxy_server() as other, raw_server() as server:
        monkeypatch.setenv("http_proxy", other.url)
        monkeypatch.setenv("no_proxy", "*")
        async with client(proxy=given.url, trust_env=True) as http:
            await http.request("GET", server.url)
        assert (len(given.lines), len(other.lines)) == (1, 0)


def test_which_proxy_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    monkeypatch.setenv("all_proxy", "http://user:p%40ss@all.example:8080/")
    monkeypatch.setenv("no_proxy", "inside.example,.lan,10.0.0.1:8443")
    proxies = Proxies(None, trust_env=True)

    def host(url: str) -> str | None:
        proxy = proxies.of(URL(url))
        return None if proxy is None else str(proxy.url)

    assert host("https://a.example/x") == "http://proxy.example:3128/"
    assert host("http://a.example/x") == "http://all.example:8080/"
    assert host("https://inside.example/x") is None
    assert host("https://a.lan/x") is None
    assert host("https://10.0.0.1:8443/x") is None
    assert host("https://10.0.0.1/x") == "http://proxy.example:3128/"
    assert {secret for proxy in proxies.all for secret in proxy.secrets} == {"p@ss", "p%40ss"}


@pytest.mark.parametrize(
    "proxy", ["socks5://u:s3cr3t@x:1", "https://u:s3cr3t@x:1", "", "http://", "//u:s3cr3t@", "http://u:s3cr3t@x:port"]
)
def test_what_is_no_proxy_is_refused_without_showing_it(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="proxy must be http://host:port") as caught:
        Proxies(proxy, trust_env=False)
    assert "s3cr3t" not in str(caught.value)
    if proxy:
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(ConfigurationError, match="https_proxy must be http://host:port"):
            Proxies(None, trust_env=True)
    assert "s3cr3t" not in repr(Settings(proxy=proxy))


async def test_a_private_proxy_may_be_used_where_private_addresses_are_refused() -> None:
    async with proxy_server() as proxy:
        async with client(proxy=proxy.url.replace("127.0.0.1", "localhost"), refuse_private=True) as http:
            reply = await http.request("GET", "http://unknown.invalid/")
            assert reply.status_code == 502, "of the proxy, which resolves names itself"
            with pytest.raises(RequestError, match="refuse_private refuses"):
                await http.request("GET", "http://127.0.0.1:1/")
        assert len(proxy.lines) == 1
