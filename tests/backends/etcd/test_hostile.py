"""A peer in the place of etcd that wants to be waited for, or to be given memory."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from pyconfd.backends.base import SourceOptions
from pyconfd.backends.etcd.endpoints import EndpointRing, parse_endpoint
from pyconfd.backends.etcd.protobuf import message
from pyconfd.backends.etcd.source import EtcdSource
from pyconfd.errors import SourceError, SourceRefused
from tests.backends.etcd.test_scripted import scripted
from tests.support.pyconfd import Confdir
from tests.system.test_connect import drip, serving

pytestmark = pytest.mark.integration

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.mark.parametrize("begun", [b"", SETTINGS, b"HTTP/1.1 200 OK\r\n", b"\x16\x03\x03\x40\x00"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_peer_that_drips_holds_up_a_one_shot_run_no_longer_than_its_timeout(
    tmp_path: Path, begun: bytes, scheme: str
) -> None:
    """Over plain connections and over TLS, whatever it begins with."""
    with serving(drip(begun)) as port:
        confdir = Confdir(tmp_path, "--node", f"{scheme}://127.0.0.1:{port}")
        confdir.simple()
        started = time.monotonic()
        done = confdir.once("--timeout", "2")
        assert done.returncode == 1
        assert time.monotonic() - started < 2 + 8, done.stderr


def endless(_request: Any, _context: Any) -> Any:
    """Pages without end."""
    first = next(_PAGE) * 1000
    kvs = [{"key": b"/app/%012d" % (first + n), "value": b"v" * 1000} for n in range(1000)]
    return message("RangeResponse")(header={"cluster_id": 7, "revision": 10}, kvs=kvs, more=True)


_PAGE = itertools.count()


def test_a_listing_has_a_bound() -> None:
    """The error says which, and what to do."""
    with scripted(ranged=endless) as endpoint:
        source = EtcdSource(SourceOptions(nodes=(endpoint,), listing_limit=10_000_000))
        with pytest.raises(SourceRefused) as caught:
            source.list(["/app"], timeout_s=30)
        source.close()
    assert "/app: the store has more than listing_limit = 10000000 bytes" in str(caught.value)
    assert "--listing-limit" in str(caught.value)


def test_a_page_without_keys_that_promises_more_is_no_loop() -> None:
    """It ends; what was read counts."""

    def empty(_request: Any, _context: Any) -> Any:
        return message("RangeResponse")(header={"cluster_id": 7, "revision": 10}, more=True)

    with scripted(ranged=empty) as endpoint:
        source = EtcdSource(SourceOptions(nodes=(endpoint,)))
        try:
            assert source.list(["/app"], timeout_s=5).keys == ()
        except SourceError:
            pass
        finally:
            source.close()


def test_members_never_take_the_encryption_away() -> None:
    """Where the operator named https alone, a member that advertises http is not used."""
    plain, secure = parse_endpoint("http://b:1"), parse_endpoint("https://c:1")
    ring = EndpointRing([parse_endpoint("https://a:1")])
    ring.learn([plain, secure])
    assert plain not in ring
    assert secure in ring
    both = EndpointRing([parse_endpoint("https://a:1"), parse_endpoint("http://d:1")])
    both.learn([plain])
    assert plain in both
