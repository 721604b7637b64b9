"""One suite over every lease registry: etcd's, and the fake that the fast tests use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.backends.base import LeaseRegistry
from pyconfd.backends.etcd.leases import EtcdLeases
from pyconfd.errors import KeyTaken, LeaseLost
from pyconfd.model.source import SourceOptions
from pyconfd.testing.fake_leases import FakeLeases, FakeStore
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.waiting import wait_until


class Heard:
    """Keep-alive answers as they came."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def __call__(self, lease: int, left_s: int) -> None:
        with self._lock:
            self.answers.append((lease, left_s))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(params=["fake", pytest.param("etcd", marks=pytest.mark.integration)])
def leases(request: pytest.FixtureRequest, tmp_path: Path, heard: Heard) -> Iterator[LeaseRegistry]:
    if request.param == "fake":
        yield FakeLeases(FakeStore(), heard)
        return
    with PrivateEtcd(tmp_path) as etcd:
        client = EtcdLeases(SourceOptions(nodes=(etcd.endpoint,)), heard)
        yield client
        client.close()


def nobody(_: object) -> bool:
    return False


def test_a_lease_has_a_life_and_ends(leases: LeaseRegistry) -> None:
    """With its keys; ending it twice is no error."""
    lease = leases.grant(30)
    leases.claim("/a/b", b"1", lease, nobody)
    life = leases.life(lease)
    assert (life.granted_s, life.keys) == (30, ("/a/b",))
    assert 0 < life.ttl_s <= 30
    leases.revoke(lease)
    leases.revoke(lease)
    assert leases.get("/a/b") is None
    assert leases.life(lease).ttl_s == 0


def test_heartbeats_are_answered_with_what_is_left(leases: LeaseRegistry, heard: Heard) -> None:
    """Zero for a lease that is gone."""
    lease, gone = leases.grant(30), leases.grant(30)
    leases.revoke(gone)
    leases.keep_alive([lease, gone])
    wait_until(lambda: len(heard.answers) == 2)
    assert dict(heard.answers) == {lease: 30, gone: 0}


def test_a_claim_asks_about_what_stands_there(leases: LeaseRegistry) -> None:
    """A key that is not ours is left alone; one that is, is moved to our lease."""
    first, second = leases.grant(30), leases.grant(30)
    leases.claim("/a", b"1", first, nobody)
    with pytest.raises(KeyTaken):
        leases.claim("/a", b"2", second, nobody)
    leases.claim("/a", b"2", second, lambda there: there.lease == first and there.value == b"1")
    there = leases.get("/a")
    assert there is not None
    assert (there.value, there.lease) == (b"2", second)


def test_a_claim_under_a_lost_lease(leases: LeaseRegistry) -> None:
    """It says that the lease is lost, and puts nothing."""
    lease = leases.grant(30)
    leases.revoke(lease)
    with pytest.raises(LeaseLost):
        leases.claim("/a", b"1", lease, nobody)
    with pytest.raises(LeaseLost):
        leases.claim_absent([("/a", b"1"), ("/b", b"1")], lease)
    assert leases.list("/") == ()


def test_several_are_claimed_together_or_not_at_all(leases: LeaseRegistry) -> None:
    """One that stands there keeps all of them from being put."""
    lease = leases.grant(30)
    pairs = [(f"/m/{number:03}", b"x") for number in range(100)]
    assert leases.claim_absent(pairs, lease)
    assert len(leases.list("/m")) == 100
    assert not leases.claim_absent([("/n", b"y"), *pairs[:1]], lease)
    assert leases.get("/n") is None


def test_put_delete_and_list(leases: LeaseRegistry) -> None:
    """On path boundaries, in order of key."""
    for key in ("/app/b", "/app/a", "/apple", "/app"):
        leases.put(key, b"v")
    assert [each.key for each in leases.list("/app")] == ["/app", "/app/a", "/app/b"]
    assert leases.delete("/app/a")
    assert not leases.delete("/app/a")
    assert leases.get("/app/a") is None


def test_writes_are_committed_together_when_nothing_has_changed(leases: LeaseRegistry) -> None:
    """Puts with and without a lease, and deletions; a key that has changed keeps all of it off."""
    lease = leases.grant(30)
    leases.put("/a", b"1")
    first = leases.get("/a")
    assert first
    expected = {"/a": first.mod_revision, "/b": 0}
    assert leases.commit(expected, [("/b", b"2", lease), ("/c", b"3", 0)], ["/a"])
    assert [(one.key, one.value, one.lease) for one in leases.list("/")] == [
        ("/b", b"2", lease),
        ("/c", b"3", 0),
    ]
    assert not leases.commit(expected, [("/d", b"4", 0)], ["/c"])
    assert leases.get("/d") is None
    assert leases.get("/c")
    leases.revoke(lease)
    with pytest.raises(LeaseLost):
        leases.commit({}, [("/e", b"5", lease)])
