"""
Nodes of a fleet take versions in turn, whatever fails: a model of the store, of leases and of the
nodes, with the real machine and the real decision.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.model.resources import Command, Rollout
from pyconfd.reconcile import rollout as machine
from pyconfd.reconcile.turns import (
    Answer,
    Halt,
    Turn,
    TurnRecords,
    Version,
    decide,
    halted,
)

TTL_S = 15.0
TIMEOUT_S = 30.0
NAMES = ("a", "b", "c", "d")
FIRST = Version("v0", 1)


class Records:
    """The store: the shared records, and the newest version of the gated keys."""

    def __init__(self) -> None:
        self.revision = 1
        self.now = TurnRecords()
        self.newest = Version("v0", 1)
        self.bad: set[str] = set()
        self.halts: list[str] = []

    def write(self, *, fence: bool = False, **changed: object) -> None:
        self.revision += 1
        extra = {"fence": self.revision} if fence else {}
        self.now = replace(self.now, **changed, **extra)  # type: ignore[arg-type]

    def without_lease_of(self, name: str) -> None:
        self.write(
            nodes={key: value for key, value in self.now.nodes.items() if key != name},
            asked={key: value for key, value in self.now.asked.items() if key != name},
        )


@dataclass
class Node:
    """One daemon: what it has kept on disk is `state.used` and `state.former`."""

    name: str
    rollout: Rollout
    world: Records
    state: machine.NodeState
    view: TurnRecords = field(default_factory=TurnRecords)
    todo: deque[machine.RolloutCommand] = field(default_factory=deque)
    alive: bool = True
    cut: bool = False
    leased: bool = False
    lease_ends_s: float = 0.0
    passing: bool = False
    verifying: bool = False
    proved: Version | None = field(default_factory=lambda: FIRST)
    began: list[str] = field(default_factory=list)

    def send(self, message: machine.RolloutMessage, now: float) -> None:
        if not self.alive:
            return
        self.state, commands = machine.step(self.state, message, now)
        for command in commands:
            if isinstance(command, machine.Use):
                self.passing = True
            elif isinstance(command, machine.RunVerify):
                self.verifying = True
            elif isinstance(command, machine.Decide):
                self.sync(now)
            else:
                self.todo.append(command)

    @property
    def connected(self) -> bool:
        return self.alive and not self.cut

    def sync(self, now: float) -> None:
        """The watch brings the newest records and keys."""
        if not self.connected or not self.leased:
            return
        self.view = self.world.now
        self.send(machine.Seen(self.world.newest), now)
        if self.state.phase is machine.TurnPhase.ASKING and self.state.turn:
            answer = decide(self.view, self.rollout, self.name, self.state.turn)
            self.send(machine.Decided(answer), now)

    def act(self, now: float) -> None:
        """The oldest command reaches the store."""
        if not (self.todo and self.connected and self.leased):
            return
        world, records = self.world, self.world.now
        match self.todo.popleft():
            case machine.Ask(version):
                asked = {**records.asked, self.name: Turn(self.name, version, world.revision + 1)}
                world.write(asked=asked)
            case machine.WithdrawAsk():
                world.write(asked=without(records.asked, self.name))
            case machine.Begin(version):
                self._begin(version, now)
            case machine.Fail(version, why):
                world.halts.append(version.digest)
                halt = Halt(why=why, by=self.name)
                world.write(halts={**records.halts, version.digest: halt}, fence=True)
            case machine.Report(version, bad):
                self.proved = self.proved if bad else version
                halts = {**records.halts, version.digest: Halt(why=bad)} if bad else records.halts
                world.write(
                    begun=without(records.begun, self.name),
                    nodes={**records.nodes, self.name: self.proved},
                    halts=halts,
                    fence=bool(bad),
                )
                self.send(machine.VerdictKept(), now)

    def _begin(self, version: Version, now: float) -> None:
        world, records = self.world, self.world.now
        if (mine := records.begun.get(self.name)) and mine.version == version:
            self.send(machine.Began(True), now)
            return
        if records.fence != self.view.fence or self.name not in records.asked:
            self.send(machine.Began(False), now)
            return
        assert version.digest not in records.halts, "a halted version was begun"
        turn = Turn(self.name, version, world.revision + 1)
        world.write(
            begun={**records.begun, self.name: turn},
            asked=without(records.asked, self.name),
            fence=True,
        )
        self.began.append(version.digest)
        self.send(machine.Began(True), now)

    def end_pass(self, now: float) -> None:
        """The pass over the service ends: bad versions are refused."""
        if self.alive and self.passing:
            self.passing = False
            used = self.state.used
            bad = used is not None and used.digest in self.world.bad
            self.send(machine.Applied("refused" if bad else ""), now)

    def end_verify(self, now: float) -> None:
        if self.alive and self.verifying:
            self.verifying = False
            self.send(machine.VerifyEnded(), now)

    def kill(self) -> None:
        self.alive = False
        self.todo.clear()
        self.passing = self.verifying = False

    def start(self, now: float) -> None:
        if self.alive:
            return
        self.alive = True
        self.state = machine.resumed(self.rollout, self.state.used, self.state.former)
        if self.state.phase is machine.TurnPhase.APPLYING:
            self.passing = True
        self.connect(now)

    def connect(self, now: float) -> None:
        """Under a lease, with a record of its own; the lease of before may still be there."""
        if not self.connected or (self.leased and self.lease_ends_s == float("inf")):
            return
        self.leased, self.lease_ends_s = True, float("inf")
        self.world.without_lease_of(self.name)
        self.world.write(nodes={**self.world.now.nodes, self.name: self.proved})
        self.view = self.world.now
        self.todo.clear()
        self.send(machine.Back(), now)
        self.sync(now)

    def lose(self, now: float) -> None:
        self.lease_ends_s = min(self.lease_ends_s, now + TTL_S)


def without(found, name):  # type: ignore[no-untyped-def]
    return {key: value for key, value in found.items() if key != name}


class World:
    def __init__(self, rollout: Rollout) -> None:
        self.records = Records()
        self.rollout = rollout
        self.now = 0.0
        self.versions = 0
        self.nodes = [
            Node(name, rollout, self.records, machine.resumed(rollout, Version("v0", 1), None))
            for name in NAMES
        ]
        for node in self.nodes:
            node.connect(self.now)

    def do(self, what: str, number: int) -> None:
        node = self.nodes[number % len(self.nodes)]
        match what:
            case "set" | "set bad":
                self.set(bad=what == "set bad")
            case "sync":
                node.sync(self.now)
            case "act":
                node.act(self.now)
            case "pass":
                node.end_pass(self.now)
                node.end_verify(self.now)
            case "time":
                self.pass_time(float(number))
            case _:
                self.fail(what, node)
        self.check()

    def set(self, *, bad: bool) -> None:
        """Somebody changes the gated keys."""
        self.versions += 1
        digest = f"v{self.versions}"
        self.records.revision += 1
        self.records.newest = Version(digest, self.records.revision)
        if bad:
            self.records.bad.add(digest)

    def fail(self, what: str, node: Node) -> None:
        """A node dies or is cut off, or that ends."""
        match what:
            case "kill":
                node.kill()
                node.lose(self.now)
            case "start":
                node.start(self.now)
            case "cut":
                node.cut = True
                node.lose(self.now)
                node.send(machine.Away("no answer"), self.now)
            case "heal":
                node.cut = False
                node.connect(self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for node in self.nodes:
            if node.leased and self.now >= node.lease_ends_s:
                node.leased, node.lease_ends_s = False, 0.0
                self.records.without_lease_of(node.name)
            node.send(machine.TimePassed(), self.now)

    def check(self) -> None:
        """Never more than max_parallel nodes between begin and verdict."""
        begun = self.records.now.begun
        leased = [name for name in begun if name in self.records.now.nodes]
        most = int(self.rollout.max_parallel)
        assert len(leased) <= most, begun
        for version in {turn.version.digest for turn in begun.values()}:
            same = [turn for turn in begun.values() if turn.version.digest == version]
            assert len(same) <= most, "also counting nodes that cannot be seen"

    def settle(self) -> None:
        """Everything is healed and has time."""
        for node in self.nodes:
            node.cut = False
            node.start(self.now)
            node.connect(self.now)
        for _ in range(200):
            for number in range(len(self.nodes)):
                for what in ("sync", "act", "act", "pass"):
                    self.do(what, number)
            self.do("time", 2)


WORK = ("set", "set bad", "sync", "sync", "sync", "act", "act", "act", "pass", "pass", "time")
FAILURES = ("kill", "start", "cut", "heal")
STEP = st.tuples(st.sampled_from((*WORK, *FAILURES)), st.integers(0, 19))
CALM = st.tuples(
    st.sampled_from(("set", "sync", "sync", "act", "act", "pass", "time")), st.integers(0, 9)
)
ROLLOUTS = st.builds(
    Rollout,
    max_parallel=st.integers(1, 3).map(float),
    canaries=st.sampled_from((frozenset(), frozenset("b"), frozenset("bc"))),
    canary_count=st.sampled_from((0, 1, 2)),
    pause_s=st.sampled_from((0.0, 3.0)),
    verify=st.sampled_from((None, Command("true", 1.0))),
    timeout_s=st.just(TIMEOUT_S),
)


@settings(max_examples=300, deadline=None)
@given(ROLLOUTS, st.lists(STEP, max_size=80))
def test_turns_are_kept_whatever_fails(rollout: Rollout, steps: list[tuple[str, int]]) -> None:
    """Never too many at once, and no halted version is begun; in the end nothing is left begun."""
    world = World(rollout)
    for what, number in steps:
        world.do(what, number)
    world.settle()
    records = world.records
    assert not records.now.begun, "a turn was left behind"
    newest = records.newest
    if not halted(records.now, newest.digest):
        assert [node.state.used for node in world.nodes] == [newest] * len(world.nodes)
    else:
        assert all(node.state.used and node.state.used.digest not in records.bad
                   for node in world.nodes)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ROLLOUTS, st.lists(CALM, max_size=60))
def test_without_a_failure_all_end_at_the_newest(
    rollout: Rollout, steps: list[tuple[str, int]]
) -> None:
    """Canaries first: nobody else has begun a version before they have proved it."""
    world = World(rollout)
    for what, number in steps:
        world.do(what, number)
    world.settle()
    assert not world.records.now.halts
    assert {node.state.used for node in world.nodes} == {world.records.newest}
    assert all(node.state.phase is machine.TurnPhase.SETTLED for node in world.nodes)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40))
def test_a_node_that_dies_in_its_turn_frees_it_with_its_lease(seconds: int) -> None:
    """Its version is halted; the next one goes on as soon as the lease has run out."""
    rollout = Rollout(timeout_s=TIMEOUT_S, pause_s=1000.0)
    world = World(rollout)
    world.do("set", 0)
    for number in range(4):
        world.do("sync", number)
        world.do("act", number)
    holder = world.nodes[0]
    holder.sync(world.now)
    holder.act(world.now)
    assert holder.state.phase is machine.TurnPhase.APPLYING
    world.do("kill", 0)
    world.do("set", 0)
    world.do("time", seconds)
    for _ in range(3):
        for number in (1, 2, 3):
            for what in ("sync", "act"):
                world.do(what, number)
    others = [node.state.phase for node in world.nodes[1:]]
    assert (machine.TurnPhase.APPLYING in others) == (seconds >= TTL_S)
    assert not any("v1" in node.began for node in world.nodes[1:])


def test_a_bad_version_stops_at_the_canary_and_is_taken_back() -> None:
    """The others never begin it."""
    world = World(Rollout(canaries=frozenset("c"), max_parallel=4, timeout_s=TIMEOUT_S))
    world.do("set bad", 0)
    world.settle()
    assert [node.began for node in world.nodes] == [[], [], ["v1"], []]
    assert {node.state.used for node in world.nodes} == {Version("v0")}
    assert {node.state.held for node in world.nodes} == {"refused"}
    answer = decide(world.records.now, world.rollout, "a", Version("v1"))
    assert answer.answer is Answer.HALTED


def test_a_decision_of_before_a_halt_begins_nothing() -> None:
    """A node decides while another is in its turn, which fails before this one has begun."""
    world = World(Rollout(max_parallel=2.0, timeout_s=TIMEOUT_S))
    world.do("set bad", 0)
    first, second = world.nodes[:2]
    for node in (first, second):
        node.sync(world.now)
        node.act(world.now)
    first.sync(world.now)
    first.act(world.now)
    second.sync(world.now)
    assert second.state.phase is machine.TurnPhase.BEGINNING
    first.end_pass(world.now)
    first.act(world.now)
    second.act(world.now)
    assert second.began == []
    assert second.state.phase is machine.TurnPhase.ASKING
