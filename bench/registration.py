"""
What registration costs and how fast it is: `python -m bench.registration [--rounds N] [--json]`.

A private etcd, a private nginx and `pyconfd --watch`; nothing of the machine is touched. Times are
from the event to what is named, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.edge import Backend, Edge
from tests.support.http import ask
from tests.support.register import registered
from tests.support.waiting import wait_until

MEMBERS = 1000


def members_file(folder: Path) -> Path:
    """A services file with a thousand members of a hundred services."""
    tables = (
        f'[[service]]\nname = "s{number % 100}"\naddress = "10.0.{number // 250}.{number % 250}:80"'
        for number in range(MEMBERS)
    )
    file = folder / "services.toml"
    file.write_text("ttl = 10\nno_check = true\n" + "\n".join(tables) + "\n")
    return file


def heartbeats(etcd: PrivateEtcd) -> float:
    """How many keep-alive messages the server has received."""
    text = ask(int(etcd.endpoint.rpartition(":")[2]), "/metrics").body
    wanted = r'^grpc_server_msg_received_total\{grpc_method="LeaseKeepAlive".*\} (\S+)$'
    return sum(float(number) for number in re.findall(wanted, text, re.MULTILINE))


def thousand(folder: Path, rest_s: float) -> dict[str, float]:
    """A thousand members in one process."""
    found: dict[str, float] = {}
    with PrivateEtcd(folder) as etcd:

        def there() -> bool:
            return len(etcd.all("/nginx")) == MEMBERS

        begun = time.monotonic()
        with registered(folder, etcd, ["--file", str(members_file(folder))]) as run:
            wait_until(there, 60)
            found["1000 members: start to last registration, ms"] = _ms(begun)
            process = psutil.Process(run.process.pid)
            time.sleep(1.0)
            before, beats, at = process.cpu_times(), heartbeats(etcd), time.monotonic()
            time.sleep(rest_s)
            after, span_s = process.cpu_times(), time.monotonic() - at
            used_s = after.user + after.system - before.user - before.system
            found["1000 members: memory, MB"] = process.memory_info().rss / 1e6
            found["1000 members: CPU at rest, ms per s"] = used_s * 1e3 / span_s
            found["1000 members: keep-alive messages per s"] = (heartbeats(etcd) - beats) / span_s
            etcd.wipe()
            begun = time.monotonic()
            wait_until(there, 60)
            found["1000 members: wiped etcd's return to last registration, ms"] = _ms(begun)
            begun = time.monotonic()
            run.end()
            found["1000 members: SIGTERM to exit, ms"] = _ms(begun)
    return found


def edge(folder: Path, rounds: int, kills: int) -> dict[str, float]:
    """Three backends behind nginx."""
    found: dict[str, float] = {}
    with Edge(folder) as running:
        one = running.backends[0]
        times = [_out(running, one.process.kill, lambda: _restart(one)) for _ in range(kills)]
        found |= _spread(f"kill -9 to removal in nginx, over {kills}", times)
        times = [
            _out(running, one.sick.touch, lambda: _heal(one, running)) for _ in range(kills // 5)
        ]
        found |= _spread("failing check (0.2 s, fall 2) to removal in nginx", times)
        with running.load() as load:
            for _ in range(rounds):
                for each in running.backends:
                    each.stop()
                    each.start()
        found[f"rolling restart of 3, {rounds} rounds: requests"] = len(load.seen)
        found[f"rolling restart of 3, {rounds} rounds: failed"] = len(load.failed)
    return found


def _restart(backend: Backend) -> None:
    backend.stop()
    backend.start()


def _heal(backend: Backend, running: Edge) -> None:
    backend.sick.unlink()
    _back(running)


def _workers(running: Edge) -> set[int]:
    master = psutil.Process(int((running.folder / "pid").read_text()))
    return {each.pid for each in master.children()}


def _out(running: Edge, act: object, undo: object) -> float:
    """Milliseconds from the act until new workers of nginx run without the member."""
    one = running.backends[0]
    before = _workers(running)
    begun = time.monotonic()
    act()  # type: ignore[operator]
    wait_until(lambda: not one.rendered() and _workers(running) - before)
    took = _ms(begun)
    undo()  # type: ignore[operator]
    return took


def _back(running: Edge) -> None:
    wait_until(running.backends[0].rendered)


def _spread(name: str, times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {f"{name}: p50, ms": cuts[49], f"{name}: p99, ms": cuts[98]}


def _ms(begun: float) -> float:
    return (time.monotonic() - begun) * 1e3


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rest", type=float, default=20.0, help="seconds of rest to measure")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        found = thousand(Path(one), given.rest) | edge(Path(two), given.rounds, given.kills)
    if given.json:
        print(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, value in found.items():
        print(f"{name:<{width}}  {value:10.1f}")


if __name__ == "__main__":
    main()
