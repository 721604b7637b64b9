"""
From where an address can be reached, and so which must not be published to other machines. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from enum import Enum, auto

_LOCAL_NAME = re.compile(r"(.*\.)?(localhost|localhost\.localdomain|ip6-localhost|ip6-loopback)\.?")
#: As the C library reads IPv4 addresses beside the usual way: 127.1, 0x7f.1, 2130706433, 0.
_SHORT = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}", re.IGNORECASE)
_HOST_BITS = {1: 32, 2: 24, 3: 16, 4: 8}


class Reach(Enum):
    """Who can connect to an address."""

    #: Other machines, as far as the address alone tells.
    OTHERS = auto()
    THIS_MACHINE = auto()
    #: It is where a program listens: every address of a machine.
    EVERY_ADDRESS = auto()
    #: It means something on one network interface only.
    ONE_LINK = auto()
    #: A group of machines, or all of them.
    SEVERAL = auto()


def reach(host: str) -> Reach:
    """From where a host of an address can be reached. host: without brackets and port."""
    if _LOCAL_NAME.fullmatch(host.lower()):
        return Reach.THIS_MACHINE
    address = _address(host.partition("%")[0])
    if address is None:
        return Reach.OTHERS
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return Reach.THIS_MACHINE
    if address.is_unspecified or address in _THIS_NETWORK:
        return Reach.EVERY_ADDRESS
    if address.is_link_local:
        return Reach.ONE_LINK
    if address.is_multicast or address == _BROADCAST:
        return Reach.SEVERAL
    return Reach.OTHERS


def is_here(nodes: Iterable[str]) -> bool:
    """Whether the store runs on this machine, judging by its nodes; the default node does."""
    return all(reach(host_of(node)) is Reach.THIS_MACHINE for node in nodes)


def host_of(node: str) -> str:
    """The host of `host:port` or a URL."""
    bare = (node.partition("://")[2] or node).partition("/")[0]
    if bare.startswith("["):
        return bare[1:].partition("]")[0]
    return bare if bare.count(":") > 1 else bare.partition(":")[0]


_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if not _SHORT.fullmatch(host):
        return None
    *first, last = (int(part, _base(part)) for part in host.split("."))
    bits = _HOST_BITS[len(first) + 1]
    if last >= 1 << bits or any(part > 255 for part in first):
        return None
    number = last
    for place, part in enumerate(first):
        number |= part << (24 - 8 * place)
    return ipaddress.IPv4Address(number)


def _base(part: str) -> int:
    if part.lower().startswith("0x"):
        return 16
    return 8 if re.fullmatch("0[0-7]+", part) else 10
