"""What waits, and for how long: hold_min, hold_max, min_reload_interval, guard_timeout on nginx."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.test_groups import Edge, reloads
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.pyconfd import Confdir, Daemon
from tests.support.waiting import Stopwatch

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def edge(tmp_path: Path, etcd: PrivateEtcd) -> Iterator[Edge]:
    """An edge that follows etcd, on a running nginx."""
    with LiveNginx(tmp_path / "nginx").running() as nginx:
        edge = Edge(tmp_path, nginx)
        edge.confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint)
        yield edge
    etcd.delete("/", prefix=True)


class Look:
    """Notes each content of a file and when it was first seen, while it is looked at."""

    def __init__(self, path: Path) -> None:
        self.seen: dict[str, float] = {}
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"look at {path.name}")

    def __enter__(self) -> Look:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        while not self._over.wait(0.005):
            if self._path.exists():
                self.seen.setdefault(self._path.read_text(), time.monotonic())


def times(daemon: Daemon, word: str) -> list[float]:
    """When the log says this, in seconds."""
    lines = [line for line in daemon.log.splitlines() if f" {word} " in line]
    return [datetime.fromisoformat(line.split(" ", 1)[0]).timestamp() for line in lines]


def has(path: Path, text: str) -> bool:
    """Whether the file exists and holds it."""
    return path.exists() and f'"{text}"' in path.read_text()


@pytest.mark.parametrize("name", ["hold_min", "debounce"])
def test_changes_are_waited_for_until_it_is_quiet(edge: Edge, etcd: PrivateEtcd, name: str) -> None:
    """Five changes in a row are one version and one reload, hold_min after the last one."""
    dest = edge.site("a", f'{name} = "2s"\n')
    etcd.put("/a/text", "0")
    with edge.confdir.daemon() as daemon:
        edge.nginx.wait_answer("a", "0")
        with Look(dest) as look:
            daemon.wait(lambda: look.seen, "a first look")
            for number in range(1, 6):
                last_s = time.monotonic()
                etcd.put("/a/text", str(number))
            daemon.wait(lambda: has(dest, "5"), "the last version")
            daemon.wait(lambda: len(look.seen) > 1, "a look at it")
        assert len(look.seen) == 2, "no version in between was live"
        assert max(look.seen.values()) - last_s >= 2.0
        edge.nginx.wait_answer("a", "5")
        daemon.wait(lambda: reloads(daemon.log) == 2, "one more reload")


def test_changes_that_never_end_are_not_waited_for_longer_than_hold_max(
    edge: Edge, etcd: PrivateEtcd
) -> None:
    """It is never quiet for hold_min, and still the file moves on."""
    dest = edge.site("a", 'hold_min = "1s"\nhold_max = "1500ms"\n')
    etcd.put("/a/text", "0")
    with edge.confdir.daemon() as daemon:
        edge.nginx.wait_answer("a", "0")
        with Look(dest) as look:
            daemon.wait(lambda: look.seen, "a first look")
            begun_s = before_s = time.monotonic()
            number, quiet_s = 0, 0.0
            while len(look.seen) < 3:
                number += 1
                etcd.put("/a/text", str(number))
                now_s = time.monotonic()
                quiet_s, before_s = max(quiet_s, now_s - before_s), now_s
                assert now_s - begun_s < 60, "the file never moves while changes go on"
                time.sleep(0.05)  # the stream of changes itself
        if quiet_s < 1.0:  # else this machine stood still, and it was quiet
            first = sorted(look.seen.values())[1]
            assert first - begun_s >= 1.4
        edge.nginx.wait_answer("a", str(number))


def test_the_first_reload_is_immediate_and_the_next_waits_for_a_second(
    edge: Edge, etcd: PrivateEtcd
) -> None:
    """The default of min_reload_interval with check = "nginx"; the files themselves do not wait."""
    dest = edge.site("a")
    etcd.put("/a/text", "0")
    took = Stopwatch()
    with edge.confdir.daemon() as daemon:
        edge.nginx.wait_answer("a", "0")
        daemon.wait(lambda: times(daemon, "reloaded"), "the first reload")
        spent_s = times(daemon, "reloaded")[0] - times(daemon, "updated")[0]
        assert spent_s * took.idle < 0.5, f"in one pass: {spent_s} s, {took}"
        etcd.put("/a/text", "1")
        daemon.wait(lambda: has(dest, "1"), "the file")
        daemon.wait(lambda: reloads(daemon.log) == 2, "the second reload")
        edge.nginx.wait_answer("a", "1")
        first, second = times(daemon, "reloaded")
        assert second - first >= 0.95
        assert times(daemon, "updated")[1] < second, "it was live before nginx was told"


def test_a_held_change_goes_through_when_guard_timeout_is_over(
    edge: Edge, etcd: PrivateEtcd
) -> None:
    """Not before, with the reason in the log until then; one whose keys return never goes."""
    names = "{% for key in ls('/a') %}\n# {{ key }}\n{% endfor %}\n"
    dest = edge.resource("a", names, f'{edge.nginx.toml}guard_timeout = "5s"\n')
    etcd.txn([("/a/one", "1"), ("/a/two", "2")])
    with edge.confdir.daemon() as daemon:
        daemon.wait_file(dest, "# one\n# two\n")
        daemon.wait(lambda: reloads(daemon.log) == 1, "the first reload")
        etcd.delete("/a/", prefix=True)
        daemon.wait_log("all 2 keys are gone")
        etcd.txn([("/a/one", "1"), ("/a/three", "3")])
        daemon.wait_file(dest, "# one\n# three\n")
        with Look(dest) as look:
            daemon.wait(lambda: look.seen, "a first look")
            before_s = time.monotonic()
            etcd.delete("/a/", prefix=True)
            daemon.wait_log("all 2 keys are gone", count=2)
            daemon.wait(lambda: "" in look.seen, "the held change")
        assert len(look.seen) == 2
        assert look.seen[""] - before_s >= 5.0
        daemon.wait(lambda: reloads(daemon.log) == 3, "its reload")
    assert edge.nginx.test() == ""
