"""
Changes of HAProxy's and Apache's members with a reload and at run time:
`python -m bench.runtime [--changes N]`.

A private etcd, a private daemon with the files of its recipe, and a client that sends requests
without a pause. For each way so many changes of a weight, one after the other, and at each second
one a connection that stays: from just before the put, and from the new file being live, until the
daemon itself shows the new weight, in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import tempfile
import time
from pathlib import Path
from typing import Protocol

import psutil

from bench.measure import percentile
from tests.support.daemons.apache import INCLUDES, PrivateApache
from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.haproxy import CREDENTIALS, Haproxy, Member
from tests.support.http import ask
from tests.support.load import SteadyLoad
from tests.support.pyconfd import Confdir
from tests.support.recipes import laid_out
from tests.support.waiting import wait_until

LONG = dict.fromkeys(("hard_stop_after", "timeout_client", "timeout_http_request"), "600s")
SHOW = "@1 show servers state web"
MODULES = ("slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests")


class Balancer(Protocol):
    """
    A daemon of its own with the files of its recipe.

    recipe, override: the recipe's name, and the key that has the weight of the member a.
    port, host: where it answers.
    live: the file that is rendered.
    places: what is on another place here than the recipe says.
    """

    recipe: str
    override: str
    port: int
    host: str
    live: Path
    places: dict[str, str]

    def keys(self, *members: Member) -> dict[str, str]:
        """Two members, no checks."""

    def running(self) -> contextlib.AbstractContextManager[object]:
        """Started with the file that is there."""

    def weight(self) -> str:
        """That of the member a, as the daemon runs it; "" while it does not answer."""

    def process(self) -> psutil.Process:
        """The first of its processes."""

    def workers(self) -> int:
        """How many worker processes there are, old ones that do not end among them."""


class HaproxyBalancer:
    """HAProxy with the recipe haproxy."""

    recipe, override, host = "haproxy", "/haproxy/web/override/a", "x"

    def __init__(self, folder: Path) -> None:
        self._haproxy = Haproxy(folder)
        environ = "".join(f"{name}={text}\n" for name, text in CREDENTIALS.items())
        self._haproxy.environ_file.write_text(environ)
        self.port, self.live = self._haproxy.port, self._haproxy.conf
        self.places = self._haproxy.places

    def keys(self, *members: Member) -> dict[str, str]:
        front = {"bind": f"127.0.0.1:{self.port}", "default_backend": "web"}
        servers = {f"/haproxy/web/servers/{one.name}": one.address for one in members}
        return {
            "/haproxy/settings": json.dumps(LONG),
            "/haproxy/frontends/http_in": json.dumps(front),
            "/haproxy/web/settings": json.dumps({"check": False}),
            **servers,
        }

    def running(self) -> contextlib.AbstractContextManager[object]:
        return self._haproxy.running()

    def weight(self) -> str:
        shown = self._haproxy.tell(self._haproxy.master, SHOW)
        rows = (line.split() for line in shown.splitlines())
        return next((row[7] for row in rows if len(row) > 7 and row[3] == "a"), "")

    def process(self) -> psutil.Process:
        return psutil.Process(self._haproxy.process().master)

    def workers(self) -> int:
        now = self._haproxy.process()
        return len(now.workers) + now.leaving


class ApacheBalancer:
    """Apache with the recipe apache-balancer."""

    recipe, override, host = "apache-balancer", "/balancer/web/override/a", "x"

    def __init__(self, folder: Path) -> None:
        # connections that stay wait for a request for so long
        body = f"Timeout 600\nKeepAliveTimeout 600\n{INCLUDES}"
        self._apache = PrivateApache(folder / "apache", body, modules=MODULES)
        self.port = self._apache.port
        self.live = self._apache.folder / "sites-enabled" / "pyconfd-balancer-web.conf"
        self._manager = free_ports(1)[0]
        self.places = self._apache.words(self._manager)

    def keys(self, *members: Member) -> dict[str, str]:
        settings = {"server_name": "x", "listen": self._apache.address}
        servers = {f"/balancer/web/members/{one.name}": one.address for one in members}
        return {"/balancer/web/settings": json.dumps(settings), **servers}

    def running(self) -> contextlib.AbstractContextManager[object]:
        return self._apache.running()

    def weight(self) -> str:
        shown = ask(self._manager, "/balancer-manager", f"x:{self._manager}").body
        found = re.search(r"<td>a</td><td></td><td>([0-9]+)\.00</td>", shown)
        return found[1] if found else ""

    def process(self) -> psutil.Process:
        assert self._apache.process is not None
        return psutil.Process(self._apache.process.pid)

    def workers(self) -> int:
        return len(self.process().children())


def lasting(port: int, host: str) -> socket.socket:
    """A connection that had one answer and stays open."""
    stream = socket.create_connection(("127.0.0.1", port), 10)
    stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    stream.recv(4096)
    return stream


def one_change(etcd: PrivateEtcd, balancer: Balancer, number: int) -> tuple[float, float]:
    """Milliseconds until it is in force: from the put, and from the rename of the new file."""
    begun_s = time.time()
    etcd.put(balancer.override, json.dumps({"weight": number}))
    while balancer.weight() != str(number):
        if time.time() - begun_s > 60:
            raise TimeoutError(f"weight {number} was not seen within 60 s")
        time.sleep(0.001)
    now_s = time.time()
    return (now_s - begun_s) * 1e3, (now_s - balancer.live.stat().st_ctime) * 1e3


def memory_mib(first: psutil.Process) -> float:
    """Of a process and all below it, shared pages once."""
    family = [first, *first.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in family) / 2**20


def without_runtime(confdir: Confdir) -> None:
    """Each change is a reload."""
    for path in (confdir.folder / "conf.d").iterdir():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("runtime = ")))


def measure(
    balancer: Balancer, folder: Path, changes: int, *, at_run_time: bool
) -> dict[str, float]:
    """All figures of one way."""
    with PrivateEtcd(folder) as etcd, Member("a") as a, Member("b") as b:
        confdir = laid_out(balancer.recipe, folder, balancer.places, "--node", etcd.endpoint)
        if not at_run_time:
            without_runtime(confdir)
        etcd.txn(list(balancer.keys(a, b).items()))
        first = confdir.once("--sync-only")
        if first.returncode:
            raise RuntimeError(first.stderr)
        with balancer.running(), confdir.daemon() as daemon:
            wait_until(lambda: "status: ok" in daemon.log, what="pyconfd")
            with contextlib.ExitStack() as stack:
                load = stack.enter_context(SteadyLoad(balancer.port, balancer.host, threads=1))
                took = []
                for number in range(changes):
                    if number % 2:
                        stack.enter_context(lasting(balancer.port, balancer.host))
                    took.append(one_change(etcd, balancer, 2 + number % 99))
                put_ms, live_ms = zip(*took, strict=True)
                found = {
                    "put to effect, p50, ms": percentile(put_ms, 50),
                    "put to effect, p99, ms": percentile(put_ms, 99),
                    "file live to effect, p50, ms": percentile(live_ms, 50),
                    "file live to effect, p99, ms": percentile(live_ms, 99),
                    "worker processes afterwards": float(balancer.workers()),
                    "memory of all of them, MiB": memory_mib(balancer.process()),
                    "requests": float(len(load.seen)),
                }
            return {**found, "requests failed": float(len(load.failed))}


def main() -> None:
    """Measure both daemons both ways, and print them side by side."""
    parser = argparse.ArgumentParser(prog="python -m bench.runtime", description=__doc__)
    parser.add_argument("--changes", type=int, default=100)
    changes = parser.parse_args().changes
    ways: dict[str, dict[str, float]] = {}
    for name, make in (("HAProxy", HaproxyBalancer), ("Apache", ApacheBalancer)):
        for way, at_run_time in (("reload", False), ("run time", True)):
            with tempfile.TemporaryDirectory() as text:
                folder = Path(text)
                balancer: Balancer = make(folder)
                found = measure(balancer, folder, changes, at_run_time=at_run_time)
                ways[f"{name}, {way}"] = found
    print(f"| {changes} changes of a weight | " + " | ".join(ways) + " |")
    print("|---|" + "---|" * len(ways))
    for row in next(iter(ways.values())):
        print(f"| {row} | " + " | ".join(f"{way[row]:.1f}" for way in ways.values()) + " |")


if __name__ == "__main__":
    main()
