"""
The console before a large fleet: the first page, and how late an event is.

    python -m bench.console [--nodes 1000] [--members 10000]

Prints milliseconds. Targets: a page within 300 ms, an event within 200 ms after etcd has it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Sequence

from bench.store import private_etcd
from pyconfd.fleet.records import FleetPaths, version_value
from pyconfd.reconcile.turns import Version
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.waiting import wait_until

_PATHS = FleetPaths("edges")
_TIMES = 20


def _records(nodes: int, members: int) -> dict[str, str]:
    proved = version_value(Version("v1", 10)).decode()
    found = {}
    for number in range(nodes):
        name = f"web{number:04}"
        rollout = {"phase": "settled", "held": "", "halted": False, "bad": "", "revision": 10}
        record = {
            "version": "1.0", "host": name, "since": "2026-03-01T12:00:00Z", "kind": "ok",
            "line": "ok: 1 resource at revision 10", "revision": 10, "reads": ["/nginx"],
            "services": {"edge": {"reload": "ok", "rollout": rollout}},
        }  # fmt: skip
        found[_PATHS.node(name)] = json.dumps(record)
        found[_PATHS.of("edge", "nodes", name)] = proved
    for number in range(members):
        value = {"addr": f"10.0.{number // 250}.{number % 250}:80", "weight": 10}
        found[f"/nginx/www{number % 40}/upstream/m{number:05}"] = json.dumps(value)
    return found


def _page(address: str) -> tuple[float, str]:
    """How long it took in seconds, and its text."""
    begun_s = time.monotonic()
    with urllib.request.urlopen(address, timeout=30) as answer:
        text = answer.read().decode()
    return time.monotonic() - begun_s, text


def _events(address: str, etcd: PrivateEtcd) -> list[float]:
    """From when etcd has a member to when a browser has it, in seconds."""
    found = []
    with urllib.request.urlopen(f"{address}events", timeout=30) as stream:
        _until(stream, b"m00000")
        for number in range(_TIMES):
            value = f"10.9.9.9:{10_000 + number}"
            etcd.put("/nginx/www0/upstream/m00000", value)
            begun_s = time.monotonic()
            _until(stream, value.encode())
            found.append(time.monotonic() - begun_s)
            time.sleep(0.3)
    return found


def _until(lines: Iterable[bytes], text: bytes) -> None:
    next(line for line in lines if text in line)


def _print(name: str, spans_s: Sequence[float]) -> None:
    milliseconds = sorted(1000 * each for each in spans_s)
    middle = statistics.median(milliseconds)
    sys.stdout.write(f"{name}: p50 {middle:.0f} ms, most {milliseconds[-1]:.0f} ms\n")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--members", type=int, default=10_000)
    wanted = parser.parse_args()
    with private_etcd() as (etcd, _):
        etcd.put_many(list(_records(wanted.nodes, wanted.members).items()))
        argv = [
            *(sys.executable, "-m", "pyconfd", "console", "edges", "--listen", "127.0.0.1:0"),
            *("--node", etcd.endpoint),
        ]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                address = re.search(r"http://\S+", process.stdout.readline())
                assert address
                members = f'Members <span class="count">{wanted.members}<'
                wait_until(lambda: members in _page(address[0])[1], 60, members)
                pages = [_page(f"{address[0]}?members={n}")[0] for n in range(2, _TIMES)]
                _print("page", pages)
                _print("event", _events(address[0], etcd))
            finally:
                process.terminate()
                process.wait(20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
