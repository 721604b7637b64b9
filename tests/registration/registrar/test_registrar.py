"""The registrar with a store in memory: what stands in the store, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pyconfd.model.steps import CommandReport
from pyconfd.registration.declaration import Announcement, Declaration, announce
from pyconfd.registration.health import HealthRule
from pyconfd.registration.registrar.member import MemberPhase
from pyconfd.registration.registrar.notices import MemberChanged, Notice, RegistrarDied
from pyconfd.registration.registrar.probes import Machine, parse_check
from pyconfd.registration.registrar.registrar import Registrar
from pyconfd.testing.fake_leases import FakeLeases, FakeStore
from pyconfd.testing.fake_runner import FakeRunner
from tests.support.waiting import Stopwatch, wait_until

KEY = "/nginx/www/upstream/10.0.0.5:80"
FAST = HealthRule(interval_s=0.02, timeout_s=0.5, rise=1, fall=2)


# Ten seconds of leases and retries pass in one.
TIME_SCALE = 10.0
# What a busy machine may cost, in the same scaled seconds.
SLACK = 1.0


class FastClock:
    """
    Scaled seconds, in small steps: where this process stands still for a while, so does its time.
    Leases here last for a third of a second, which a busy machine may let pass without a turn.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fast clock")

    def __enter__(self) -> FastClock:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __call__(self) -> float:
        return self._now_s

    def _run(self) -> None:
        before_s = time.monotonic()
        while not self._over.wait(0.002):
            now_s = time.monotonic()
            self._now_s += min(now_s - before_s, 0.01) * TIME_SCALE
            before_s = now_s


class FakeMachine(Machine):
    """A machine whose load and files are what the test says."""

    def __init__(self) -> None:
        self.loaded = 0.0
        self.paths: set[str] = set()

    def load(self) -> float:
        return self.loaded

    def memory(self) -> float:
        return 0.5

    def exists(self, path: str) -> bool:
        return path in self.paths


class Bench:
    """A registrar, its store, its commands and what it reported."""

    def __init__(self, clock: FastClock) -> None:
        self.clock = clock
        self.store = FakeStore(clock=clock)
        self.runner = FakeRunner()
        self.machine = FakeMachine()
        self.notices: list[Notice] = []
        self.registrar = self.another()

    def another(self) -> Registrar:
        registrar = Registrar(
            lambda answered, broken: FakeLeases(self.store, answered),
            self.runner,
            self.notices.append,
            machine=self.machine,
            clock=self.clock,
            time_scale=TIME_SCALE,
        )
        registrar.start()
        return registrar

    def phases(self, key: str = KEY) -> list[str]:
        """The phases a member went through."""
        statuses = [each.status for each in self.notices if isinstance(each, MemberChanged)]
        phases = [str(each.phase) for each in statuses if each.key == key]
        return [each for number, each in enumerate(phases) if phases[number - 1 : number] != [each]]

    def why(self) -> str:
        """The reason of the first member's phase."""
        return "".join(each.why for each in self.registrar.statuses()[:1])


@pytest.fixture
def bench() -> Iterator[Bench]:
    with FastClock() as clock:
        bench = Bench(clock)
        yield bench
        assert bench.registrar.stop(60.0)
    assert not [each for each in bench.notices if isinstance(each, RegistrarDied)]


def member(address: str = "10.0.0.5:80", **declared: Any) -> Announcement:
    """An announcement of `www` with a TTL of a second."""
    return announce(
        Declaration(service="www", address=address, **{"ttl_s": 3, **declared}), address
    )


def test_a_member_is_put_kept_and_withdrawn(bench: Bench) -> None:
    """One put, no further event while it is kept alive beyond its TTL, one removal at the end."""
    bench.registrar.add(member())
    wait_until(lambda: bench.store.value(KEY) == "10.0.0.5:80")
    wait_until(lambda: bench.store.beats >= 4)
    assert bench.store.history == [("put", KEY)]
    assert bench.registrar.stop(60.0)
    assert bench.store.history == [("put", KEY), ("delete", KEY)]
    assert not bench.store.leases


def test_members_with_one_ttl_share_a_lease(bench: Bench) -> None:
    """As few leases as there are different TTLs, and one can go without the others."""
    for port in range(80, 90):
        bench.registrar.add(member(f"10.0.0.5:{port}"))
    bench.registrar.add(member("10.0.0.5:99", ttl_s=5))
    wait_until(lambda: len(bench.store.keys) == 11)
    assert len(bench.store.leases) == 2
    bench.registrar.remove(KEY)
    wait_until(lambda: bench.store.value(KEY) is None)
    assert len(bench.store.keys) == 10
    assert bench.registrar.stop(60.0)
    assert not bench.store.keys


