"""
A real cluster of three, broken at random under load, and a real `pyconfd --watch` on it:

    python -m tests.soak --minutes 10 [--seed N]

Demanded after every fault: within LIMIT_S of its end the live files are what the store holds
(the time that the cluster itself needs to find a leader and take a put is in it). Demanded
all the time: a file shows only what was at some moment in the store, and a pair of keys that is
always written together is never seen apart (a check_cmd looks at every staged version of it).
Prints one line for each fault and a table at the end; exits 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pyconfd.backends.etcd_stubs import load_grpc
from tests.support_etcd import Certificates, PrivateCluster, PrivateEtcd, wait_until
from tests.support_pyconfd import Confdir, Daemon

RESOURCES = 20
KEYS = 6
LIMIT_S = 30.0
PASSWORD = "soak"
TOKEN_TTL_S = 5


@dataclass
class Tally:
    """What is reported. converged_s: for each fault, seconds until the files were right again."""

    converged_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    violations: list[str] = field(default_factory=list)
    changes: int = 0


class Writer:
    """
    Writes at random, one thread; `states` are all contents a resource ever had in the store.

    A write that was not answered may have been done: what it would lead to counts as a state,
    and what is there is read back before the next one.
    """

    def __init__(self, cluster: PrivateCluster, seed: int, tally: Tally) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        self._tally = tally
        self._paused = threading.Event()
        self._idle = threading.Event()
        self._stopping = threading.Event()
        self._known: dict[str, str] | None = None
        self._handles: dict[str, PrivateEtcd] = {}
        self.states: dict[int, set[str]] = {number: {""} for number in range(RESOURCES)}
        self._thread = threading.Thread(target=self._run, name="writer")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.forget()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No write is under way inside the block."""
        self._paused.set()
        self._idle.wait(60)
        try:
            yield
        finally:
            self._known = None
            self._idle.clear()
            self._paused.clear()

    def _run(self) -> None:
        grpc = load_grpc()
        while not self._stopping.is_set():
            if self._paused.is_set():
                self._idle.set()
                time.sleep(0.01)
                continue
            try:
                if self._known is None:
                    self._known = self.read()
                    self._note(self._known)
                self._write(self._known)
            except grpc.RpcError:
                self.forget()
                self._known = None
            time.sleep(self._random.uniform(0, 0.02))

    def read(self) -> dict[str, str]:
        """What the store holds, from whichever member answers."""
        return {key: raw.decode() for key, raw in self._member().all("/app/").items()}

    def refill(self) -> None:
        """Give every resource a key again, after the store was lost; the pair too."""
        puts = [(f"/app/r{number}/k0", f"refilled{self._random.random()}") for number in _numbers()]
        puts += _pair(self._random)
        self._note(dict(puts))
        self._tell(puts, [])

    def mark(self, text: str) -> None:
        """One more write that is surely done, so that there is something to converge to."""
        wait_until(lambda: self._try_tell([("/app/r0/marker", text)]), 40, "the store taking a put")

    def _try_tell(self, puts: list[tuple[str, str]]) -> bool:
        try:
            self._tell(puts, [])
        except load_grpc().RpcError:
            self.forget()
            return False
        return True

    def _member(self) -> PrivateEtcd:
        """A connection of our own to some member: faults drop the members' own ones."""
        member = self._random.choice(self._cluster.members)
        handle = self._handles.get(member.name)
        if handle is None:
            handle = self._handles[member.name] = copy.copy(member)
            handle._channel, handle._token = None, ""
        return handle

    def forget(self) -> None:
        """Connect, and log in, anew."""
        for handle in self._handles.values():
            handle._drop()
        self._handles.clear()

    def _write(self, known: dict[str, str]) -> None:
        """One put, delete, transaction of several, put of the same value, or put under a lease."""
        kind = self._random.choice(["put", "put", "delete", "txn", "same", "pair", "pair", "lease"])
        puts: list[tuple[str, str]] = []
        deletes: list[str] = []
        if kind == "pair":
            puts = _pair(self._random)
        elif kind == "txn":
            puts = [(self._key(), self._value()) for _ in range(3)]
            deletes = [key for key in {self._key(), self._key()} if key not in dict(puts)]
            puts = list(dict(puts).items())
        elif kind == "delete":
            deletes = [self._key()]
        elif kind == "same" and known:
            key = self._random.choice(sorted(known))
            puts = [(key, known[key])] if not key.startswith("/app/pair") else []
        else:
            puts = [(self._key(), self._value())]
        after = {**known, **dict(puts)}
        for key in deletes:
            after.pop(key, None)
        self._note(after)
        if puts or deletes:
            self._tell(puts, deletes, lease=kind == "lease")
            self._known = after

    def _tell(
        self, puts: list[tuple[str, str]], deletes: list[str], *, lease: bool = False
    ) -> None:
        member = self._member()
        if lease:
            member.put(puts[0][0], puts[0][1], member.grant(3600))
        else:
            member.txn(puts, deletes)
        self._tally.changes += 1

    def _key(self) -> str:
        number = self._random.randrange(RESOURCES)
        return f"/app/r{number}/k{self._random.randrange(KEYS)}"

    def _value(self) -> str:
        return f"v{self._random.randrange(10**9)}"

    def _note(self, state: dict[str, str]) -> None:
        for number, text in rendered(state).items():
            self.states[number].add(text)


