"""Leases on a real etcd: granted, kept, claimed, lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyconfd.backends.base import LeaseRegistry, SourceOptions, StoreStatus
from pyconfd.backends.etcd.status import etcd_status
from pyconfd.backends.registry import open_leases
from pyconfd.errors import KeyTaken, LeaseLost, SettingsError, SourceUnavailable
from pyconfd.model.keys import KeyValue
from tests.support.daemons.etcd import PrivateCluster, PrivateEtcd, free_ports
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration


class Answers:
    """What the keep-alive stream said, newest last."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def __call__(self, lease: int, ttl_s: int) -> None:
        self.seen.append((lease, ttl_s))


def nobody(there: KeyValue) -> bool:
    return False


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def leases(calm_etcd: PrivateEtcd, answers: Answers) -> Iterator[LeaseRegistry]:
    opened = open_leases("etcd", SourceOptions(nodes=(calm_etcd.endpoint,)), answers)
    yield opened
    opened.close()


def test_a_key_under_a_lease_goes_with_it(leases: LeaseRegistry, calm_etcd: PrivateEtcd) -> None:
    """Revoking takes the keys away; revoking again is no error."""
    lease = leases.grant(30)
    leases.put("/reg/a", b"1", lease)
    assert leases.get("/reg/a") == KeyValue("/reg/a", b"1", calm_etcd.revision, lease)
    life = leases.life(lease)
    assert (life.granted_s, life.keys) == (30, ("/reg/a",))
    assert 0 < life.ttl_s <= 30
    leases.revoke(lease)
    leases.revoke(lease)
    assert leases.get("/reg/a") is None
    assert leases.life(lease).ttl_s == 0


def test_many_leases_are_kept_over_one_stream(leases: LeaseRegistry, answers: Answers) -> None:
    """Each heartbeat is answered to the callback, and the number of threads does not grow."""
    mine = [leases.grant(20) for _ in range(50)]
    leases.keep_alive(mine[:1])
    wait_until(lambda: answers.seen)
    threads = threading.active_count()
    leases.keep_alive(mine)
    wait_until(lambda: {lease for lease, _ in answers.seen} == set(mine))
    assert all(ttl == 20 for _, ttl in answers.seen)
    assert threading.active_count() <= threads


def test_a_lease_that_is_gone_is_answered_with_zero(
    leases: LeaseRegistry, answers: Answers, calm_etcd: PrivateEtcd
) -> None:
    """A heartbeat for it says 0, a put with it says LeaseLost."""
    lease = leases.grant(30)
    calm_etcd.revoke(lease)
    leases.keep_alive([lease])
    wait_until(lambda: (lease, 0) in answers.seen)
    with pytest.raises(LeaseLost):
        leases.put("/reg/gone", b"1", lease)
    with pytest.raises(LeaseLost):
        leases.claim("/reg/gone", b"1", lease, nobody)


def test_an_absent_key_is_claimed_and_a_foreign_one_is_left_alone(leases: LeaseRegistry) -> None:
    """Somebody else's key stays as it is; our own is replaced."""
    lease, other = leases.grant(30), leases.grant(30)
    leases.claim("/reg/claimed", b"ours", lease, nobody)
    with pytest.raises(KeyTaken) as refused:
        leases.claim("/reg/claimed", b"theirs", other, nobody)
    assert "/reg/claimed" in str(refused.value)
    assert leases.get("/reg/claimed").value == b"ours"  # type: ignore[union-attr]
    leases.claim("/reg/claimed", b"ours again", lease, lambda there: there.lease == lease)
    assert leases.get("/reg/claimed").value == b"ours again"  # type: ignore[union-attr]
    leases.claim("/reg/claimed", b"ours again", lease, nobody)  # as after an unanswered try


