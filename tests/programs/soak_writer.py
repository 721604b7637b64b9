"""What the soak writes, and all that was ever in the store: the measure of what files may show."""

from __future__ import annotations

import contextlib
import copy
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyconfd.backends.etcd.protobuf import load_grpc, message
from tests.support.daemons.etcd import PrivateCluster, PrivateEtcd
from tests.support.waiting import wait_until

RESOURCES = 20
KEYS = 6
_HISTORY = 3_000  # revisions looked back at for a state that is not known here


@dataclass
class Tally:
    """What is reported. converged_s: for each fault, seconds until the files were right again."""

    converged_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    violations: list[str] = field(default_factory=list)
    changes: int = 0
    relisted: int = 0


class Writer:
    """
    Writes at random, one thread; `states` are all contents a resource ever had in the store.

    A write that was not answered may have been done, or may still be done when a connection
    heals: what it would lead to counts as a state, what is there is read back before the next
    one, and a state that is not known is looked for in the store's own history (`was`).
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

    @property
    def changes(self) -> int:
        """Writes that were answered so far."""
        return self._tally.changes

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
        assert self._idle.wait(60), "the writer has died or hangs"
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
            if self._tally.changes % 200 == 0:
                self._known = None  # a write that came late may have changed it
            time.sleep(self._random.uniform(0, 0.02))

    def read(self) -> dict[str, str]:
        """What the store holds, from whichever member answers."""
        return {key: raw.decode() for key, raw in self._member().all("/app/").items()}

    def refill(self) -> None:
        """Give every resource a key again, after the store was lost; the pair too."""
        puts = [
            (f"/app/r{number}/k0", f"refilled{self._random.random()}")
            for number in range(RESOURCES)
        ]
        puts += _pair(self._random)
        self._note(dict(puts))
        self._tell(puts, [])

    def was(self, number: int, text: str) -> bool:
        """Whether the store, at one of its last revisions, held just this for the resource."""
        prefix = f"/app/r{number}/".encode()
        ask = message("RangeRequest")
        with contextlib.suppress(load_grpc().RpcError):
            member = self._member()
            newest = member.revision
            for revision in range(newest, max(newest - _HISTORY, 0), -1):
                request = ask(key=prefix, range_end=prefix[:-1] + b"0", revision=revision)
                kvs = member.call("KV/Range", request).kvs
                if "".join(f"{kv.key.decode()}={kv.value.decode()}\n" for kv in kvs) == text:
                    self.states[number].add(text)
                    return True
        return False

    def mark(self, text: str) -> None:
        """One more write that is surely done, so that there is something to converge to."""
        wait_until(
            lambda: self._try_tell([("/app/r0/marker", text)]), what="the store taking a put"
        )

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
            handle.call_timeout_s = 2.0
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


def _pair(rng: random.Random) -> list[tuple[str, str]]:
    value = f"p{rng.randrange(10**9)}"
    return [("/app/pair/a", value), ("/app/pair/b", value)]


def rendered(state: dict[str, str]) -> dict[int, str]:
    """What the file of each resource should be."""
    lines: dict[int, list[str]] = {number: [] for number in range(RESOURCES)}
    for key in sorted(state):
        _, _, owner, *_ = key.split("/")
        if owner.startswith("r"):
            lines[int(owner[1:])].append(f"{key}={state[key]}\n")
    return {number: "".join(each) for number, each in lines.items()}
