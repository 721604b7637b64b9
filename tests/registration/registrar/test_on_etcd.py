"""The registrar on a real etcd: what the server holds after each kind of loss."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyconfd.cli.commands.register import opener
from pyconfd.model.source import SourceOptions
from pyconfd.registration.declaration import Announcement, Declaration, announce
from pyconfd.registration.registrar.notices import MemberChanged, Notice, RegistrarDied
from pyconfd.registration.registrar.registrar import Registrar
from pyconfd.testing.fake_runner import FakeRunner
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration

KEY = "/nginx/www/upstream/10.0.0.5:80"


class Bench:
    """A registrar of one etcd."""

    def __init__(self, etcd: PrivateEtcd, **options: Any) -> None:
        self.etcd = etcd
        self.notices: list[Notice] = []
        self.registrar = Registrar(
            opener(SourceOptions(nodes=(etcd.endpoint,), request_timeout_s=0.7, **options)),
            FakeRunner(),
            self.notices.append,
        )
        self.registrar.start()

    def there(self, key: str = KEY) -> bool:
        """Whether the key is in the store."""
        return self.etcd.get(key) is not None

    def phases(self) -> list[str]:
        """All phases told so far, of all members."""
        return [str(each.status.phase) for each in self.notices if isinstance(each, MemberChanged)]


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path) as server:
        yield server


@pytest.fixture
def bench(etcd: PrivateEtcd) -> Iterator[Bench]:
    bench = Bench(etcd)
    yield bench
    bench.registrar.stop(30.0)
    assert not [each for each in bench.notices if isinstance(each, RegistrarDied)]


def member(port: int = 80, **declared: Any) -> Announcement:
    """An announcement of `www`, by default with a TTL of two seconds."""
    address = f"10.0.0.5:{port}"
    return announce(
        Declaration(service="www", address=address, **{"ttl_s": 2, **declared}), address
    )


def test_no_key_event_while_it_is_kept_alive(bench: Bench) -> None:
    """Beyond several TTLs the store's revision does not move; stopping takes the key away."""
    bench.registrar.add(member(ttl_s=4))  # twice what a busy machine may hold a heartbeat up
    wait_until(bench.there)
    revision = bench.etcd.revision
    deadline = time.monotonic() + 9.0
    while time.monotonic() < deadline:
        assert bench.there()
        time.sleep(0.1)
    assert bench.etcd.revision == revision
    assert bench.registrar.stop(30.0)
    assert not bench.there()


def test_a_restart_of_etcd_leaves_the_key(bench: Bench) -> None:
    """Leases survive it; the member stays registered throughout."""
    bench.registrar.add(member(ttl_s=5))
    wait_until(bench.there)
    bench.etcd.kill()
    bench.etcd.start()
    assert bench.there()
    deadline = time.monotonic() + 7.0
    while time.monotonic() < deadline:
        assert bench.there()
        time.sleep(0.1)


def test_a_wiped_etcd_has_everything_again_within_a_second(bench: Bench) -> None:
    """Long before the next regular heartbeat of a lease of 30 seconds."""
    for port in range(80, 90):
        bench.registrar.add(member(port, ttl_s=30))
    wait_until(lambda: len(bench.etcd.all("/nginx")) == 10)
    bench.etcd.wipe()
    took = Stopwatch()
    wait_until(lambda: len(bench.etcd.all("/nginx")) == 10)
    assert took.within(1.5, 9.0), took


def test_etcd_away_for_longer_than_the_ttl(bench: Bench) -> None:
    """Our own clock gives the lease up; once etcd is back the key is too, within a second."""
    bench.registrar.add(member())
    wait_until(bench.there)
    bench.etcd.kill()
    wait_until(lambda: bench.phases()[-1] == "waiting")
    bench.etcd.start()
    took = Stopwatch()
    wait_until(lambda: bench.phases()[-1] == "registered")
    assert took.within(1.5), took
    assert bench.there()


def test_a_hung_etcd_for_longer_than_the_ttl(bench: Bench) -> None:
    """Frozen, it answers nothing and closes nothing; after it thaws the key is back."""
    bench.registrar.add(member())
    wait_until(bench.there)
    bench.etcd.freeze()
    try:
        wait_until(lambda: bench.phases()[-1] == "waiting")
    finally:
        bench.etcd.thaw()
    wait_until(lambda: bench.phases()[-1] == "registered")
    wait_until(bench.there)


def test_a_lease_that_somebody_revoked(bench: Bench) -> None:
    """The next heartbeat finds out, and a new one takes its place."""
    bench.registrar.add(member(ttl_s=6))  # it has not run out by then
    wait_until(bench.there)
    bench.etcd.revoke(bench.registrar.statuses()[0].lease)
    assert not bench.there()
    wait_until(bench.there)


def test_etcd_absent_at_start(tmp_path: Path) -> None:
    """It keeps trying, says what is wrong once, and registers when etcd comes."""
    etcd = PrivateEtcd(tmp_path)
    bench = Bench(etcd)
    try:
        bench.registrar.add(member())
        wait_until(lambda: "refused" in str(bench.notices).lower())
        with etcd:
            wait_until(lambda: bench.phases()[-1] == "registered")
            bench.registrar.stop(30.0)
    finally:
        bench.registrar.stop(1.0)


def test_a_wrong_password_is_said(etcd: PrivateEtcd) -> None:
    """The reason names the user, and nothing is registered."""
    etcd.enable_auth()
    bench = Bench(etcd, username="root", password="wrong")
    bench.registrar.add(member())
    wait_until(lambda: "root" in str(bench.notices))
    assert "wrong" not in str(bench.notices).replace("wrong password", "")
    bench.registrar.stop(1.0)


def test_a_thousand_members_over_one_connection(bench: Bench) -> None:
    """One lease for all; all are there, and one revocation takes them all away."""
    for port in range(1, 1001):
        bench.registrar.add(member(port, ttl_s=10))
    wait_until(lambda: len(bench.etcd.all("/nginx")) == 1000)
    assert len({each.lease for each in bench.registrar.statuses()} - {0}) == 1
    took = Stopwatch()
    assert bench.registrar.stop(30.0)
    assert took.within(2.0), took
    assert not bench.etcd.all("/nginx")