def test_of_two_that_claim_at_once_one_wins(leases: LeaseRegistry) -> None:
    """The compare in the transaction decides, not the order of looking."""
    outcomes: list[str] = []

    def claim(name: str) -> None:
        try:
            leases.claim("/reg/race", name.encode(), leases.grant(30), nobody)
        except KeyTaken:
            outcomes.append("taken")
        else:
            outcomes.append("won")

    threads = [threading.Thread(target=claim, args=(str(n),)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["taken"] * 7 + ["won"]


def test_listing_and_deleting(leases: LeaseRegistry) -> None:
    """A prefix on path boundaries, with leases; delete says whether there was something."""
    lease = leases.grant(30)
    leases.put("/list/a", b"1", lease)
    leases.put("/list/b", b"2")
    leases.put("/lists", b"3")
    assert [(each.key, each.lease) for each in leases.list("/list")] == [
        ("/list/a", lease),
        ("/list/b", 0),
    ]
    assert leases.delete("/list/b")
    assert not leases.delete("/list/b")


def test_heartbeats_go_on_after_a_restart(tmp_path: Path, answers: Answers) -> None:
    """The stream that broke is opened again by the next heartbeat; the lease survived."""
    with PrivateEtcd(tmp_path) as etcd:
        leases = open_leases("etcd", SourceOptions(nodes=(etcd.endpoint,)), answers)
        lease = leases.grant(60)
        leases.keep_alive([lease])
        wait_until(lambda: answers.seen)
        etcd.restart()
        answers.seen.clear()
        wait_until(beats(leases, lease, answers))
        assert answers.seen[0][0] == lease
        assert answers.seen[0][1] > 0
        leases.close()


def test_heartbeats_leave_a_member_that_hangs(tmp_path: Path, answers: Answers) -> None:
    """A frozen member leaves heartbeats without an answer: another one is asked."""
    with PrivateCluster(tmp_path) as cluster:
        leases = open_leases("etcd", SourceOptions(nodes=tuple(cluster.endpoints)), answers)
        lease = leases.grant(60)
        leases.keep_alive([lease])
        wait_until(lambda: answers.seen)
        used = leases._heartbeats.link.endpoint.address  # type: ignore[attr-defined]
        frozen = next(each for each in cluster.members if each.endpoint == used)
        frozen.freeze()
        answers.seen.clear()
        took = Stopwatch()
        wait_until(beats(leases, lease, answers))
        assert took.within(12.0), took
        leases.close()
        frozen.thaw()


def beats(leases: LeaseRegistry, lease: int, answers: Answers) -> Callable[[], bool]:
    """A heartbeat every 0.2 s until one is answered."""

    def beat() -> bool:
        leases.keep_alive([lease])
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            if answers.seen:
                return True
            time.sleep(0.01)
        return False

    return beat


def test_a_call_without_etcd_is_an_error_in_time(answers: Answers) -> None:
    """Every call is bounded and names the address."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    leases = open_leases("etcd", SourceOptions(nodes=(address,)), answers)
    took = Stopwatch()
    with pytest.raises(SourceUnavailable, match=address):
        leases.grant(10)
    assert took.within(5.0), took
    took.restart()
    leases.close()
    assert took.within(1.0), took


def test_only_etcd_keeps_leases(answers: Answers) -> None:
    """Registration with files says what it needs."""
    with pytest.raises(SettingsError, match="keeps no leases"):
        open_leases("file", SourceOptions(), answers)


def test_the_status_names_every_endpoint(tmp_path: Path) -> None:
    """Version, leader and revision of those that answer, the error of those that do not."""
    with PrivateCluster(tmp_path) as cluster:
        cluster.members[0].put("/a", "1")
        for member in cluster.members[:2]:
            member.get("/a")  # needs a quorum: from now on this member too has the put
        cluster.members[2].kill()
        options = SourceOptions(nodes=tuple(cluster.endpoints))

        def settled() -> tuple[StoreStatus, ...]:
            """Once the two that are left have answered: an election may be under way."""
            states = etcd_status(options)
            return () if any(each.error for each in states[:2]) else states

        states = wait_until(settled, what="two members answer")
    assert [each.endpoint for each in states] == cluster.endpoints
    up = states[:2]
    assert all(each.version.startswith("3.") and each.revision >= 2 for each in up)
    assert {each.member for each in up} == {"m0", "m1"}
    assert sum(each.leader for each in up) <= 1
    assert "refused" in states[2].error
