"""
A daemon ended at random moments under a stream of changes: thirty times killed, nine times asked.

The exhaustive proof, a kill at every system call, is in tests/faults/test_interruption.py;
this one has the real process with its threads, its journal, its start and a real etcd.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Confdir, Daemon
from tests.support.steps import strays_in

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KILLS = 30
STOPS = 9
LINES = 1000


class Stream:
    """Puts both keys of a pair in one transaction, again and again, while it is not paused."""

    def __init__(self, etcd: PrivateEtcd) -> None:
        self._etcd = etcd
        self._go = threading.Event()
        self._idle = threading.Event()
        self._over = False
        self.number = 0
        self._thread = threading.Thread(target=self._run, name="stream of changes")
        self._thread.start()

    def put(self, number: int) -> None:
        """Both keys at once."""
        self._etcd.put_many([("/app/a", str(number)), ("/app/b", str(number))])

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        """Changes come; afterwards none is under way."""
        self._idle.clear()
        self._go.set()
        try:
            yield
        finally:
            self._go.clear()
            assert self._idle.wait(60)

    def end(self) -> None:
        self._over = True
        self._go.set()
        self._thread.join(60.0)

    def _run(self) -> None:
        while not self._over:
            if not self._go.is_set():
                self._idle.set()
                self._go.wait()
                continue
            self.number += 1
            self.put(self.number)
            time.sleep(0.001)


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path / "etcd") as server:
        yield server


def kill(daemon: Daemon) -> None:
    """
    SIGKILL, and to the commands that it runs as well, as systemd does it: stopped first, so that
    it cannot start another one between the look and the kill.
    """
    daemon.signal(signal.SIGSTOP)
    commands = psutil.Process(daemon.process.pid).children(recursive=True)
    daemon.process.kill()
    for command in commands:
        with contextlib.suppress(psutil.NoSuchProcess):
            command.kill()
    daemon.process.wait()


def whole(path: Path) -> int:
    """The number that the file was made of; it is complete and of one moment."""
    found = path.read_text().splitlines()
    assert len(found) == LINES
    assert len(set(found)) == 1, "a torn file"
    one, other = found[0].split("-")
    assert one == other, "halves of a transaction"
    return int(one)


def look_for(span_s: float, live: Path) -> None:
    """Look at the file for so long, as a service might at any moment."""
    deadline = time.monotonic() + span_s
    while time.monotonic() < deadline:
        if live.exists():
            whole(live)
        time.sleep(0.001)


@pytest.fixture
def confdir(etcd: PrivateEtcd, tmp_path: Path) -> Confdir:
    """A large file, and a service that keeps a copy of its own of what it was told of."""
    confdir = Confdir(tmp_path / "confdir", "--node", etcd.endpoint)
    confdir.template(
        "app.j2",
        f"{{% for _ in range({LINES}) %}}\n"
        "{{ getv('/app/a') }}-{{ getv('/app/b') }}\n{% endfor %}\n",
    )
    # The copy is made whole, and after a moment in which a kill may come.
    confdir.resource(
        "app",
        '[template]\nsrc="app.j2"\ndest="@OUT@/app"\nkeys=["/app"]\n'
        'reload_cmd="sleep 0.01; cp @OUT@/app @OUT@/next && mv @OUT@/next @OUT@/told"\n',
    )
    return confdir


@pytest.fixture
def stream(etcd: PrivateEtcd) -> Iterator[Stream]:
    stream = Stream(etcd)
    stream.put(0)
    yield stream
    stream.end()


def test_sigkill_tears_nothing_and_leaves_and_forgets_nothing(
    confdir: Confdir, stream: Stream
) -> None:
    """
    After each kill the store is set back to what is live, so that nothing but the debt in the
    journal can bring about a reload that the killed run did not live to see.
    """
    live, told = confdir.out / "app", confdir.out / "told"
    chance = random.Random(20261121)
    owed = 0
    for number in range(KILLS):
        before = whole(live) if live.exists() else 0
        stream.put(before)
        owing = number > 0 and whole(told) != before
        owed += owing
        with confdir.daemon() as daemon:
            if number % 3 == 2:  # while it starts
                with stream.flowing():
                    look_for(chance.uniform(0.1, 0.6), live)
                    kill(daemon)
                continue
            daemon.wait_log("listed the store")
            daemon.wait(
                lambda now=before: told.exists() and whole(told) == whole(live) == now,
                f"the reload owed after kill {number}" if owing else "the first state",
            )
            assert strays_in(confdir.out) == []
            with stream.flowing():
                daemon.wait(lambda now=before: whole(live) != now, "a change")
                look_for(chance.uniform(0.0, 0.1), live)
                kill(daemon)
    stream.put(whole(live))
    done = confdir.once()
    assert done.returncode == 0, done.stderr
    assert whole(told) == whole(live)
    assert strays_in(confdir.out) == []
    assert owed >= 3, "some of the kills came between a swap and its reload"


def test_sigterm_at_any_moment_leaves_a_service_that_was_told(
    confdir: Confdir, stream: Stream
) -> None:
    """What is swapped is told before the end; exit 0, whole files, no strays."""
    live, told = confdir.out / "app", confdir.out / "told"
    chance = random.Random(20261121)
    for number in range(STOPS):
        with confdir.daemon() as daemon, stream.flowing():
            if number % 3 != 2:  # the third ends while it starts, perhaps before it has handlers
                daemon.wait_log("updated")
            look_for(chance.uniform(0.0, 0.1 if number % 3 != 2 else 0.6), live)
            assert daemon.end() in ((0,) if number % 3 != 2 else (0, -signal.SIGTERM))
        if live.exists():
            assert whole(told) == whole(live)
        assert strays_in(confdir.out) == []
        assert "Traceback" not in daemon.log
