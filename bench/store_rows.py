"""
What the store layer costs, beside the bare stub that does no more than it must:

    python -m bench --only store-list --only store-delivery --only store-alone
    python -m bench --only store-events --only store-storm

Each measurement is a process of its own (`python -m bench.store_probe`), so that what one leaves
in memory is no other's; rounds of the subjects alternate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from bench.measure import cpu_s, percentile
from bench.scenarios import Bench, Figure, _change_often
from bench.store import fill
from bench.subjects import PREFIX, Daemon, Subject
from pyconfd.backends.etcd.protobuf import load_grpc, message, method

BARE = "bare stub"
IDLE = "bare stub, no field read"
LISTED = 100_000


def listing(bench: Bench) -> list[Figure]:
    """CPU of listing many keys, the median of alternating rounds, and the mirror's memory."""
    name = f"list {LISTED} keys"
    fill(bench.etcd, 100, LISTED // 100)
    kinds = {IDLE: "list-idle", BARE: "list-bare", "pyconfd": "list"}
    found = _alternate(bench, kinds, bench.times(40) // 4 or 1, "cpu_ms")
    figures = [Figure(name, "CPU", "ms", who, percentile(all_ms, 50)) for who, all_ms in found]
    memory = _probe(bench, "memory")["bytes_per_key"]
    return [*figures, Figure(name, "mirror per key", "bytes", "pyconfd", memory)]


def delivery(bench: Bench) -> list[Figure]:
    """From just before a put to the message in another process, one at a time."""
    name = "put to message"
    fill(bench.etcd, 1, 10)
    puts = bench.times(100)
    kinds = {"bare watch": "watch-bare", "pyconfd": "watch"}
    taken: dict[str, list[float]] = {who: [] for who in kinds}
    for _ in range(bench.times(60) // 20 or 1):
        for who, kind in kinds.items():
            taken[who] += _deliveries(bench, kind, puts)
    figures = []
    for who, all_ms in taken.items():
        figures.append(Figure(name, "p50", "ms", who, percentile(all_ms, 50)))
        figures.append(Figure(name, "p99", "ms", who, percentile(all_ms, 99)))
    over_ms = percentile(taken["pyconfd"], 50) - percentile(taken["bare watch"], 50)
    return [*figures, Figure(name, "p50 over the bare watch", "ms", "pyconfd", over_ms)]


def _deliveries(bench: Bench, kind: str, puts: int) -> list[float]:
    """Milliseconds of each."""
    with subprocess.Popen(_argv(bench, kind), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "watching\n"
            found = []
            for number in range(puts):
                began_s = time.perf_counter()
                bench.etcd.put(f"{PREFIX}/0/key00000", f"{kind}-{number}")
                found.append((float(process.stdout.readline()) - began_s) * 1e3)
                time.sleep(0.01)
        finally:
            process.terminate()
    return found


def events(bench: Bench, how: str, write: Callable[[Bench, int], None]) -> list[Figure]:
    """CPU per event of a burst, up to the mirror and the resources that read what changed."""
    number = 10_000 if not bench.quick else 1_000
    name = f"{number} events {how}"
    fill(bench.etcd, 1000, 10)
    figures = []
    kinds = {"bare watch": "events-bare", "pyconfd, mirror and index": "events"}
    for who, kind in kinds.items():
        with subprocess.Popen(
            [*_argv(bench, kind), str(number)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "watching\n"
            write(bench, number)
            used_us = json.loads(process.stdout.readline())["cpu_ms"] * 1e3
        figures.append(Figure(name, "CPU per event", "us", who, used_us / number))
        share = used_us / number * 10_000 / 1e6 * 100
        figures.append(Figure(name, "at 10,000 a second", "% of a core", who, share))
    return figures


def _pair(number: int) -> tuple[str, str]:
    """Over all resources, then over their keys."""
    return f"{PREFIX}/{number % 1000}/key{number // 1000 % 10:05}", f"event-{number}"


def _together(bench: Bench, number: int) -> None:
    for start in range(0, number, 50):
        bench.etcd.put_many([_pair(each) for each in range(start, start + 50)])


def _apart(bench: Bench, number: int) -> None:
    """As fast as one client can: 64 puts under way at a time."""
    made, request = method("KV/Put"), message("PutRequest")
    with load_grpc().insecure_channel(bench.etcd.endpoint) as channel:
        put = channel.unary_unary(
            made.path,
            request_serializer=made.request.SerializeToString,
            response_deserializer=made.response.FromString,
        )
        under_way: deque[Any] = deque()
        for each in range(number):
            key, value = _pair(each)
            under_way.append(put.future(request(key=key.encode(), value=value.encode())))
            if len(under_way) > 64:
                under_way.popleft().result()
        for left in under_way:
            left.result()


def alone(bench: Bench) -> list[Figure]:
    """CPU of a change that one resource reads, among few and among many that do not."""
    name = "a change that one resource reads"
    puts = bench.times(300)
    subject = Subject("pyconfd")
    figures, used = [], {}
    for resources in (10, 1000):
        fill(bench.etcd, resources, 10)
        confdir = os.path.join(bench.folder, f"alone-{resources}")
        subject.prepare(confdir, resources)
        with Daemon(subject, confdir, bench.etcd.endpoint, resources) as process:
            rest_s, from_s = cpu_s(process), time.perf_counter()
            time.sleep(0.5 if bench.quick else 5.0)
            rest_share = (cpu_s(process) - rest_s) / (time.perf_counter() - from_s)
            from_s = time.perf_counter()
            _, used_s = _change_often(bench, confdir, process, 1, 10, puts)
            used_s -= rest_share * (time.perf_counter() - from_s)  # what it uses without changes
        used[resources] = used_s / puts * 1e3
        figures.append(Figure(name, f"CPU among {resources}", "ms", "pyconfd", used[resources]))
    return [*figures, Figure(name, "ratio", "", "pyconfd", used[1000] / used[10])]


def _alternate(
    bench: Bench, kinds: dict[str, str], rounds: int, value: str
) -> list[tuple[str, list[float]]]:
    found: dict[str, list[float]] = {who: [] for who in kinds}
    for _ in range(rounds):
        for who, kind in kinds.items():
            found[who].append(_probe(bench, kind)[value])
    return list(found.items())


def _probe(bench: Bench, kind: str) -> dict[str, float]:
    done = subprocess.run(_argv(bench, kind), capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _argv(bench: Bench, kind: str) -> Sequence[str]:
    return [sys.executable, "-m", "bench.store_probe", kind, bench.etcd.endpoint]


STORE_SCENARIOS: dict[str, Callable[[Bench], list[Figure]]] = {
    "store-list": listing,
    "store-delivery": delivery,
    "store-events": lambda bench: events(bench, "in transactions of 50", _together),
    "store-storm": lambda bench: events(bench, "one by one", _apart),
    "store-alone": alone,
}
