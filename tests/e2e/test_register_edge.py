"""
The proof: three backends behind a real nginx under load, and what happens to them. After each
event every surviving member is back in rotation, and no request failed that one could have served.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.edge import HOST, Edge, loaded
from tests.support.load import SteadyLoad
from tests.support.waiting import PATIENCE_S, Stopwatch, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TTL_S = 3.0
ALL = {"b0", "b1", "b2"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, SteadyLoad]]:
    with loaded(tmp_path_factory.mktemp("edge")) as both:
        yield both


@pytest.fixture
def edge(running: tuple[Edge, SteadyLoad]) -> Edge:
    return running[0]


@pytest.fixture
def load(running: tuple[Edge, SteadyLoad]) -> Iterator[SteadyLoad]:
    """The load of all tests; each begins with its own count of failures."""
    load = running[1]
    load.seen.clear()
    yield load
    assert len(load.seen) > 50
    assert not load.failed, load.failed[:5]


def all_back(load: SteadyLoad, timeout_s: float = PATIENCE_S) -> None:
    """Every member answers requests that were sent from now on."""
    since = time.monotonic()
    wait_until(lambda: load.bodies_since(since) >= ALL, timeout_s, "not all members answer")


def test_a_rolling_restart(edge: Edge, load: SteadyLoad) -> None:
    """Withdrawn, drained, stopped, started, one after the other: nobody notices."""
    for _ in range(2):
        for each in edge.backends:
            assert each.stop() == 7
            assert not each.rendered()
            each.start()
    all_back(load)


def test_a_killed_backend(edge: Edge, load: SteadyLoad) -> None:
    """nginx tries the next one until the member is out, which is at once."""
    one = edge.backends[0]
    one.process.kill()
    took = Stopwatch()
    wait_until(lambda: not one.rendered())
    assert took.within(1.0), took
    assert one.stop() == 128 + signal.SIGKILL
    one.start()
    all_back(load)


def test_a_sick_backend(edge: Edge, load: SteadyLoad) -> None:
    """Out within interval x fall and half a second, and back when it is well."""
    one = edge.backends[1]
    one.sick.touch()
    took = Stopwatch()
    wait_until(lambda: not one.rendered())
    assert took.within(0.2 * 2 + 0.5), took
    one.sick.unlink()
    wait_until(one.rendered)
    all_back(load)


def test_a_stopped_backend(edge: Edge, load: SteadyLoad) -> None:
    """SIGSTOP for 3 x TTL: its port still accepts, but the check finds out."""
    one = edge.backends[2]
    one.process.suspend()
    stopped_at = time.monotonic()
    wait_until(lambda: not one.rendered())
    wait_until(lambda: time.monotonic() - stopped_at > 3 * TTL_S)
    one.process.resume()
    wait_until(one.rendered)
    all_back(load)


def test_a_stopped_registrar(edge: Edge, load: SteadyLoad) -> None:
    """SIGSTOP for 3 x TTL: the lease runs out, and comes back with it."""
    one = edge.backends[2]
    assert one.run is not None
    one.run.signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    wait_until(lambda: not one.rendered())
    wait_until(lambda: time.monotonic() - stopped_at > 3 * TTL_S)
    one.run.signal(signal.SIGCONT)
    wait_until(one.rendered)
    all_back(load)


def test_a_member_that_is_steered(edge: Edge, load: SteadyLoad) -> None:
    """Drained for everyone through etcd; a restart of the member does not undo it."""
    one = edge.backends[1]
    member = f"127.0.0.1:{one.port}"

    def say(*words: str) -> None:
        argv = [sys.executable, "-m", "pyconfd", "members", *words, "--node", edge.etcd.endpoint]
        subprocess.run(argv, check=True, timeout=60, capture_output=True)

    def down() -> bool:
        return f"{member} down;" in edge.sites.read_text()

    say("drain", HOST, member)
    wait_until(down)
    assert one.stop() == 7
    one.start(ready=down)
    wait_until(lambda: ALL - load.bodies_since(time.monotonic() - 0.3) == {one.name})
    say("weight", HOST, member, "3")
    say("up", HOST, member)
    wait_until(one.rendered)
    all_back(load)


def test_etcd_restarted(edge: Edge, load: SteadyLoad) -> None:
    """No member leaves the rotation."""
    before = edge.sites.read_text()
    edge.etcd.restart()
    wait_until(lambda: len(edge.etcd.all(f"/nginx/{HOST}/upstream")) == 3)
    until = time.monotonic() + 2 * TTL_S
    while time.monotonic() < until:
        assert edge.sites.read_text() == before
        time.sleep(0.05)
    all_back(load)


def test_etcd_away_for_twice_the_ttl(edge: Edge, load: SteadyLoad) -> None:
    """nginx keeps what it has; all members register again."""
    edge.etcd.kill()
    time.sleep(2 * TTL_S)  # the absence itself, not a wait for something
    edge.etcd.start()
    wait_until(lambda: len(edge.etcd.all(f"/nginx/{HOST}/upstream")) == 3)
    until = time.monotonic() + 1.5 * TTL_S
    while time.monotonic() < until:
        assert len(edge.etcd.all(f"/nginx/{HOST}/upstream")) == 3
        time.sleep(0.05)
    all_back(load)