def test_a_lost_lease_is_granted_again_and_everything_put_again(bench: Bench) -> None:
    """A wiped store has all members back within a heartbeat."""
    for port in range(80, 85):
        bench.registrar.add(member(f"10.0.0.5:{port}"))
    wait_until(lambda: len(bench.store.keys) == 5)
    bench.store.wipe()
    wait_until(lambda: len(bench.store.keys) == 5)
    assert len(bench.store.leases) == 1


def test_a_store_that_was_away_has_the_member_within_a_second(bench: Bench) -> None:
    """Away for longer than the TTL: our own clock gives the lease up, the return is seen soon."""
    bench.registrar.add(member())
    wait_until(lambda: bench.store.value(KEY))
    bench.store.go_away()
    wait_until(lambda: bench.phases()[-1:] == ["waiting"])
    bench.store.come_back()
    took = Stopwatch()
    wait_until(lambda: bench.store.value(KEY))
    assert took.within((1.0 + SLACK) / TIME_SCALE), took


def test_a_member_can_come_before_its_store(bench: Bench) -> None:
    """It keeps trying, and says what is wrong."""
    bench.store.go_away()
    bench.registrar.add(member())
    wait_until(lambda: "refused" in str(bench.notices))
    bench.store.come_back()
    wait_until(lambda: bench.store.value(KEY))


def test_a_removed_key_is_put_again(bench: Bench) -> None:
    """The store is compared with what should be there, once a TTL."""
    bench.registrar.add(member())
    wait_until(lambda: bench.store.value(KEY))
    bench.store.remove(KEY)
    wait_until(lambda: bench.store.value(KEY))


@pytest.mark.parametrize(
    ("value", "lease", "takeover", "ours"),
    [
        pytest.param(b"10.0.0.9:80", 5, False, False, id="another-address"),
        pytest.param(b"10.0.0.5:80", 0, False, False, id="put-by-hand"),
        pytest.param(b"10.0.0.5:80", 5, False, True, id="our-own-earlier-life"),
        pytest.param(b'{"addr":"10.0.0.5:80","weight":1}', 5, False, True, id="earlier-as-json"),
        pytest.param(b"10.0.0.9:80", 5, True, True, id="takeover"),
        pytest.param(b"10.0.0.5:80", 0, True, True, id="takeover-from-a-hand"),
    ],
)
def test_a_foreign_key_is_left_alone_and_reported(
    bench: Bench, value: bytes, lease: int, takeover: bool, ours: bool
) -> None:
    """Only what an earlier life of this very member has left is replaced without being asked to."""
    bench.store.put(KEY, value, lease)
    bench.registrar.add(member(takeover=takeover))
    wait_until(lambda: bench.phases()[-1:] == ["registered" if ours else "taken"])
    if not ours:
        assert bench.store.value(KEY) == value.decode()
        bench.store.remove(KEY)
        wait_until(lambda: bench.phases()[-1:] == ["registered"])


def test_a_newer_process_with_the_same_address_wins_and_does_not_fight(bench: Bench) -> None:
    """The old one steps back, does not remove the new one's key, and is there when it goes."""
    bench.registrar.add(member())
    wait_until(lambda: bench.store.value(KEY))
    newer = bench.another()
    newer.add(member())
    wait_until(lambda: "taken" in bench.phases())
    puts = bench.store.history.count(("put", KEY))
    assert puts == 2
    assert newer.stop(60.0)
    wait_until(lambda: bench.store.history.count(("put", KEY)) == 3)


def test_an_unhealthy_member_is_not_registered(bench: Bench) -> None:
    """It comes with `rise` passes and goes with `fall` failures."""
    bench.runner.default = 1
    bench.registrar.add(member(checks=(parse_check("exec:probe"),), rule=FAST))
    wait_until(lambda: len(bench.runner.commands) >= 3)
    assert bench.store.value(KEY) is None
    bench.runner.default = 0
    wait_until(lambda: bench.store.value(KEY))
    bench.runner.default = 1
    wait_until(lambda: bench.store.value(KEY) is None)
    assert "exit status 1" in bench.why()


def test_every_check_must_pass(bench: Bench) -> None:
    """One failing check of two is enough."""
    bench.runner.answers = {"two": 1}
    checks = (parse_check("exec:one"), parse_check("exec:two"))
    bench.registrar.add(member(checks=checks, rule=FAST))
    wait_until(lambda: bench.runner.commands.count("two") >= 3)
    assert bench.store.value(KEY) is None


