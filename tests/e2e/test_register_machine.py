"""Options of `pyconfd register` that are answered by the machine: its processes, network, load."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.register import backend, registered
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEtcd]:
    with PrivateEtcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


def value(etcd: PrivateEtcd, service: str) -> str:
    """What the one member of the service has published; "" while there is none."""
    return next((text.decode() for text in etcd.all(f"/nginx/{service}/upstream/").values()), "")


def test_the_port_on_which_a_process_listens(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """`pid:N`; the member goes when the process does."""
    port = free_ports(1)[0]
    with subprocess.Popen(backend(port)) as process:
        try:
            words = ["pid", f"pid:{process.pid}", "--interval", "0.2"]
            with registered(tmp_path, etcd, words) as run:
                run.wait(lambda: value(etcd, "pid") == f"127.0.0.1:{port}", "its port")
                process.kill()
                process.wait()
                run.wait(lambda: not value(etcd, "pid"), "its end")
        finally:
            process.kill()


def test_a_unix_socket(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """Published as it is written, once somebody listens."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with registered(tmp_path, etcd, ["unix", f"unix:{path}"]) as run:
            run.wait(lambda: value(etcd, "unix") == f"unix:{path}", "the socket's path")


def test_the_address_of_an_interface(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """In place of the one on the route to the store."""
    with registered(tmp_path, etcd, ["lo", ":81", "--interface", "lo", "--no-check"]) as run:
        run.wait(lambda: value(etcd, "lo") == "127.0.0.1:81", "the loopback address")


def test_memory_above_its_limit_keeps_it_out(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """The reason is said; a limit that is not reached does no harm."""
    words = ["full", "10.0.0.5:80", "--no-check", "--interval", "0.1", "--max-memory"]
    with registered(tmp_path, etcd, [*words, "0.001"]) as run:
        run.wait(lambda: "memory" in run.log, "the reason")
        assert not value(etcd, "full")
    with registered(tmp_path, etcd, [*words, "100", "--max-load", "100000"]) as run:
        run.wait(lambda: value(etcd, "full") == "10.0.0.5:80", "the member")


def test_the_weight_of_an_idle_or_busy_machine(etcd: PrivateEtcd, tmp_path: Path) -> None:
    """From 1 to what is said behind the colon."""
    with registered(tmp_path, etcd, ["w", "10.0.0.5:80", "--no-check", "--weight", "auto:20"]):
        wait_until(lambda: value(etcd, "w"))
        assert 1 <= json.loads(value(etcd, "w"))["weight"] <= 20
