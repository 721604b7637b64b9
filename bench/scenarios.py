"""
What is measured. `RxK` is R resources, each with K keys below a prefix of its own.

Each scenario gives rows: (figure, unit, value) by subject. All subjects of a scenario run one
after the other in the same run, so ratios between them mean something; figures of different runs
or machines do not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from bench.measure import Run, Swaps, cpu_s, peak_mib, percentile, run
from bench.store import Floor, fill
from bench.subjects import PREFIX, Daemon, Subject
from tests.support.daemons.etcd import PrivateEtcd


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. better: always the lower one."""

    scenario: str
    figure: str
    unit: str
    subject: str
    value: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What every scenario needs. quick: a fraction of the repetitions, to see that it works."""

    etcd: PrivateEtcd
    folder: str
    subjects: Sequence[Subject]
    quick: bool = False

    def times(self, number: int) -> int:
        """How often to repeat what is worth repeating `number` times."""
        return max(2, number // 20) if self.quick else number

    def confdir(self, subject: Subject) -> str:
        """A folder for one subject."""
        return os.path.join(self.folder, subject.name.replace(" ", "-").replace(",", ""))


def one_shot(bench: Bench, resources: int, keys: int, repeats: int) -> list[Figure]:
    """A one-shot run that writes every file: wall, CPU and peak memory, the median run."""
    name = f"one-shot {resources}x{keys}"
    fill(bench.etcd, resources, keys)
    found = []
    for subject in bench.subjects:
        memory_mib = _peak(bench, subject, resources)
        runs = [_fresh_run(bench, subject, resources) for _ in range(bench.times(repeats))]
        median = percentile
        found += [
            Figure(name, "wall", "ms", subject.name, median([r.wall_s for r in runs], 50) * 1e3),
            Figure(name, "CPU", "ms", subject.name, median([r.cpu_s for r in runs], 50) * 1e3),
            Figure(name, "memory", "MiB", subject.name, memory_mib),
        ]
    return found


def _fresh_run(bench: Bench, subject: Subject, resources: int) -> Run:
    confdir = bench.confdir(subject)
    subject.prepare(confdir, resources)
    done = run(subject.once(confdir, bench.etcd.endpoint), confdir)
    written = len(os.listdir(os.path.join(confdir, "out")))
    assert written == resources, f"{subject.name} wrote {written} of {resources} files"
    return done


def _peak(bench: Bench, subject: Subject, resources: int) -> float:
    confdir = bench.confdir(subject)
    subject.prepare(confdir, resources)
    return peak_mib(subject.once(confdir, bench.etcd.endpoint))


def latency(bench: Bench, resources: int, keys: int, puts: int) -> list[Figure]:
    """From just before a put to the new file in place, one change at a time."""
    name = f"put to file {resources}x{keys}"
    fill(bench.etcd, resources, keys)
    puts = bench.times(puts)
    floor_s = Floor(bench.etcd).latencies_s(puts)
    found = [*_latencies(name, "bare watch", floor_s)]
    for subject in bench.subjects:
        confdir = bench.confdir(subject)
        subject.prepare(confdir, resources)
        with Daemon(subject, confdir, bench.etcd.endpoint, resources) as process:
            taken_s, used_s = _change_often(bench, confdir, process, resources, keys, puts)
        found += _latencies(name, subject.name, taken_s)
        found.append(Figure(name, "CPU per change", "ms", subject.name, used_s / puts * 1e3))
    return found


def _change_often(
    bench: Bench, confdir: str, process: psutil.Process, resources: int, keys: int, puts: int
) -> tuple[list[float], float]:
    """The latencies of so many puts, and the CPU seconds that the subject used for all."""
    swaps = Swaps(os.path.join(confdir, "out"))
    taken_s = []
    before_s = cpu_s(process)
    for number in range(puts):
        resource, key = (number * 7919) % resources, (number * 104729) % keys
        text = f"changed-{time.monotonic_ns()}"
        began_s = time.perf_counter()
        bench.etcd.put(f"{PREFIX}/{resource}/key{key:05}", text)
        taken_s.append(swaps.wait(f"{resource}.conf", text) - began_s)
        time.sleep(0.02)
    used_s = cpu_s(process) - before_s
    swaps.close()
    return taken_s, used_s


def _latencies(name: str, subject: str, taken_s: Sequence[float]) -> list[Figure]:
    return [
        Figure(name, "p50", "ms", subject, percentile(taken_s, 50) * 1e3),
        Figure(name, "p99", "ms", subject, percentile(taken_s, 99) * 1e3),
    ]


def burst(bench: Bench, puts: int) -> list[Figure]:
    """So many puts as fast as they go, over 1x1000 keys, with a reload that takes 50 ms."""
    puts = bench.times(puts)
    name = f"burst of {puts} puts"
    found = []
    for subject in [*bench.subjects, *_PACED]:
        fill(bench.etcd, 1, 1000)
        confdir = bench.confdir(subject)
        log = os.path.join(confdir, "reloads")
        subject.prepare(confdir, 1, reload_cmd=f"echo reload >> {log}; sleep 0.05")
        with Daemon(subject, confdir, bench.etcd.endpoint, 1) as process:
            found += _burst(bench, subject, confdir, process, name, puts)
    return found


# What an operator sets where bursts are expected: both wait, so neither is the default.
_PACED = (
    Subject("pyconfd, reloads 1 s apart", settings='min_reload_interval = "1s"\n'),
    Subject("pyconfd, held 250 ms", settings='hold_min = "250ms"\n'),
)


def _burst(
    bench: Bench, subject: Subject, confdir: str, process: psutil.Process, name: str, puts: int
) -> list[Figure]:
    log = os.path.join(confdir, "reloads")
    earlier, before_s = _lines(log), cpu_s(process)
    swaps = Swaps(os.path.join(confdir, "out"))
    for number in range(puts):
        bench.etcd.put(f"{PREFIX}/0/key{number % 1000:05}", f"burst-{number}")
    sent_s = time.perf_counter()
    last = f"last-{time.monotonic_ns()}"
    bench.etcd.put(f"{PREFIX}/0/key00000", last)
    settled_s = swaps.wait("0.conf", last)
    swaps.close()
    _until_still(lambda: _lines(log))
    return [
        Figure(name, "last put to file", "ms", subject.name, (settled_s - sent_s) * 1e3),
        Figure(name, "CPU", "ms", subject.name, (cpu_s(process) - before_s) * 1e3),
        Figure(name, "reloads", "", subject.name, _lines(log) - earlier),
    ]


def _lines(path: str) -> int:
    try:
        with open(path, "rb") as file:
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0


def _until_still(value: Callable[[], int]) -> None:
    """Until it has not changed for three seconds."""
    seen, since_s = value(), time.monotonic()
    while time.monotonic() - since_s < 3.0:
        time.sleep(0.1)
        now = value()
        if now != seen:
            seen, since_s = now, time.monotonic()


def at_rest(bench: Bench, resources: int) -> list[Figure]:
    """Memory and CPU of a daemon with nothing to do, over twenty seconds."""
    name = f"at rest, {resources}x10"
    fill(bench.etcd, resources, 10)
    found = []
    for subject in bench.subjects:
        confdir = bench.confdir(subject)
        subject.prepare(confdir, resources)
        with Daemon(subject, confdir, bench.etcd.endpoint, resources) as process:
            wait_s = 2.0 if bench.quick else 20.0
            before_s = cpu_s(process)
            time.sleep(wait_s)
            share = (cpu_s(process) - before_s) / wait_s * 100
            memory = process.memory_info().rss / 2**20
        found += [
            Figure(name, "memory", "MiB", subject.name, memory),
            Figure(name, "CPU", "% of a core", subject.name, share),
        ]
    return found


SCENARIOS: dict[str, Callable[[Bench], list[Figure]]] = {
    "one-shot": lambda bench: one_shot(bench, 1, 10, 20),
    "one-shot-large": lambda bench: one_shot(bench, 100, 1000, 5),
    "latency": lambda bench: latency(bench, 1, 10, 300),
    "latency-keys": lambda bench: latency(bench, 10, 10_000, 60),
    "latency-resources": lambda bench: latency(bench, 1000, 50, 200),
    "burst": lambda bench: burst(bench, 2000),
    "rest": lambda bench: at_rest(bench, 1000),
}
