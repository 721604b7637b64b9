"""`pyconfd.register` on a real etcd: from a program that forks, crashes, or just ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

import pyconfd
from pyconfd.errors import RegistrationError
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.repository import ROOT
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(autouse=True)
def empty(etcd: PrivateEtcd) -> None:
    wait_until(lambda: not etcd.all("/nginx"))


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python program of its own, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_registered_within_the_block_and_withdrawn_after_it(etcd: PrivateEtcd) -> None:
    """The state says where it stands."""
    with pyconfd.register("www", "10.0.0.5:80", check=(), node=etcd.endpoint, weight=3) as member:
        assert member.wait(60)
        assert (member.state, member.reason) == ("registered", "")
        assert member.key == "/nginx/www/upstream/10.0.0.5:80"
        assert b'"weight":3' in (etcd.get(member.key) or b"")
        member.withdraw("a new release")
        wait_until(lambda: member.state == "waiting")
        assert member.reason == "a new release"
        assert etcd.get(member.key) is None
        member.restore()
        assert member.wait(60)
    assert member.state == "closed"
    assert not etcd.all("/nginx")
    member.close()


def test_not_healthy_is_not_registered(etcd: PrivateEtcd) -> None:
    """By default the address must accept connections; the reason says that it does not."""
    port = free_ports(1)[0]
    with pyconfd.register("www", f"127.0.0.1:{port}", node=etcd.endpoint) as member:
        assert not member.wait(1.0)
        wait_until(lambda: "Connection refused" in member.reason)
        assert member.state == "waiting"


@pytest.mark.parametrize(
    ("service", "address", "more"),
    [
        ("a/b", "1.2.3.4:80", {}),
        ("www", "1.2.3.4", {}),
        ("www", "1.2.3.4:80", {"ttl": 0}),
        ("www", "1.2.3.4:80", {"check": "htp:/"}),
        ("www", "1.2.3.4:80", {"key": "/x"}),
    ],
)
def test_what_is_wrong_is_raised_at_once(
    service: str, address: str, more: dict[str, object]
) -> None:
    """Before anything is started."""
    with pytest.raises(RegistrationError):
        pyconfd.register(service, address, **more)  # type: ignore[arg-type]


def test_a_program_that_is_killed_is_withdrawn_at_once(etcd: PrivateEtcd) -> None:
    """The end of the pipe is noticed long before the TTL, also with SIGKILL."""
    script = """
        import sys, time, pyconfd
        member = pyconfd.register("www", "10.0.0.5:80", check=(), ttl=60, node=sys.argv[1])
        print(member.wait(60), flush=True)
        time.sleep(60)
    """
    with start(script, etcd.endpoint) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "True\n"
        program.send_signal(signal.SIGKILL)
        program.wait()
        took = Stopwatch()
        wait_until(lambda: not etcd.all("/nginx"))
        assert took.within(1.0), took


PREFORK = """
    # As gunicorn does it: `when_ready` in the master, then workers by fork.
    import os, signal, sys, pyconfd
    def when_ready():
        member = pyconfd.register("www", "10.0.0.5:80", check=(), node=sys.argv[1])
        member.wait(60)
        return member
    def worker(member):
        assert member.state == "closed", member.state
        member.close()
        sys.stdin.readline()
        sys.exit(0)
    member = when_ready()
    workers = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            worker(member)
        workers.append(pid)
    print(*workers, flush=True)
    os.waitpid(workers[0], 0)
    print(member.state, flush=True)
    signal.sigwait([signal.SIGUSR1])
    member.close()
    for pid in workers[1:]:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    print("done", flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGUSR1, signal.SIGKILL])
def test_a_server_that_forks_its_workers(etcd: PrivateEtcd, end: signal.Signals) -> None:
    """Workers that come and go do not touch the member; the master's end does, in any way."""
    with start("import signal; signal.pthread_sigmask(0, {10})\n" + textwrap.dedent(PREFORK),
               etcd.endpoint) as master:  # fmt: skip
        assert master.stdin is not None and master.stdout is not None
        workers = [int(word) for word in master.stdout.readline().split()]
        os.kill(workers[0], signal.SIGKILL)
        assert master.stdout.readline() == "registered\n"
        assert etcd.all("/nginx")
        master.send_signal(end)
        wait_until(lambda: not etcd.all("/nginx"))
        if end is signal.SIGUSR1:
            assert master.stdout.readline() == "done\n"
        else:
            for pid in workers[1:]:
                os.kill(pid, signal.SIGKILL)
        master.wait()


def test_port_auto_is_the_port_of_this_program(etcd: PrivateEtcd) -> None:
    """Found once it listens."""
    script = """
        import socket, sys, pyconfd
        member = pyconfd.register("www", "port:auto", node=sys.argv[1])
        server = socket.create_server(("127.0.0.1", 0))
        print(server.getsockname()[1], flush=True)
        print(member.wait(60), member.key, flush=True)
        member.close()
    """
    with start(script, etcd.endpoint) as program:
        assert program.stdout is not None
        port = program.stdout.readline().strip()
        assert program.stdout.readline() == f"True /nginx/www/upstream/127.0.0.1:{port}\n"
        assert program.wait(60) == 0
