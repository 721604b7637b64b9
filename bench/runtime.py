"""
Changes of HAProxy's servers with a reload and at run time: `python -m bench.runtime [--changes N]`.

A private etcd, a private HAProxy with the files of the recipe, and a client that sends requests
without a pause. For each way so many changes of a weight, one after the other, and at each second
one a connection that stays: from just before the put, and from the new file being live, until
HAProxy itself shows the new weight, in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import tempfile
import time
from pathlib import Path

import psutil

from bench.measure import percentile
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.haproxy import CREDENTIALS, Haproxy, Member
from tests.support.load import SteadyLoad
from tests.support.recipes import laid_out
from tests.support.waiting import wait_until

RUNTIME = 'runtime = { by = "haproxy", socket = "/run/haproxy-master.sock" }\n'
LONG = dict.fromkeys(("hard_stop_after", "timeout_client", "timeout_http_request"), "600s")
SHOW = "@1 show servers state web"


def keys(haproxy: Haproxy, *members: Member) -> dict[str, str]:
    """Two members, no checks."""
    front = {"bind": f"127.0.0.1:{haproxy.port}", "default_backend": "web"}
    servers = {f"/haproxy/web/servers/{one.name}": one.address for one in members}
    return {
        "/haproxy/settings": json.dumps(LONG),
        "/haproxy/frontends/http_in": json.dumps(front),
        "/haproxy/web/settings": json.dumps({"check": False}),
        **servers,
    }


def lasting(port: int) -> socket.socket:
    """A connection that had one answer and stays open."""
    stream = socket.create_connection(("127.0.0.1", port), 10)
    stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    stream.recv(4096)
    return stream


def weight(haproxy: Haproxy) -> str:
    """That of the server a, as HAProxy runs it; "" while it does not answer."""
    rows = (line.split() for line in haproxy.tell(haproxy.master, SHOW).splitlines())
    return next((row[7] for row in rows if len(row) > 7 and row[3] == "a"), "")


def one_change(etcd: PrivateEtcd, haproxy: Haproxy, number: int) -> tuple[float, float]:
    """Milliseconds until it is in force: from the put, and from the rename of the new file."""
    begun_s = time.time()
    etcd.put("/haproxy/web/override/a", json.dumps({"weight": number}))
    while weight(haproxy) != str(number):
        if time.time() - begun_s > 60:
            raise TimeoutError(f"weight {number} was not seen within 60 s")
        time.sleep(0.001)
    now_s = time.time()
    return (now_s - begun_s) * 1e3, (now_s - haproxy.conf.stat().st_ctime) * 1e3


def memory_mib(master: int) -> float:
    """Of the master and all its workers, shared pages once."""
    family = [psutil.Process(master), *psutil.Process(master).children(recursive=True)]
    return sum(one.memory_full_info().pss for one in family) / 2**20


def measure(folder: Path, changes: int, *, at_run_time: bool) -> dict[str, float]:
    """All figures of one way."""
    haproxy = Haproxy(folder)
    haproxy.environ_file.write_text("".join(f"{k}={v}\n" for k, v in CREDENTIALS.items()))
    places = dict(haproxy.places)
    if not at_run_time:
        places[RUNTIME] = ""
    with PrivateEtcd(folder) as etcd, Member("a") as a, Member("b") as b:
        confdir = laid_out("haproxy", folder, places, "--node", etcd.endpoint)
        etcd.txn(list(keys(haproxy, a, b).items()))
        first = confdir.once("--sync-only")
        if first.returncode:
            raise RuntimeError(first.stderr)
        with haproxy.running(), confdir.daemon() as daemon:
            wait_until(lambda: "status: ok" in daemon.log, what="pyconfd")
            with contextlib.ExitStack() as stack:
                load = stack.enter_context(SteadyLoad(haproxy.port, "x", threads=1))
                took = []
                for number in range(changes):
                    if number % 2:
                        stack.enter_context(lasting(haproxy.port))
                    took.append(one_change(etcd, haproxy, 2 + number))
                put_ms, live_ms = zip(*took, strict=True)
                after = haproxy.process()
                found = {
                    "put to effect, p50, ms": percentile(put_ms, 50),
                    "put to effect, p99, ms": percentile(put_ms, 99),
                    "file live to effect, p50, ms": percentile(live_ms, 50),
                    "file live to effect, p99, ms": percentile(live_ms, 99),
                    "worker processes afterwards": float(len(after.workers) + after.leaving),
                    "memory of all of them, MiB": memory_mib(after.master),
                    "requests": float(len(load.seen)),
                }
            return {**found, "requests failed": float(len(load.failed))}


def main() -> None:
    """Measure both, and print them side by side."""
    parser = argparse.ArgumentParser(prog="python -m bench.runtime", description=__doc__)
    parser.add_argument("--changes", type=int, default=100)
    changes = parser.parse_args().changes
    ways = {}
    for name, at_run_time in (("reload", False), ("run time", True)):
        with tempfile.TemporaryDirectory() as folder:
            ways[name] = measure(Path(folder), changes, at_run_time=at_run_time)
    print(f"| {changes} changes of a weight | " + " | ".join(ways) + " |")
    print("|---|" + "---|" * len(ways))
    for row in ways["reload"]:
        print(f"| {row} | " + " | ".join(f"{way[row]:.1f}" for way in ways.values()) + " |")


if __name__ == "__main__":
    main()
