"""From an address as written to the one that is published."""

import os
import socket
from collections.abc import Iterator

import pytest

from pyconfd.errors import RegistrationError
from pyconfd.registration.address import NotYet, Written, parse_address, resolve
from pyconfd.registration.reach import Reach, reach


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("10.0.0.5:80", Written("host", "10.0.0.5", 80)),
        ("web1.example:8080", Written("host", "web1.example", 8080)),
        ("[::1]:80", Written("host", "::1", 80)),
        (":80", Written("port", "", 80)),
        ("unix:/run/a.sock", Written("unix", "/run/a.sock")),
        ("pid:12", Written("pid", pid=12)),
        ("port:auto", Written("auto")),
    ],
)
def test_an_address_is_taken_apart(text: str, written: Written) -> None:
    """Each way to write one."""
    assert parse_address(text) == written


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:0", "host:99999", "::1:80", "unix:rel", "pid:x", "a b:1"]
)
def test_a_wrong_address_says_how_to_write_one(text: str) -> None:
    """All forms are in the hint."""
    with pytest.raises(RegistrationError, match="port:auto"):
        parse_address(text)


def test_what_is_complete_stays_as_it_is() -> None:
    """IPv6 keeps its brackets."""
    assert resolve(parse_address("[::1]:80"), nodes=()) == "[::1]:80"
    assert resolve(parse_address("unix:/a"), nodes=()) == "unix:/a"


@pytest.mark.parametrize("nodes", [(), ["http://127.0.0.1:2379"], ["[::1]:2379"], ["localhost:1"]])
def test_a_port_alone_never_takes_the_loopback_address(nodes: list[str]) -> None:
    """With a store on this machine it is the address on the default route, where there is one."""
    try:
        address = resolve(parse_address(":80"), nodes=nodes)
    except NotYet as error:
        assert "there is no default route" in str(error)
    else:
        assert reach(address.removesuffix(":80").strip("[]")) is Reach.OTHERS


def test_a_named_interface() -> None:
    """Its first address; a name that does not exist is said with those that do."""
    assert resolve(parse_address(":80"), nodes=(), interface="lo") == "127.0.0.1:80"
    with pytest.raises(NotYet, match="lo"):
        resolve(parse_address(":80"), nodes=(), interface="nosuch0")


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_port_of_a_process(listener: int) -> None:
    """Where it listens, as far as psutil sees; no process is asked again later."""
    written = parse_address(f"pid:{os.getpid()}")
    assert resolve(written, nodes=()) == f"127.0.0.1:{listener}"
    with pytest.raises(NotYet, match="can be reached from this machine only"):
        resolve(written, nodes=["10.0.0.1:2379"])
    with pytest.raises(NotYet, match="does not run"):
        resolve(parse_address("pid:4194303"), nodes=())


def test_several_ports_must_be_told_apart(listener: int) -> None:
    """It does not guess."""
    with (
        socket.create_server(("127.0.0.1", 0)),
        pytest.raises(NotYet, match="several ports") as raised,
    ):
        resolve(parse_address("port:auto"), nodes=(), child=os.getpid())
    assert str(listener) in str(raised.value)