def _numbers() -> range:
    return range(RESOURCES)


def _pair(rng: random.Random) -> list[tuple[str, str]]:
    value = f"p{rng.randrange(10**9)}"
    return [("/app/pair/a", value), ("/app/pair/b", value)]


def rendered(state: dict[str, str]) -> dict[int, str]:
    """What the file of each resource should be."""
    lines: dict[int, list[str]] = {number: [] for number in _numbers()}
    for key in sorted(state):
        _, _, owner, *_ = key.split("/")
        if owner.startswith("r"):
            lines[int(owner[1:])].append(f"{key}={state[key]}\n")
    return {number: "".join(each) for number, each in lines.items()}


class Soak:
    """The cluster, the daemon, the writer, and the faults."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.tally = Tally()
        self.folder = folder
        self.tls = Certificates(folder / "tls")
        self.cluster = PrivateCluster(
            folder, tls=self.tls, extra=[f"--auth-token-ttl={TOKEN_TTL_S}"]
        )
        self.confdir = _confdir(folder / "conf")
        self.writer = Writer(self.cluster, seed, self.tally)
        self.torn = folder / "conf" / "torn"
        self._looked = threading.Event()

    def run(self, until: Callable[[int], bool], pause_s: float) -> Tally:
        """Faults one after the other until told that it is enough (given how many there were)."""
        with self.cluster:
            self._set_up()
            self.writer.refill()
            self.writer.start()
            try:
                with self.confdir.daemon(*self._arguments()) as daemon:
                    self._round(daemon, until, pause_s)
            finally:
                self.writer.stop()
        return self.tally

    def _arguments(self) -> list[str]:
        nodes = [part for each in self.cluster.members for part in ("--node", each.url)]
        ca = ["--client-ca-keys", str(self.tls.ca)]
        return [*nodes, *ca, "--username", "bob", "--password", PASSWORD]

    def _round(self, daemon: Daemon, until: Callable[[int], bool], pause_s: float) -> None:
        self._converge("start", daemon)
        looking = threading.Thread(target=self._look, name="looker")
        looking.start()
        try:
            count = 0
            while not until(count):
                name, fault = self._choose(count)
                fault(daemon)
                self._converge(name, daemon)
                count += 1
                self._looked.wait(self.random.uniform(0, pause_s))
        finally:
            self._looked.set()
            looking.join()

    def _choose(self, count: int) -> tuple[str, Callable[[Daemon], None]]:
        """Each once in a shuffled order, again and again."""
        names = sorted(FAULTS)
        if count % len(names) == 0:
            self._order = self.random.sample(names, len(names))
        name = self._order[count % len(names)]
        return name, lambda daemon: FAULTS[name](self, daemon)

    def _set_up(self) -> None:
        """Users and rights, in a store that is new."""
        first = self.cluster.members[0]
        first.add_user("bob", PASSWORD, prefixes=["/app/"])
        first.enable_auth()
        for member in self.cluster.members:
            member.user = first.user

    # Demands

    def _converge(self, name: str, daemon: Daemon) -> None:
        """Quiet the writer, put a marker, and wait until every file is what the store holds."""
        with self.writer.paused():
            self.writer.forget()  # its connections may hang on what the fault did to them
            begun = time.monotonic()
            self.writer.mark(f"{name}-{self.tally.changes}")
            state = wait_until(self._read, 40, "reading the store")
            want = rendered(state)
            while (wrong := self._wrong(want)) and time.monotonic() - begun < LIMIT_S:
                assert daemon.process.poll() is None, daemon.log[-3000:]
                time.sleep(0.005)
            took_s = time.monotonic() - begun
        if wrong:
            self.tally.violations.append(f"after {name}: {wrong[0]} not right in {LIMIT_S} s")
        if self.torn.exists():
            self.tally.violations.append(f"after {name}: torn pair: {self.torn.read_text()[:200]}")
            self.torn.unlink()
        self.tally.converged_s[name].append(took_s)
        print(f"{name:24} {took_s:7.3f} s {'WRONG ' + str(wrong) if wrong else ''}", flush=True)

    def _read(self) -> dict[str, str] | None:
        try:
            return self.writer.read()
        except load_grpc().RpcError:
            self.writer.forget()
            return None

    def _wrong(self, want: dict[int, str]) -> list[str]:
        return [f"r{number}" for number in _numbers() if self._file(number) != want[number]]

    def _file(self, number: int) -> str:
        try:
            return (self.confdir.out / f"r{number}.conf").read_text()
        except FileNotFoundError:
            return ""

    def _look(self) -> None:
        """All the time: no file shows what never was."""
        while not self._looked.wait(0.05):
            for number in _numbers():
                text = self._file(number)
                if text not in self.writer.states[number] and "marker" not in text:
                    self.tally.violations.append(f"r{number} shows what never was: {text[:200]}")

    # Faults

    def connected(self, daemon: Daemon) -> PrivateEtcd:
        """The member that the daemon follows now, else any."""
        import psutil

        ports = {
            each.raddr.port
            for each in psutil.Process(daemon.process.pid).net_connections("tcp")
            if each.raddr and each.status == psutil.CONN_ESTABLISHED
        }
        found = [each for each in self.cluster.running if each.client_port in ports]
        return self.random.choice(found or self.cluster.running)

    def kill_a_member(self, daemon: Daemon) -> None:
        self._down(self.connected(daemon))

    def kill_the_leader(self, _: Daemon) -> None:
        self._down(self.cluster.leader())

    def _down(self, member: PrivateEtcd) -> None:
        member.kill()
        self._looked.wait(self.random.uniform(0.5, 3))
        self.cluster.start()

    def freeze_the_connected(self, daemon: Daemon) -> None:
        member = self.connected(daemon)
        member.freeze()
        self._looked.wait(self.random.uniform(3, 8))
        member.thaw()

    def restart_all(self, _: Daemon) -> None:
        """Every token is forgotten too."""
        for member in self.cluster.members:
            member.kill()
        self._looked.wait(self.random.uniform(0, 2))
        self.cluster.start()

    def compact(self, _: Daemon) -> None:
        """Under a daemon that is stopped, so that it wakes up behind the compaction."""
        with self._stopped(_, self.random.uniform(0.2, 1)):
            self.cluster.leader().compact()

    def defragment(self, _: Daemon) -> None:
        for member in self.cluster.members:
            member._drop()
            with contextlib.suppress(load_grpc().RpcError):
                member.defragment()

    def wipe(self, _: Daemon) -> None:
        with self.writer.paused():
            for member in self.cluster.members:
                member.user = None
            self._replace(lambda _: None)
            self._set_up()
            self.writer.forget()
            self.writer.refill()

    def restore(self, _: Daemon) -> None:
        """A backup is taken, time passes, and the backup comes back."""
        backup = self.folder / f"backup-{time.monotonic_ns()}"
        self.cluster.leader().snapshot(backup)
        self._looked.wait(self.random.uniform(0.2, 2))
        with self.writer.paused():
            self._replace(lambda member: member.replace_data(backup))

    def _replace(self, fill: Callable[[PrivateEtcd], None]) -> None:
        for member in self.cluster.members:
            member.kill()
        for member in self.cluster.members:
            shutil.rmtree(member.data)
            fill(member)
        self.cluster.start()

    def tokens_expire(self, daemon: Daemon) -> None:
        """The daemon sleeps for longer than a token lives, and its connection is cut."""
        with self._stopped(daemon, TOKEN_TTL_S + 1):
            pass
        self._down(self.connected(daemon))

    def exchange_certificates(self, daemon: Daemon) -> None:
        """A new authority and new certificates, under the same names."""
        self.tls.ca.unlink()
        fresh = Certificates(self.tls.folder)
        for member in self.cluster.members:
            member.tls = fresh
        self.restart_all(daemon)

    def no_space(self, _: Daemon) -> None:
        leader = self.cluster.leader()
        leader._drop()
        leader.alarm(on=True)
        self._looked.wait(self.random.uniform(0.2, 1))
        leader.alarm(on=False)

    def stop_the_daemon(self, daemon: Daemon) -> None:
        """Longer than the probe, the answers and, now and then, than the transport's limits."""
        with self._stopped(daemon, self.random.choice([4, 6, 20])):
            pass

    @contextlib.contextmanager
    def _stopped(self, daemon: Daemon, duration_s: float) -> Iterator[None]:
        daemon.signal(signal.SIGSTOP)
        try:
            self._looked.wait(duration_s)
            yield
        finally:
            daemon.signal(signal.SIGCONT)


FAULTS: dict[str, Callable[[Soak, Daemon], None]] = {
    "connected member killed": Soak.kill_a_member,
    "leader killed": Soak.kill_the_leader,
    "connected member frozen": Soak.freeze_the_connected,
    "all restarted": Soak.restart_all,
    "compacted": Soak.compact,
    "defragmented": Soak.defragment,
    "wiped": Soak.wipe,
    "restored from backup": Soak.restore,
    "tokens expired": Soak.tokens_expire,
    "certificates exchanged": Soak.exchange_certificates,
    "NOSPACE alarm": Soak.no_space,
    "daemon stopped": Soak.stop_the_daemon,
}


def _confdir(folder: Path) -> Confdir:
    confdir = Confdir(folder)
    for number in _numbers():
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
    lines.append(f"changes written: {tally.changes}; violations: {len(tally.violations)}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="a broken cluster for as long as you like")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    deadline = time.monotonic() + chosen.minutes * 60
    folder = tempfile.mkdtemp(prefix="pyconfd-soak-")
    try:
        soak = Soak(Path(folder), chosen.seed)
        tally = soak.run(lambda _: time.monotonic() > deadline, pause_s=3)
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
