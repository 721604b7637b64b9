"""
A real cluster of three, broken at random under load, and a real `pyconfd --watch` on it:

    python -m tests.programs.soak --minutes 10 [--seed N]

Demanded after every fault: within LIMIT_S of its end the live files are what the store holds
(the time that the cluster itself needs to find a leader and take a put is in it; time in which
the machine had no processor to spare is not). Demanded
all the time: a file shows only what was at some moment in the store, and a pair of keys that is
always written together is never seen apart (a check_cmd looks at every staged version of it).
Prints one line for each fault and a table at the end; exits 1 if anything was violated.

Runs in network namespaces of its own, so that members can be cut off; where they are not to be
had, those faults are left out. With --clock the daemon's wall clock jumps as well, by libfaketime.
That is no measure of time: under libfaketime timed waits come late.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pyconfd.backends.etcd.protobuf import load_grpc
from tests.programs.soak_faults import CLOCK_S, PASSWORD, Faults
from tests.programs.soak_writer import RESOURCES, Tally, Writer, rendered
from tests.support.daemons.etcd import Certificates
from tests.support.net import Net, enter_private_net
from tests.support.pyconfd import Confdir
from tests.support.waiting import Stopwatch, wait_until

LIMIT_S = 30.0
_SUSPECT_S = 60.0  # a state that is not known is looked for this long before it is a violation


class Soak:
    """The cluster, the daemon and the writer; one fault after the other, and the demands."""

    def __init__(
        self, folder: Path, seed: int, net: Net | None = None, *, clock: bool = False
    ) -> None:
        rng = random.Random(seed)
        self.tally = Tally()
        self._random = rng
        self._tls = Certificates(folder / "tls", hosts=_names(net))
        self._clock = folder / "clock" if clock else None
        self._confdir = _confdir(folder / "conf")
        self._torn = folder / "conf" / "torn"
        self._faults = Faults(folder, rng, self._tls, net, self._clock)
        self._writer = self._faults.writer = Writer(self._faults.cluster, seed, self.tally)
        self._over = threading.Event()

    def run(self, until: Callable[[int], bool], pause_s: float) -> Tally:
        """Faults one after the other until told that it is enough (given how many there were)."""
        with self._faults.cluster:
            self._faults.set_up()
            self._writer.refill()
            self._writer.start()
            try:
                with self._confdir.daemon(*self._arguments(), environ=self._environ()) as daemon:
                    self._faults.daemon = daemon
                    self._round(until, pause_s)
                    self.tally.relisted = daemon.log.count(
                        "listed again: the history was compacted"
                    )
            finally:
                self._writer.stop()
        return self.tally

    def kinds(self) -> list[str]:
        """The names of the faults that can be done here."""
        return sorted(self._faults.known())

    def _arguments(self) -> list[str]:
        nodes = [part for each in self._faults.cluster.members for part in ("--node", each.url)]
        ca = ["--client-ca-keys", str(self._tls.ca)]
        return [*nodes, *ca, "--username", "bob", "--password", PASSWORD]

    def _environ(self) -> dict[str, str]:
        """The daemon's wall clock is ahead by what the file says; monotonic time is not touched."""
        if self._clock is None:
            return {}
        self._faults.set_clock(CLOCK_S)
        return {
            "LD_PRELOAD": _faketime(),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def _round(self, until: Callable[[int], bool], pause_s: float) -> None:
        self._converge("start")
        looking = threading.Thread(target=self._look, name="looker")
        looking.start()
        order: list[str] = []
        try:
            count = 0
            while not until(count):
                order = order or self._random.sample(self.kinds(), len(self.kinds()))
                name = order.pop()
                self._faults.known()[name]()
                self._converge(name)
                count += 1
                time.sleep(self._random.uniform(0, pause_s))
        finally:
            self._over.set()
            looking.join()

    def _converge(self, name: str) -> None:
        """Quiet the writer, put a marker, and wait until every file is what the store holds."""
        took = Stopwatch()
        with self._writer.paused():
            self._writer.forget()  # its connections may hang on what the fault did to them
            self._writer.mark(f"{name}-{self.tally.changes}")
            wrong = self._until_right(took)
            took_s = took.wall_s
        if wrong:
            self.tally.violations.append(f"after {name}: {wrong[0]} not right in {LIMIT_S} s")
        if self._torn.exists():
            self.tally.violations.append(f"after {name}: torn pair: {self._torn.read_text()[:200]}")
            self._torn.unlink()
        self.tally.converged_s[name].append(took_s)
        print(f"{name:24} {took_s:7.3f} s {'WRONG ' + str(wrong) if wrong else ''}", flush=True)

    def _until_right(self, took: Stopwatch) -> list[str]:
        """The store is read again now and then: a write under way in a healed net may come late."""
        while True:
            want = rendered(wait_until(self._read, what="reading the store"))
            again = time.monotonic() + 2.0
            while wrong := [f"r{n}" for n in range(RESOURCES) if self._file(n) != want[n]]:
                process = self._faults.daemon.process
                assert process.poll() is None, self._faults.daemon.log[-3000:]
                if time.monotonic() > again:
                    break
                time.sleep(0.005)
            if not wrong or not took.within(LIMIT_S, 4 * LIMIT_S):
                return wrong

    def _read(self) -> dict[str, str] | None:
        try:
            return self._writer.read()
        except load_grpc().RpcError:
            self._writer.forget()
            return None

    def _file(self, number: int) -> str:
        try:
            return (self._confdir.out / f"r{number}.conf").read_text()
        except FileNotFoundError:
            return ""

    def _look(self) -> None:
        """All the time: no file shows what never was."""
        suspects: dict[tuple[int, str], float] = {}
        while not self._over.wait(0.05):
            for number in range(RESOURCES):
                text = self._file(number)
                if text not in self._writer.states[number] and "marker" not in text:
                    suspects.setdefault((number, text), time.monotonic() + _SUSPECT_S)
            self._judge(suspects)

    def _judge(self, suspects: dict[tuple[int, str], float]) -> None:
        for (number, text), end in list(suspects.items()):
            if text in self._writer.states[number] or self._writer.was(number, text):
                del suspects[number, text]
            elif time.monotonic() > end:
                del suspects[number, text]
                self._writer.states[number].add(text)
                self.tally.violations.append(f"r{number} shows what never was: {text[:200]}")


def _names(net: Net | None) -> list[str]:
    return [f"IP:{address}" for address in (net.addresses if net else ["127.0.0.1"])]


def _faketime() -> str:
    """libfaketime's path."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    assert found, "no libfaketime found: apt-get install faketime"
    return found[0]


def _confdir(folder: Path) -> Confdir:
    confdir = Confdir(folder)
    for number in range(RESOURCES):
        confdir.template(
            f"r{number}.j2",
            f"{{% for key, value in gets('/app/r{number}/*') %}}\n{{{{ key }}}}={{{{ value }}}}\n"
            "{% endfor %}\n",
        )
        confdir.resource(
            f"r{number}",
            f'[template]\nsrc = "r{number}.j2"\ndest = "@OUT@/r{number}.conf"\n'
            f'keys = ["/app/r{number}"]\nallow_empty = true\n',
        )
    confdir.template("pair.j2", "{{ getv('/app/pair/a') }}\n{{ getv('/app/pair/b') }}\n")
    check = f'test "$(uniq {{{{ src }}}} | wc -l)" = 1 || cat {{{{ src }}}} >> {folder}/torn'
    confdir.resource(
        "pair",
        '[template]\nsrc = "pair.j2"\ndest = "@OUT@/pair.conf"\nkeys = ["/app/pair"]\n'
        f"check_cmd = '''{check}'''\n",
    )
    return confdir


def table(tally: Tally) -> str:
    """Figures for docs/reliability.md."""
    lines = [f"{'fault':26}{'times':>6}{'p50 s':>8}{'max s':>8}"]
    everything: list[float] = []
    for name, times in sorted(tally.converged_s.items()):
        everything += times
        lines.append(f"{name:26}{len(times):6}{statistics.median(times):8.2f}{max(times):8.2f}")
    everything.sort()
    p99 = everything[min(len(everything) - 1, int(len(everything) * 0.99))]
    lines.append(
        f"{'all':26}{len(everything):6}{statistics.median(everything):8.2f}{everything[-1]:8.2f}"
        f"   p99 {p99:.2f}"
    )
    lines.append(
        f"changes written: {tally.changes}; listed again after a compaction: {tally.relisted}; "
        f"violations: {len(tally.violations)}"
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="a broken cluster for as long as you like")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--pause", type=float, default=0.5, help="longest pause between faults, s")
    parser.add_argument("--rounds", type=int, default=0, help="end after each fault so many times")
    parser.add_argument("--clock", action="store_true", help="its clock jumps (libfaketime)")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    chosen = parser.parse_args()
    private = enter_private_net()
    print(f"seed {chosen.seed}", flush=True)
    deadline = time.monotonic() + chosen.minutes * 60
    folder = tempfile.mkdtemp(prefix="pyconfd-soak-")
    try:
        with contextlib.ExitStack() as stack:
            net = stack.enter_context(Net(3)) if private else None
            soak = Soak(Path(folder), chosen.seed, net, clock=chosen.clock)
            print("faults:", ", ".join(soak.kinds()), flush=True)
            most = chosen.rounds * len(soak.kinds()) or sys.maxsize
            tally = soak.run(lambda n: n >= most or time.monotonic() > deadline, chosen.pause)
    finally:
        if chosen.keep:
            print(f"logs: {folder}")
        else:
            shutil.rmtree(folder)
    print(table(tally))
    for each in tally.violations:
        print(f"VIOLATION: {each}")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
