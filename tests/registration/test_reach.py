"""From where an address can be reached, and what is refused because of it."""

from __future__ import annotations

import pytest

from pyconfd.errors import RegistrationError
from pyconfd.registration.address import local_only, note, parse_address
from pyconfd.registration.reach import Reach, host_of, is_here, reach


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("10.0.0.5", Reach.OTHERS),
        ("web1.example", Reach.OTHERS),
        ("localhost.example", Reach.OTHERS),
        ("2001:db8::1", Reach.OTHERS),
        ("::ffff:10.0.0.5", Reach.OTHERS),
        ("fd00::2", Reach.OTHERS),
        ("999", Reach.EVERY_ADDRESS),  # 0.0.3.231
        ("127.0.0.1", Reach.THIS_MACHINE),
        ("127.8.0.1", Reach.THIS_MACHINE),
        ("127.1", Reach.THIS_MACHINE),
        ("0x7f000001", Reach.THIS_MACHINE),
        ("2130706433", Reach.THIS_MACHINE),
        ("0177.0.0.1", Reach.THIS_MACHINE),
        ("::1", Reach.THIS_MACHINE),
        ("::ffff:127.0.0.1", Reach.THIS_MACHINE),
        ("localhost", Reach.THIS_MACHINE),
        ("LOCALHOST.", Reach.THIS_MACHINE),
        ("app.localhost", Reach.THIS_MACHINE),
        ("ip6-localhost", Reach.THIS_MACHINE),
        ("0.0.0.0", Reach.EVERY_ADDRESS),
        ("0", Reach.EVERY_ADDRESS),
        ("0.0", Reach.EVERY_ADDRESS),
        ("::", Reach.EVERY_ADDRESS),
        ("::0", Reach.EVERY_ADDRESS),
        ("0:0:0:0:0:0:0:0", Reach.EVERY_ADDRESS),
        ("::ffff:0.0.0.0", Reach.EVERY_ADDRESS),
        ("169.254.3.4", Reach.ONE_LINK),
        ("fe80::1", Reach.ONE_LINK),
        ("fe80::1%eth0", Reach.ONE_LINK),
        ("224.0.0.18", Reach.SEVERAL),
        ("ff02::1", Reach.SEVERAL),
        ("255.255.255.255", Reach.SEVERAL),
    ],
)
def test_a_host_tells_from_where_it_is_reached(host: str, where: Reach) -> None:
    """In every spelling that the C library reads."""
    assert reach(host) is where


@pytest.mark.parametrize(
    "text",
    ["0.0.0.0:80", "[::]:80", "0:80", "[::ffff:0.0.0.0]:80", "169.254.1.1:80", "[fe80::1]:80",
     "224.0.0.1:80", "[ff02::1]:80", "255.255.255.255:80"],
)  # fmt: skip
def test_what_nobody_can_connect_to_is_refused(text: str) -> None:
    """With the address to write."""
    with pytest.raises(RegistrationError) as raised:
        parse_address(text)
    assert raised.value.hint == "write :80, which publishes this machine's own address"


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:80", "localhost:80", "127.1:80"])
def test_this_machine_alone_is_refused_where_etcd_is_another(text: str) -> None:
    """Others would connect to themselves, and two hosts would replace each other's key."""
    written = parse_address(text)
    wrong = local_only(written, ["http://10.0.0.1:2379", "127.0.0.1:2379"])
    assert wrong is not None
    assert wrong.hint == "write :80, or :80 --interface lo if that is intended"
    assert local_only(written, ["http://127.0.0.1:2379", "[::1]:2379"]) is None
    assert local_only(written, []) is None
    assert local_only(parse_address("10.0.0.5:80"), ["10.0.0.1:2379"]) is None


def test_what_is_said_of_an_address() -> None:
    """Only where etcd is on this machine, so that the route to it tells nothing."""
    here, there = ["127.0.0.1:2379"], ["10.0.0.1:2379"]
    port, host = parse_address(":80"), parse_address("127.0.0.1:80")
    assert note(port, "10.0.0.5:80", here, "").startswith("publishing 10.0.0.5:80, this machine's")
    assert note(port, "10.0.0.5:80", there, "") == ""
    assert note(port, "127.0.0.1:80", here, "lo") == ""
    assert note(host, "127.0.0.1:80", here, "") == (
        "127.0.0.1:80 can be reached from this machine only"
    )
    assert note(parse_address("unix:/a"), "unix:/a", here, "") == ""


@pytest.mark.parametrize(
    ("node", "host"),
    [
        ("10.0.0.1:2379", "10.0.0.1"),
        ("http://[::1]:2379", "::1"),
        ("https://etcd.example:2379/", "etcd.example"),
        ("localhost", "localhost"),
        ("::1", "::1"),
    ],
)
def test_the_host_of_a_node(node: str, host: str) -> None:
    """In every way that --node takes it."""
    assert host_of(node) == host
    assert is_here([node]) is (host in ("::1", "localhost"))
