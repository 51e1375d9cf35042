"""No address of cloud metadata is connected to, in whatever spelling, and no private one where that is refused."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from secoda_async import AddressError, OriginError, Timeout
from secoda_async.counters import Traffic
from secoda_async.network.addresses import AddressRules
from secoda_async.network.message import Request
from secoda_async.network.transport import AiohttpTransport
from tests.integrations import MemorySink, integration
from tests.network.raw_server import Exchange, raw_server

METADATA = [
    "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.0.1", "fe80::1", "fe80::a9fe:a9fe%eth0",
    "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "100.100.100.200", "168.63.129.16", "192.0.0.192",
]  # fmt: skip
SPELLINGS = [
    "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.254.43518", "169.16689662",
    "169.254.169.254.", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::169.254.169.254",
    "64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "[::ffff:a9fe:a9fe]",
    "::ffff:0:a9fe:a9fe", "0:0:0:0:0:ffff:a9fe:a9fe",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "2130706433", "0x7f.1", "0.0.0.0", "0", "::", "::1", "10.0.0.1", "172.16.0.1",
    "192.168.1.1", "100.64.0.1", "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "fc00::1", "fd12::1",
    "fec0::1", "198.18.0.1", "192.0.2.1", "2001:db8::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1",
    "2002:7f00:1::", "64:ff9b:1::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
NAMES = ["example.com", "localhost", "169.254.169.254.nip.io", "a", "xn--bcher-kva.example", "1.2.3.4.5", "0x", ""]


@pytest.mark.parametrize("host", METADATA + SPELLINGS)
@pytest.mark.parametrize("refuse_private", [True, False])
def test_metadata_is_always_refused(host: str, refuse_private: bool) -> None:
    refusal = AddressRules(refuse_private=refuse_private, exempt=[host]).refusal(host)
    assert refusal is not None
    assert refusal.startswith(f"{host} is ")
    assert refusal.endswith("such addresses are always refused")


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused_where_that_is_set(host: str) -> None:
    assert AddressRules(refuse_private=False).refusal(host) is None
    refusal = AddressRules(refuse_private=True).refusal(host)
    assert refusal is not None
    assert refusal.startswith(f"{host} is ")
    assert refusal.endswith("which refuse_private refuses")
    assert AddressRules(refuse_private=True, exempt=[host]).refusal(host) is None


@pytest.mark.parametrize("host", PUBLIC + NAMES)
def test_public_addresses_and_names_pass(host: str) -> None:
    assert AddressRules(refuse_private=True).refusal(host) is None


@given(st.ip_addresses(v=4, network="169.254.0.0/16"), st.sampled_from(["{:d}", "0x{:x}", "0{:o}"]))
def test_every_spelling_of_a_link_local_address_is_refused(address: IPv4Address, spelling: str) -> None:
    assert AddressRules(refuse_private=False).refusal(spelling.format(int(address))) is not None


@given(st.ip_addresses() | st.text(max_size=30))
def test_whatever_the_host_there_is_an_answer(host: IPv4Address | IPv6Address | str) -> None:
    AddressRules(refuse_private=True).refusal(str(host))


@asynccontextmanager
async def transport(answers: dict[str, Sequence[str]], **settings: Any) -> AsyncIterator[AiohttpTransport]:
    async def lookup(host: str) -> Sequence[str]:
        return answers[host]

    made = AiohttpTransport(
        timeout=Timeout(connect=1),
        verify=True,
        max_body=2**20,
        traffic=Traffic(),
        user_agent="test",
        lookup=lookup,
        **settings,
    )
    try:
        yield made
    finally:
        await made.aclose()


async def test_a_name_is_refused_for_any_of_its_addresses_and_what_is_checked_is_what_is_connected_to() -> None:
    async with raw_server() as server:
        port = URL(server.url).port
        answers = {
            "good.example": ["127.0.0.1"],
            "metadata.example": ["169.254.169.254"],
            "both.example": ["127.0.0.1", "fd00:ec2::254"],
            "mapped.example": ["::ffff:169.254.169.254"],
        }
        async with transport(answers) as http:
            assert (await http.send(Request("GET", URL(f"http://good.example:{port}/")))).content == b"ok"
            assert server.exchanges[0].header("Host") == [f"good.example:{port}"]
            for name, address in [
                ("metadata.example", "169.254.169.254"),
                ("both.example", "fd00:ec2::254"),
                ("mapped.example", "::ffff:169.254.169.254|::ffff:a9fe:a9fe"),
            ]:
                with pytest.raises(
                    AddressError,
                    match=rf"GET http://{name}:\d+/x was not sent: {name} is ({address}), .*always refused",
                ):
                    await http.send(Request("GET", URL(f"http://{name}:{port}/x")))
            assert server.connections == 1


async def test_a_name_that_resolves_anew_gains_nothing() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.reply(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    answers: dict[str, Sequence[str]] = {"rebinding.example": ["127.0.0.1"]}
    async with raw_server(answer) as server, transport(answers) as http:
        request = Request("GET", URL(f"http://rebinding.example:{URL(server.url).port}/"))
        await http.send(request)
        answers["rebinding.example"] = ["169.254.169.254"]
        connector = http._session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        connector.clear_dns_cache()
        with pytest.raises(AddressError):
            await http.send(request)
        assert server.connections == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_private_addresses_are_refused_at_connect_time(host: str) -> None:
    async with raw_server() as server, transport({"localhost": ["127.0.0.1"]}, refuse_private=True) as http:
        with pytest.raises(AddressError, match=f"{host} is .*a loopback address, which refuse_private refuses"):
            await http.send(Request("GET", URL(server.url.replace("127.0.0.1", host))))
        assert server.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://[::ffff:169.254.169.254]/",
        "//0xa9fea9fe/", "http://user:pw@169.254.169.254/", "https://169.254.169.254./",
    ],
)  # fmt: skip
async def test_a_redirect_to_metadata_is_refused_not_repeated_and_a_loss(location: str) -> None:
    async def answer(exchange: Exchange) -> None:
        head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        await exchange.reply(head.encode())

    async def extract(self: Any) -> None:
        try:
            await self.http_get("/", follow_redirects=True)
        except OriginError as error:
            errors.append(error)

    errors: list[OriginError] = []
    async with raw_server(answer) as server:
        made = integration(extract, base_url=server.url, allow_losses=True)
        report = await made.run(MemorySink())
        assert len(server.exchanges) == 1
    assert [type(error) for error in errors] == [AddressError]
    assert report.source.attempts == report.loss_count == 1
    assert "always refused" in str(errors[0])
    assert "pw" not in str(errors[0]).replace("always refused", "")
