"""The gunicorn example of docs/register.md, run by gunicorn itself on a real etcd."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.http import ask
from tests.support.repository import ROOT
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.integration
PAGE = ROOT / "docs" / "register.md"
SERVICE = "www.example.com"
APPLICATION = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def master(etcd: PrivateEtcd, tmp_path: Path, port: int) -> Iterator[psutil.Process]:
    """gunicorn with three workers and the page's own gunicorn.conf.py, on a port of its own."""
    found = re.findall(r"```python\n(# gunicorn\.conf\.py\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "gunicorn.conf.py").write_text(found[0].replace("10.0.0.5:8080", address(port)))
    (tmp_path / "shop.py").write_text(APPLICATION)
    argv = [sys.executable, "-m", "gunicorn", "--workers", "3", "--graceful-timeout", "2"]
    path = {"PYTHONPATH": str(ROOT)}  # an installed pyconfd needs none
    log = tmp_path / "gunicorn.log"
    with log.open("wb") as stream:
        process = psutil.Popen(
            [*argv, "shop:app"],
            cwd=tmp_path,
            env={**os.environ, "PYCONFD_NODE": etcd.endpoint, "HOME": str(tmp_path)} | path,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    family: list[psutil.Process] = []
    try:
        wait_until(lambda: member(etcd, port), what=str(log))
        family = process.children(recursive=True)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        _, left = psutil.wait_procs(family, 1)
        for each in left:
            each.kill()


def address(port: int) -> str:
    return f"127.0.0.1:{port}"


def member(etcd: PrivateEtcd, port: int) -> bytes | None:
    return etcd.get(f"/nginx/{SERVICE}/upstream/{address(port)}")


def answering(port: int) -> str:
    """The worker that answers."""
    return ask(port).text


def workers(master: psutil.Process) -> set[int]:
    """gunicorn's own children, without the process that keeps the registration."""
    found = set()
    for each in master.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # gone meanwhile, or a zombie
            if "register" not in each.cmdline():
                found.add(each.pid)
    return found


def test_workers_come_and_go_and_the_member_stays(
    etcd: PrivateEtcd, master: psutil.Process, port: int
) -> None:
    """One that is killed and all that a reload replaces cost no key event."""
    wait_until(lambda: len(workers(master)) == 3)
    first, revision = workers(master), etcd.revision
    assert member(etcd, port) == address(port).encode()
    os.kill(min(first), signal.SIGKILL)
    wait_until(lambda: len(workers(master) - {min(first)}) == 3)
    master.send_signal(signal.SIGHUP)
    wait_until(lambda: len(workers(master)) == 3 and not workers(master) & first)
    assert int(answering(port)) not in first
    assert etcd.revision == revision
    assert member(etcd, port)


def test_its_stop_withdraws_the_member(
    etcd: PrivateEtcd, master: psutil.Process, port: int
) -> None:
    """`on_exit` closes: the key is gone when gunicorn is, and so are all processes."""
    family = master.children(recursive=True)
    master.terminate()
    assert master.wait(60) == 0
    assert member(etcd, port) is None
    assert not psutil.wait_procs(family, 60)[1]


def test_a_master_that_is_killed_is_withdrawn_at_once(
    etcd: PrivateEtcd, master: psutil.Process, port: int
) -> None:
    """Its workers hold no part of the registration, so the key does not wait for them."""
    master.kill()
    master.wait(60)
    took = Stopwatch()
    wait_until(lambda: member(etcd, port) is None)
    assert took.within(1.0), took
