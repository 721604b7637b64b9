"""
A changed setting goes through a fleet: what it costs etcd, and when all nodes have it.

    python -m bench.fleet [--nodes 50] [--parallel 1,10,100] [--pause 0] [--simulate 1000]

First real daemons on a private etcd; their service has no check, and its reload command is `true`.
Then a fleet of --simulate nodes with a pause of ten seconds: the real records and the real
decision, with the time of a begin that the daemons had. Its bytes are those of the events that etcd
sends to every node's watch of the turns, and CPU is that of one node which asks last.
"""

from __future__ import annotations

import argparse
import heapq
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.installed import PROGRAM
from bench.store import private_etcd
from pyconfd.fleet.records import FleetPaths, RecordBook, encoded, version_value
from pyconfd.model.keys import Changed, KeyChange
from pyconfd.model.resources import Rollout
from pyconfd.reconcile.turns import Answer, Version, decide
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.waiting import wait_until

_PATHS = FleetPaths("bench")
_TOML = """\
[[template]]
src = "one"
dest = "{confdir}/out/one"
keys = ["/app"]
service = "web"

[service.web]
reload_cmd = "true"

[service.web.rollout]
keys = ["/app/settings"]
max_parallel = {parallel}
pause = "{pause}s"
"""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
#: Of the simulation.
_PAUSE_S = 10.0
#: Of an event of a watch beside its key and value: revisions, lease, lengths.
_EVENT_BYTES = 30


@dataclass(frozen=True, slots=True)
class Account:
    """
    What an etcd has done so far.

    cpu_s, sent, received: CPU seconds, and bytes of its clients. revision: of the store.
    """

    at_s: float
    cpu_s: float
    sent: float
    received: float
    revision: int

    @classmethod
    def of(cls, etcd: PrivateEtcd) -> Account:
        """Now."""
        assert etcd.process
        with open(f"/proc/{etcd.process.pid}/stat", encoding="ascii") as file:
            ticks = file.read().rpartition(")")[2].split()[11:13]
        with urllib.request.urlopen(f"{etcd.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        sent, received = (_total(text, f"etcd_network_client_grpc_{word}_bytes_total")
                          for word in ("sent", "received"))  # fmt: skip
        cpu_s = sum(map(int, ticks)) * _TICK_S
        return cls(time.monotonic(), cpu_s, sent, received, etcd.revision)

    def line(self, what: str, before: Account) -> str:
        """A row of a Markdown table: what has been used since then."""
        kib = (self.sent - before.sent) / 1024, (self.received - before.received) / 1024
        return (
            f"| {what} | {self.at_s - before.at_s:.1f} | {self.cpu_s - before.cpu_s:.2f} |"
            f" {kib[0]:.0f} | {kib[1]:.0f} | {self.revision - before.revision} |"
        )


def _total(text: str, name: str) -> float:
    return float(re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)[0])


class Nodes:
    """So many daemons of one fleet, each with a folder of its own."""

    def __init__(self, folder: str, etcd: PrivateEtcd, count: int, pause_s: int) -> None:
        self._etcd, self._pause_s = etcd, pause_s
        self._confdirs = [os.path.join(folder, f"n{number:03}") for number in range(count)]
        self._daemons: list[subprocess.Popen[bytes]] = []
        for confdir in self._confdirs:
            for name in ("conf.d", "templates", "out"):
                os.makedirs(os.path.join(confdir, name))
            with open(os.path.join(confdir, "templates", "one"), "w") as file:
                file.write(
                    "{{ getv('/app/settings/a') }} {{ getvs('/app/members/*') | join(' ') }}\n"
                )

    def configure(self, parallel: int) -> None:
        """How many may be in their turn at once."""
        for confdir in self._confdirs:
            with open(os.path.join(confdir, "conf.d", "one.toml"), "w") as file:
                text = _TOML.format(confdir=confdir, parallel=parallel, pause=self._pause_s)
                file.write(text)
        for daemon in self._daemons:
            daemon.send_signal(signal.SIGHUP)

    @contextmanager
    def running(self) -> Iterator[None]:
        """All of them."""
        with ExitStack() as stack:
            for confdir in self._confdirs:
                name = os.path.basename(confdir)
                argv = [PROGRAM, "--watch", "--confdir", confdir, "--node", self._etcd.endpoint]
                argv += ["--state-dir", f"{confdir}/state", "--fleet", "bench"]
                argv += ["--node-name", name, "--log-level", "error"]
                process = subprocess.Popen(argv)
                self._daemons.append(process)
                stack.callback(process.wait, 60)
                stack.callback(process.terminate)
            yield

    def wait(self, text: str) -> None:
        """Until every file begins with this text, and no node is in its turn."""
        wait_until(lambda: self._all_have(text), 600, f"all have {text}")

    def _all_have(self, text: str) -> bool:
        time.sleep(0.02)
        for confdir in self._confdirs:
            try:
                with open(os.path.join(confdir, "out", "one")) as file:
                    if not file.read().startswith(text):
                        return False
            except FileNotFoundError:
                return False
        return True


