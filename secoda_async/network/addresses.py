"""Which addresses are never connected to: those of cloud metadata, and private ones where the user says so.

A hostile answer can send a crawler to addresses that only its own machine reaches: a redirect, a link to a next page, a
name that resolves to one. What is looked at is what is connected to, so a name that resolves anew gains nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host name. Raises OSError where there are none."""

_METADATA: Final = (
    (IPv4Network("169.254.0.0/16"), "a link-local address, where clouds keep credentials"),
    (IPv6Network("fe80::/10"), "a link-local address, where clouds keep credentials"),
    (IPv6Network("fd00:ec2::/32"), "an address of AWS's metadata"),
    (IPv6Network("fd20:ce::/32"), "an address of Google Cloud's metadata"),
    (IPv6Network("fd00:42::/32"), "an address of Scaleway's metadata"),
    (IPv4Network("100.100.100.200/32"), "the address of Alibaba Cloud's metadata"),
    (IPv4Network("168.63.129.16/32"), "the address of Azure's metadata"),
    (IPv4Network("192.0.0.192/32"), "the address of Oracle Cloud's metadata"),
)
_PRIVATE: Final = (
    (IPv4Network("100.64.0.0/10"), "an address of a carrier's own network"),
    (IPv6Network("64:ff9b:1::/48"), "an address of a local translator"),
    (IPv6Network("fec0::/10"), "a site-local address"),
)
# IPv6 addresses that stand for an IPv4 address, and where in them it is, in bits from the right.
_EMBEDDING: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated
    (IPv6Network("::/96"), 0),  # IPv4-compatible
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("64:ff9b:1::/48"), 0),  # NAT64 of one's own
    (IPv6Network("2002::/16"), 80),  # 6to4
)


class AddressRules:
    """Says whether an address is refused. Usage: ``AddressRules(refuse_private=True).refusal("10.0.0.1")``.

    ``exempt`` are host names, a proxy's for example, that may have a private address.
    """

    def __init__(self, *, refuse_private: bool, exempt: Iterable[str] = ()) -> None:
        self._refuse_private = refuse_private
        self._exempt = frozenset(exempt)

    def refusal(self, host: str, found: str | None = None) -> str | None:
        """Why ``host`` is not connected to, where ``found`` is its address; None where nothing speaks against it.

        Without ``found`` it is looked at as an address, in each of its spellings; a name has no refusal then.
        """
        address = _parse(host if found is None else found)
        if address is None:
            return None
        spelt = f"{host} is " if str(address) == host else f"{host} is {address}, "
        embedded = _embedded(address)
        if (what := _within(_METADATA, (address, *embedded))) is not None:
            return f"{spelt}{what}; such addresses are always refused"
        if not self._refuse_private or host in self._exempt:
            return None
        # What embeds an IPv4 address is as private as that is, whatever its own range is said to be.
        what = _within(_PRIVATE, (address, *embedded)) or _private(embedded[0] if embedded else address)
        return None if what is None else f"{spelt}{what}, which refuse_private refuses"


def _within(networks: Iterable[tuple[IPv4Network | IPv6Network, str]], addresses: Iterable[Address]) -> str | None:
    return next((what for one in addresses for network, what in networks if one in network), None)


def _private(address: Address) -> str | None:
    for holds, what in (
        (address.is_unspecified, "the unspecified address"),
        (address.is_loopback, "a loopback address"),
        (address.is_multicast, "a multicast address"),
        (address.is_private, "a private address"),
        (address.is_reserved or not address.is_global, "a reserved address"),
    ):
        if holds:
            return what
    return None


def _parse(host: str) -> Address | None:
    """The address that a host is: as usual, or as one number, in octal or in hexadecimal, as the C library reads it."""
    host = host.strip("[]").removesuffix(".").partition("%")[0]
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):  # no address, but a name
        return None


def _embedded(address: Address) -> Sequence[Address]:
    """The IPv4 addresses that an IPv6 address stands for: one at most. ``::`` and ``::1`` stand for none."""
    if isinstance(address, IPv4Address) or int(address) <= 1:
        return ()
    return [IPv4Address(int(address) >> shift & 0xFFFFFFFF) for network, shift in _EMBEDDING if address in network]