def test_a_probe_that_breaks_counts_as_failed(bench: Bench) -> None:
    """A fault of ours in one probe neither stalls the member nor ends the thread."""

    def broken(text: str) -> CommandReport:
        raise LookupError("surprise")

    bench.runner.default = broken
    bench.registrar.add(member(checks=(parse_check("exec:probe"),), rule=FAST))
    wait_until(lambda: "LookupError: surprise" in bench.why())
    bench.runner.default = 0
    wait_until(lambda: bench.store.value(KEY))


def test_a_registrar_that_breaks_says_so() -> None:
    """Whoever runs it can start another one."""
    notices: list[Notice] = []

    def broken(answered: object, ended: object) -> FakeLeases:
        raise LookupError("surprise")

    registrar = Registrar(broken, FakeRunner(), notices.append)
    registrar.start()
    registrar.add(member())
    wait_until(lambda: RegistrarDied("LookupError: surprise") in notices)
    wait_until(lambda: not registrar.alive)


def test_before_must_succeed_at_every_return(bench: Bench) -> None:
    """It runs before the first registration and after a lost lease, and its failure keeps out."""
    bench.runner.answers = {"pull": 1}
    bench.registrar.add(member(before="pull"))
    wait_until(lambda: "exit status 1" in bench.why())
    assert bench.store.value(KEY) is None
    bench.runner.answers = {"pull": 0}
    wait_until(lambda: bench.store.value(KEY))
    ran = bench.runner.commands.count("pull")
    bench.store.wipe()
    wait_until(lambda: bench.store.value(KEY))
    assert bench.runner.commands.count("pull") == ran + 1


def test_after_withdraw_runs_when_the_key_is_gone(bench: Bench) -> None:
    """Also at the very end."""
    bench.registrar.add(member(after_withdraw="clean"))
    wait_until(lambda: bench.store.value(KEY))
    assert bench.registrar.stop(60.0)
    assert bench.runner.commands == ["clean"]


def test_maintenance_keeps_a_healthy_member_out(bench: Bench) -> None:
    """As long as the file is there."""
    bench.machine.paths.add("/run/maintenance")
    bench.registrar.add(member(maintenance_file="/run/maintenance"))
    wait_until(lambda: bench.why() == "maintenance")
    bench.machine.paths.clear()
    wait_until(lambda: bench.store.value(KEY))
    bench.machine.paths.add("/run/maintenance")
    wait_until(lambda: bench.store.value(KEY) is None)


def test_withdraw_all_waits_for_the_keys_to_be_gone(bench: Bench) -> None:
    """So that a drain can begin, and nothing comes back meanwhile."""
    for port in range(80, 85):
        bench.registrar.add(member(f"10.0.0.5:{port}"))
    wait_until(lambda: len(bench.store.keys) == 5)
    assert bench.registrar.withdraw_all("draining", 60.0)
    assert not bench.store.keys
    assert {each.why for each in bench.registrar.statuses()} == {"draining"}


def test_the_weight_follows_the_load(bench: Bench) -> None:
    """The key is rewritten without ever being absent, not more often than the interval."""
    bench.registrar.add(member(auto_weight=True, weight_interval_s=0.05))
    wait_until(lambda: '"weight":100' in (bench.store.value(KEY) or ""))
    bench.machine.loaded = 0.02
    bench.machine.loaded = 0.6
    wait_until(lambda: '"weight":40' in (bench.store.value(KEY) or ""))
    assert bench.store.history == [("put", KEY), ("put", KEY)]


def test_a_new_declaration_of_a_member_takes_the_place_of_the_old(bench: Bench) -> None:
    """The key is rewritten in place; another TTL moves it to another lease."""
    bench.registrar.add(member())
    wait_until(lambda: bench.store.value(KEY))
    bench.registrar.add(member(weight=7))
    wait_until(lambda: '"weight":7' in (bench.store.value(KEY) or ""))
    assert ("delete", KEY) not in bench.store.history
    bench.registrar.add(member(ttl_s=2))
    wait_until(lambda: bench.store.value(KEY) == "10.0.0.5:80")
    assert [each.ttl_s for each in bench.store.leases.values()] == [2]


def test_stop_is_bounded_when_the_store_is_away(bench: Bench) -> None:
    """The key is left to its TTL."""
    bench.registrar.add(member())
    wait_until(lambda: bench.store.value(KEY))
    bench.store.go_away()
    took = Stopwatch()
    bench.registrar.stop(0.5)
    assert took.within(1.0), took


def test_statuses_say_where_each_member_stands(bench: Bench) -> None:
    """For people and for the Python interface."""
    bench.registrar.add(member())
    wait_until(lambda: bench.registrar.statuses() and bench.registrar.statuses()[0].registered)
    status = bench.registrar.statuses()[0]
    assert replace(status, since=0.0, lease=0).key == KEY
    assert status.phase is MemberPhase.REGISTERED
    assert status.lease