def measure(count: int, parallels: Sequence[int], pause_s: int) -> list[float]:
    """Prints a table; returns how many seconds each rollout took."""
    took: list[float] = []
    with private_etcd() as (etcd, folder):
        etcd.put("/app/settings/a", "first")
        etcd.put("/app/members/a", "10.0.0.1")
        nodes = Nodes(folder, etcd, count, pause_s)
        nodes.configure(parallels[0])
        print(f"| {count} daemons | s | etcd: CPU, s | sent, KiB | received, KiB | revisions |")
        print("|---|---|---|---|---|---|", flush=True)
        with nodes.running():
            nodes.wait("first")
            _rest(etcd)
            before = Account.of(etcd)
            time.sleep(10)
            print(Account.of(etcd).line("at rest", before), flush=True)
            for parallel in parallels:
                nodes.configure(parallel)
                _rest(etcd)
                before = Account.of(etcd)
                etcd.put("/app/settings/a", f"by{parallel}")
                nodes.wait(f"by{parallel} ")
                after = Account.of(etcd)
                took.append(after.at_s - before.at_s)
                print(after.line(f"max_parallel {parallel}", before), flush=True)
            _rest(etcd)
            before = Account.of(etcd)
            etcd.put("/app/members/b", "10.0.0.2")
            _rest(etcd)
            print(Account.of(etcd).line("a member", before), flush=True)
    return took


def _rest(etcd: PrivateEtcd) -> None:
    """Until nothing is written for three seconds."""
    revision, since_s = -1, 0.0
    while revision != etcd.revision or time.monotonic() < since_s + 3:
        if revision != etcd.revision:
            revision, since_s = etcd.revision, time.monotonic()
        time.sleep(0.2)


class Simulation:
    """A fleet in which all nodes ask at once; the records as each of them sees them."""

    def __init__(self, nodes: int, parallel: int) -> None:
        self.names = [f"web{number:04}" for number in range(nodes)]
        self._rollout = Rollout(max_parallel=float(parallel))
        self._book = RecordBook(_PATHS)
        self._new, self._old = Version("b" * 16, 2_000), Version("a" * 16, 1_000)
        self.revision = 10_000
        self.bytes = 0
        self.cpu_s = 0.0

    def write(self, *changes: tuple[str, str, bytes | None]) -> None:
        """Of kind, name and value; then the node that asks last decides."""
        self.revision += 1
        made = []
        for kind, name, value in changes:
            key = _PATHS.of("web", kind, name)
            made.append(KeyChange(key, value, self.revision))
            self.bytes += len(key) + len(value or b"") + _EVENT_BYTES
        begun_s = time.process_time()
        self._book.apply(Changed("", self.revision, tuple(made)))
        self.may_begin(self.names[-1])
        self.cpu_s += time.process_time() - begun_s

    def may_begin(self, name: str) -> bool:
        """As this node decides."""
        found = decide(self._book.records("web"), self._rollout, name, self._new)
        return found.answer is Answer.BEGIN

    def run(self, turn_s: float, begin_s: float) -> float:
        """How long it takes, in seconds."""
        new = version_value(self._new)
        for name in self.names:
            self.write(("nodes", name, version_value(self._old)))
        self.bytes, self.cpu_s, first = 0, 0.0, self.revision
        for name in self.names:
            self.write(("asked", name, new))
        waiting, turns, now_s = list(reversed(self.names)), list[tuple[float, str]](), 0.0
        while waiting or turns:
            if waiting and self.may_begin(waiting[-1]):
                name = waiting.pop()
                fence = encoded({"by": name})
                self.write(("begun", name, new), ("asked", name, None), ("fence", "", fence))
                now_s += begin_s
                heapq.heappush(turns, (now_s + turn_s, name))
                continue
            over_s, name = heapq.heappop(turns)
            now_s = max(now_s, over_s)
            self.write(("nodes", name, new), ("begun", name, None))
        self.revision -= first
        return now_s


def simulate(count: int, parallels: Sequence[int], turn_s: float, begin_s: float) -> None:
    """Prints a table."""
    print(f"\na turn takes {turn_s:.2f} s, a begin {begin_s:.3f} s")
    print(f"| {count} nodes, simulated | s | revisions | to each node, KiB | of all nodes, MiB |"
          " CPU of the last node, s |\n|---|---|---|---|---|---|", flush=True)  # fmt: skip
    for parallel in parallels:
        fleet = Simulation(count, parallel)
        took_s = fleet.run(turn_s, begin_s)
        kib = fleet.bytes / 1024
        print(f"| max_parallel {parallel} | {took_s:.0f} | {fleet.revision} | {kib:.0f} |"
              f" {kib * count / 1024:.0f} | {fleet.cpu_s:.1f} |", flush=True)  # fmt: skip


def main() -> int:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--parallel", default="1,10,100")
    parser.add_argument("--simulate", type=int, default=1000)
    parser.add_argument("--pause", type=int, default=0, help="of the daemons, in seconds")
    wanted = parser.parse_args()
    parallels = [int(each) for each in wanted.parallel.split(",")]
    took_s = measure(wanted.nodes, parallels, wanted.pause)
    if wanted.simulate:
        begin_s = (took_s[-1] - wanted.pause) / wanted.nodes  # with room for all, each begins alone
        simulate(wanted.simulate, parallels, _PAUSE_S + begin_s, begin_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
