"""`pyconfd notify` as a child process, on a real etcd, with a test in the place of keepalived."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons.etcd import PrivateEtcd, frozen
from tests.support.pyconfd import Daemon
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


class Listener:
    """A running `pyconfd notify`, and the writing end of its pipe."""

    def __init__(self, folder: Path, etcd: PrivateEtcd, *more: str) -> None:
        self.fifo = folder / "fifo"
        self.etcd = etcd
        log = folder / f"notify-{len(list(folder.glob('notify-*')))}.log"
        argv = [sys.executable, "-m", "pyconfd", "notify", "keepalived", str(self.fifo)]
        argv += ["--node-name", "lb1", "--ttl", "2", "--node", etcd.endpoint, *more]
        with log.open("wb") as stream:
            process = subprocess.Popen(argv, stdout=stream, stderr=stream, start_new_session=True)
        self.daemon = Daemon(process, log)
        wait_until(self.fifo.exists, what="the pipe")
        self.writer = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)

    def say(self, *lines: str) -> None:
        """Write as keepalived does: a line at a time, never waiting."""
        for line in lines:
            os.write(self.writer, f"{line}\n".encode())

    def published(self, service: str) -> dict[str, Any]:
        """What stands under a service's key."""
        value = self.etcd.get(f"/keepalived/{service}/lb1")
        return json.loads(value) if value else {}

    def wait(self, service: str, state: str) -> dict[str, Any]:
        """Until this state is published."""
        found: Any = lambda: (p := self.published(service)).get("state") == state and p  # noqa: E731
        return dict(wait_until(found, what=f"{service} {state}"))


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[PrivateEtcd]:
    """An empty store."""
    with PrivateEtcd(tmp_path) as made:
        yield made


@contextlib.contextmanager
def listening(folder: Path, etcd: PrivateEtcd, *more: str) -> Iterator[Listener]:
    """Ended with SIGTERM."""
    made = Listener(folder, etcd, *more)
    try:
        yield made
    finally:
        os.close(made.writer)
        made.daemon.end()


def test_states_come_and_go_as_reported(tmp_path: Path, etcd: PrivateEtcd) -> None:
    """Each part under its own key and all under a lease; what is deleted goes; so does a stop."""
    with listening(tmp_path, etcd) as listener:
        listener.say('INSTANCE "VI_1" BACKUP 100', 'INSTANCE "VI_2" MASTER 150', "nonsense")
        assert listener.wait("VI_2", "MASTER")["priority"] == 150
        assert listener.wait("VI_1", "BACKUP")["was"] is None
        listener.say('INSTANCE "VI_1" MASTER 100', 'INSTANCE "VI_1" MASTER_PRIORITY 90')
        wait_until(lambda: listener.published("VI_1").get("priority") == 90, what="the priority")
        assert listener.wait("VI_1", "MASTER")["was"] == "BACKUP"
        listener.say('INSTANCE "VI_2" DELETED 150')
        wait_until(lambda: not listener.published("VI_2"), what="the end of VI_2")
        assert listener.published("VI_1")
    assert etcd.all("/keepalived") == {}


def test_of_fast_transitions_the_last_one_stays(tmp_path: Path, etcd: PrivateEtcd) -> None:
    """Also when the store was away while they came; who writes is never held up."""
    with listening(tmp_path, etcd) as listener:
        listener.say('INSTANCE "VI_1" BACKUP 100')
        listener.wait("VI_1", "BACKUP")
        with frozen(etcd):
            for _ in range(50):
                listener.say('INSTANCE "VI_1" MASTER 100', 'INSTANCE "VI_1" BACKUP 100')
            listener.say('INSTANCE "VI_1" FAULT 100')
            listener.daemon.wait_log("is FAULT")
        assert listener.wait("VI_1", "FAULT")["was"] == "BACKUP"


def test_a_writer_that_goes_without_a_stop_is_lost(tmp_path: Path, etcd: PrivateEtcd) -> None:
    """
    Its parts, but the one that had reported its stop. Where none has come at all, the log says what
    to do.
    """
    with listening(tmp_path, etcd) as listener:
        os.close(listener.writer)
        listener.daemon.wait(lambda: "no daemon has opened the pipe" in listener.daemon.log, "hint")
        listener.writer = os.open(listener.fifo, os.O_RDWR | os.O_NONBLOCK)
        listener.say('INSTANCE "VI_1" MASTER 100', 'INSTANCE "VI_2" STOP 100')
        listener.wait("VI_2", "STOP")
        os.close(listener.writer)
        listener.wait("VI_1", "LOST")
        listener.writer = os.open(listener.fifo, os.O_RDWR | os.O_NONBLOCK)
        assert listener.published("VI_2")["state"] == "STOP"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["keepalived"], "DAEMON and FIFO are needed"),
        (["nginx", "/f"], "unknown daemon"),
        (["keepalived", "/f", "--ttl", "0.2"], "a TTL of 0 seconds"),
        (["keepalived", "/f", "--key-pattern", "/k/{id}"], "has no {service}"),
        (["keepalived", "/f", "--node-name", "a/b"], "is no name of a node"),
    ],
)
def test_wrong_usage_is_reported(words: list[str], says: str) -> None:
    """Exit status 2, before anything is opened."""
    argv = [sys.executable, "-m", "pyconfd", "notify", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert says in done.stderr
