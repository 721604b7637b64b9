"""
The functions of templates that look outside: environment, clock, files, names, addresses.

Shell. They are called at render time only: a new DNS answer or a new file causes no render by
itself. As in confd, a name that cannot be resolved gives an empty answer and no error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pyconfd.pipeline.render.functions.names import template_function

if TYPE_CHECKING:
    import datetime as datetimes


_Answer = TypeVar("_Answer")

#: How often a wait can be interrupted.
_STEP_S = 0.1


class SrvTarget(NamedTuple):
    """
    One SRV record.

    target: a host name with its final dot, as in the DNS.
    """

    target: str
    port: int
    priority: int
    weight: int


def reader_of(environ: Mapping[str, str]) -> Callable[..., str]:
    """`getenv` for this environment."""

    def getenv(name: str, default: str = "") -> str:
        return environ.get(name) or default

    return getenv


@template_function()
def datetime() -> datetimes.datetime:
    """The local time now. A file that prints it differs in every render."""
    import datetime as datetimes

    return datetimes.datetime.now().astimezone()


@template_function("fileExists")
def file_exists(path: str) -> bool:
    """Whether something is at this path."""
    return os.path.exists(path)


@template_function()
def hostname() -> str:
    """The name of this host."""
    import socket

    return socket.gethostname()


@template_function("lookupIP")
def lookup_ip(host: str) -> list[str]:
    """All addresses of a host name, sorted as text; empty when it cannot be resolved."""
    import socket

    try:
        found = _waited_for(lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        return []
    return sorted({str(address[0]) for *_, address in found})


@template_function("lookupIPV4")
def lookup_ipv4(host: str) -> list[str]:
    """The IPv4 addresses of a host name."""
    return [address for address in lookup_ip(host) if "." in address and ":" not in address]


@template_function("lookupIPV6")
def lookup_ipv6(host: str) -> list[str]:
    """The IPv6 addresses of a host name."""
    return [address for address in lookup_ip(host) if ":" in address]


@template_function("lookupSRV")
def lookup_srv(service: str, protocol: str, name: str) -> list[SrvTarget]:
    """
    The SRV records of _service._protocol.name, or of name alone when both are empty.

    Sorted as confd sorts them; empty when there are none or no server answers.
    """
    import pyconfd.system.dns as dns

    full = f"_{service}._{protocol}.{name}" if service or protocol else name
    try:
        records = _waited_for(lambda: dns.srv(full))
    except OSError:
        return []
    found = [SrvTarget(r.target, r.port, r.priority, r.weight) for r in records]
    return sorted(found, key=lambda s: f"{s.target}{s.port}{s.priority}{s.weight}")


@template_function("lookupIfaceIPV4")
def interface_ipv4(interface: str) -> str:
    """The first IPv4 address of a network interface; empty when it has none."""
    import socket

    return _interface(interface, socket.AF_INET)


@template_function("lookupIfaceIPV6")
def interface_ipv6(interface: str) -> str:
    """The first IPv6 address of a network interface; empty when it has none."""
    import socket

    return _interface(interface, socket.AF_INET6).partition("%")[0]


def _waited_for(look_up: Callable[[], _Answer]) -> _Answer:
    """
    Call a function on a thread of its own, and return or raise its result. A call that waits in C
    cannot be interrupted, but the wait for its thread can, by the time limit of a render.
    """
    import threading

    answers: list[_Answer] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(look_up())
        except (OSError, ValueError) as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="look-up", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_STEP_S)
    if errors:
        raise errors[0]
    return answers[0]


def _interface(interface: str, family: int) -> str:
    import psutil

    addresses = psutil.net_if_addrs().get(interface, [])
    return next((found.address for found in addresses if found.family == family), "")
