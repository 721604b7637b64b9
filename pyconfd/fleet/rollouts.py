"""
The keys that services with a rollout use on this node, and the node's way through their versions.

Owned by the daemon's loop. The state machine (reconcile/rollout.py) decides. This class knows the
keys of its versions, passes its commands to the fleet's client and to a runner of verify_cmd, and
returns the services whose files have to be made again. Imported only if something is gated or a
fleet is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from pyconfd.fleet.events import FleetEvent, FleetMessage, KeysFetched, NameContested, RecordsRead
from pyconfd.fleet.kept_views import KeptView, KeptViews
from pyconfd.fleet.records import FleetPin
from pyconfd.model.keys import covering
from pyconfd.model.reads import Reads
from pyconfd.model.resources import Command, Resource, Rollout
from pyconfd.model.steps import LaneReport, Outcome, ReloadFailed
from pyconfd.observe import log
from pyconfd.pipeline.gated import GatedKeys
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile import rollout as machine
from pyconfd.reconcile.read_index import ReadIndex
from pyconfd.reconcile.rollout import IN_TURN, RolloutStatus, TurnPhase
from pyconfd.reconcile.service import Job
from pyconfd.reconcile.turns import TurnRecords, Version, approved, decide

_LONGEST = 400


class TurnKeeper(Protocol):
    """Writes the fleet's records; FleetClient is one."""

    def join(self, service: str, proved: Version | None) -> None: ...
    def leave(self, service: str) -> None: ...
    def ask(self, service: str, version: Version) -> None: ...
    def withdraw(self, service: str) -> None: ...
    def begin(self, service: str, version: Version, records: TurnRecords) -> None: ...
    def fail(self, service: str, version: Version, why: str) -> None: ...
    def report(self, service: str, version: Version, proved: Version | None, bad: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RolloutActions:
    """
    What the loop provides.

    keeper: writes the fleet's records.
    fetch: reads a service's gated keys at a revision, and puts KeysFetched: service, paths,
        version (its digest "" where it is not known), whether for a pin.
    verify: runs a command, and puts FleetEvent(service, VerifyEnded).
    """

    keeper: TurnKeeper
    fetch: Callable[[str, Sequence[str], Version, bool], None]
    verify: Callable[[str, Command], None]


@dataclass(slots=True, eq=False)
class _Gate:
    """
    One service.

    known: digest -> the gated keys, for the versions that the state machine refers to.
    names: of its resources.
    awaits: resources that a job must name to count as one with the version in use.
    generation: of the first such job; 0 while it has not been handed out.
    fetching: the version being read, to start from it.
    unreadable: digests of versions whose keys the store no longer has.
    begun_on: the records on which a begin was decided.
    target: the keys of the revision at which the fleet is pinned.
    target_asked: the revision whose keys are being read for it, 0 for none.
    target_gone: the revision whose keys the store no longer has, 0 for none.
    since_at: of the present state, seconds since 1970.
    """

    service: str
    rollout: Rollout
    state: machine.NodeState
    names: frozenset[str]
    records: TurnRecords = field(default_factory=TurnRecords)
    known: dict[str, GatedKeys] = field(default_factory=dict)
    records_read: bool = False
    based: bool = False
    awaits: frozenset[str] = frozenset()
    generation: int = 0
    fetching: Version | None = None
    unreadable: set[str] = field(default_factory=set)
    target: tuple[int, GatedKeys] | None = None
    target_asked: int = 0
    target_gone: int = 0
    begun_on: TurnRecords | None = None
    since_at: float = 0.0


class Rollouts:
    """
    All services with a rollout. Methods return the services whose files have to be made again.

    fleet, node: the names of the fleet and of this node.
    """

    def __init__(self, fleet: str, node: str, kept: KeptViews, actions: RolloutActions) -> None:
        self._fleet, self._node = fleet, node
        self._kept = kept
        self._actions = actions
        self._gates: dict[str, _Gate] = {}
        self._index: ReadIndex[str] = ReadIndex()
        self._live: Snapshot | None = None
        self._away = "the fleet's records are not read yet"
        self._refused = False
        self._contested = ""
        self._statuses: dict[str, RolloutStatus] = {}
        self._paths: dict[str, tuple[str, ...]] = {}
        self._pins: dict[str, str] = {}
        self._fleet_pins: dict[str, FleetPin] = {}
        self._differences: dict[str, Sequence[str]] = {}
        self._composed: dict[str, tuple[Snapshot, GatedKeys, Snapshot]] = {}

    # What the loop asks

    def gates(self, service: str) -> bool:
        """Whether the service has a rollout."""
        return service in self._gates

    def view(self, service: str, live: Snapshot) -> Snapshot | None:
        """What the service's files are made from; None if there is nothing yet."""
        gate = self._gates.get(service)
        kept = self._kept.get(service)
        keys = kept.effective if gate else kept.pinned
        if gate is None and keys is None:
            return live
        if keys is None or (gate and not gate.based):
            return None
        before = self._composed.get(service)
        if before and before[0] is live and before[1] is keys:
            return before[2]
        found = keys.over(live)
        self._composed[service] = (live, keys, found)
        return found

    @property
    def pins(self) -> Mapping[str, str]:
        """By service: the revision at which an operator keeps it, in words."""
        return self._pins

    def revision(self, service: str) -> int:
        """The revision of the gated keys that a service uses; 0 when all of its keys are live."""
        keys = self._kept.get(service).effective
        return keys.snapshot.revision if keys else 0

    def gated(self, service: str) -> Sequence[str]:
        """The key paths that a service uses at another revision than the newest."""
        keys = self._kept.get(service).effective
        return keys.paths if keys else ()

    def difference(self, service: str) -> Sequence[str]:
        """Names of the gated keys that differ between what is used now and before."""
        return self._differences.pop(service, ())

    @property
    def due_s(self) -> float | None:
        """When `tick` has something to do."""
        times = [due for gate in self._gates.values() if (due := gate.state.due_s) is not None]
        return min(times, default=None)

    @property
    def contested(self) -> str:
        """The host of another daemon with this node's name, "" for none."""
        return self._contested

    @property
    def away(self) -> str:
        """Why no turn can begin now, "" if turns can."""
        return self._away

    @property
    def statuses(self) -> Mapping[str, RolloutStatus]:
        """By service."""
        return self._statuses

    # What the loop reports

    def adopt(self, resources: Iterable[Resource]) -> None:
        """Take a new set of resources; services that stay gated keep their state."""
        members: dict[str, list[Resource]] = {}
        read: dict[str, list[str]] = {}
        for one in resources:
            read.setdefault(one.service_name, []).extend(one.watched)
            if one.service.rollout:
                members.setdefault(one.service_name, []).append(one)
        self._paths = {name: covering(paths) for name, paths in read.items()}
        gone = frozenset(self._gates.keys() - members.keys())
        for name in gone:
            del self._gates[name]
            self._statuses.pop(name, None)
            self._index.drop(name)
            self._actions.keeper.leave(name)
        self._kept.forget(gone)
        for name, found in members.items():
            rollout = found[0].service.rollout
            assert rollout is not None  # noqa: S101 - for the type checker
            self._paths[name] = rollout.keys
            self._adopt_one(name, rollout, frozenset(one.name for one in found))
        self._note_pins()

    def pin(self, service: str, revision: int, by: str) -> str:
        """
        Keep a service at an earlier revision on this node, as soon as its keys are read. Returns
        why that is not possible, "" if it is.
        """
        gate = self._gates.get(service)
        if gate and gate.state.phase in IN_TURN:
            return "its turn is under way; try again when it is over"
        self._kept.change(service, pin=revision, pinned_by=by, by_fleet=False)
        self._fetch_pin(service, revision)
        return ""

    def unpin(self, service: str) -> set[str]:
        """Unpin a service; its files have to be made again if it was pinned."""
        kept = self._kept.get(service)
        if not kept.pin:
            return set()
        self._kept.change(service, pin=0, pinned=None, pinned_by="", by_fleet=False)
        self._note_pins()
        gate = self._gates.get(service)
        return {service} | (self._stay(gate) if gate else set())

    def _stay(self, gate: _Gate) -> set[str]:
        """Ask for no turn while something keeps this node where it is."""
        why = self._stays(gate)
        if not gate.based or why == gate.state.pinned:
            return set()
        return self._step(gate, machine.Pinned(why))

    def _stays(self, gate: _Gate) -> str:
        """
        An order for this node, or one for the fleet whose keys it does not have, in words; else "".
        """
        kept, pin = self._kept.get(gate.service), self._fleet_pins.get(gate.service)
        if kept.pinned is not None:
            return _pin_words(kept)
        if pin is None or (gate.target and gate.target[0] == pin.revision):
            return ""
        if gate.target_gone != pin.revision:
            return f"{pin}: its keys are not read yet"
        command = f"pyconfd unpin {gate.service} --fleet {self._fleet}"
        return f"{pin}, which etcd no longer has; pin a later one, or: {command}"

    def _note_pins(self) -> None:
        known = self._kept.views.items()
        self._pins = {
            name: _pin_words(it) for name, it in known if it.pinned and name in self._paths
        }
        for name, pin in self._fleet_pins.items():
            if name in self._gates:
                self._pins[name] = f"{pin}, in the whole fleet"

    def listed(self, live: Snapshot) -> set[str]:
        """The store was read for the first time, or for another set of resources."""
        self._live = live
        return self._each(list(self._gates.values()), self._refresh)

    def changed(self, keys: Iterable[str], live: Callable[[], Snapshot]) -> set[str]:
        """Note changed keys; if none is gated, this is all it costs to find that out."""
        names = self._index.affected(keys)
        if not names:
            return set()
        self._live = live()
        return self._each([self._gates[name] for name in names], self._refresh)

    def handed_out(self, job: Job) -> None:
        """Note that a job goes to a lane, with the present view."""
        gate = self._gates.get(job.service)
        if gate and gate.awaits and gate.awaits <= job.resources:
            gate.awaits, gate.generation = frozenset(), job.generation

    def finished(self, report: LaneReport) -> set[str]:
        """A pass has ended."""
        gate = self._gates.get(report.service)
        if gate is None or not gate.generation or report.generation < gate.generation:
            return set()
        why = failure_of(report)
        if not why and report.debt and report.reload is None:
            return set()  # its reload is postponed
        return self._step(gate, machine.Applied(why))

    def tick(self, now: float) -> set[str]:
        """Deadlines."""
        due = [
            it for it in self._gates.values() if (at := it.state.due_s) is not None and at <= now
        ]
        return self._each(due, lambda gate: self._step(gate, machine.TimePassed()))

    def take(self, message: FleetMessage) -> set[str]:
        """Handle an event of the fleet."""
        match message:
            case RecordsRead(records, pins):
                for gate in self._gates.values():
                    gate.records = records.get(gate.service, gate.records)
                return self._fleet_pinned(pins) | self._records_read(records)
            case NameContested(by):
                self._name_contested(by)
                return set()
            case KeysFetched():
                return self._pin_fetched(message) if message.pin else self._fetched(message)
            case FleetEvent(service, event):
                self._note_store(event)
                gates = [it for it in self._gates.values() if service in ("", it.service)]
                return self._each(gates, lambda gate: self._step_based(gate, event))

    # Inside

    def _adopt_one(self, name: str, rollout: Rollout, names: frozenset[str]) -> None:
        self._index.set(name, Reads(trees=frozenset(rollout.keys)))
        if gate := self._gates.get(name):
            same = gate.rollout.keys == rollout.keys
            gate.rollout, gate.names, gate.awaits = rollout, names, gate.awaits & names
            gate.state = replace(gate.state, rollout=rollout)
            if not same:
                gate.based = False
            return
        kept = self._kept.get(name)
        used, former = (
            Version(it.digest, it.snapshot.revision) if it else None
            for it in (kept.used, kept.former)
        )
        state = machine.resumed(rollout, used, former)
        state = replace(state, away=self._away)
        gate = _Gate(name, rollout, state, names, since_at=time.time())
        if state.phase is TurnPhase.APPLYING:
            gate.awaits = names
        self._gates[name] = gate
        self._note(gate)

    def _each(self, gates: Iterable[_Gate], call: Callable[[_Gate], set[str]]) -> set[str]:
        found: set[str] = set()
        for gate in gates:
            found |= call(gate)
        return found

    def _refresh(self, gate: _Gate) -> set[str]:
        """Look at the gated keys, which may have changed."""
        assert self._live is not None  # noqa: S101 - for the type checker: it was listed
        pin = self._fleet_pins.get(gate.service)
        newest = self._target(gate, pin) if pin else GatedKeys.of(self._live, gate.rollout.keys)
        version = Version(newest.digest, newest.snapshot.revision) if newest else None
        if newest is not None:
            gate.known[newest.digest] = newest
            gate.state = replace(gate.state, newest=version)
        touched = set() if gate.based else self._find_base(gate)
        if gate.based and version is not None:
            touched |= self._step(gate, machine.Seen(version))
        return touched | self._stay(gate)

    def _target(self, gate: _Gate, pin: FleetPin) -> GatedKeys | None:
        """The keys at which the fleet is pinned; None while they are not read."""
        used = self._kept.get(gate.service).used
        if used and used.snapshot.revision == pin.revision and used.paths == gate.rollout.keys:
            gate.target = (pin.revision, used)  # from before a restart; etcd may have it no more
        if gate.target and gate.target[0] == pin.revision:
            return gate.target[1]
        if pin.revision not in (gate.target_asked, gate.target_gone):
            gate.target_asked = pin.revision
            self._fetch_pin(gate.service, pin.revision)
        return None

    def _fetch_pin(self, service: str, revision: int) -> None:
        """Request the keys of a revision. A node that uses them has published their digest."""
        gate = self._gates.get(service)
        proved = gate.records.nodes.values() if gate else ()
        known = next((it for it in proved if it and it.revision == revision), None)
        version = known or Version("", revision)
        self._actions.fetch(service, self._paths.get(service, ()), version, True)

    def _find_base(self, gate: _Gate) -> set[str]:
        """
        Find what to start from: what this node used before; else what most nodes have proved; else,
        if no node has proved anything or the records may not be read, what is in the store now.

        If the store no longer has what most nodes have proved, another version that a node has
        proved and none has refused is better than no files at all, unless the fleet is pinned, and
        so leaves that version. The newest version is not used: it may be the bad one.
        """
        assert self._live is not None  # noqa: S101 - for the type checker
        kept = self._kept.get(gate.service)
        if kept.used is not None:
            used = kept.used.moved(gate.rollout.keys, self._live)
            former = kept.former.moved(gate.rollout.keys, self._live) if kept.former else None
            return self._base(gate, used, former)
        if gate.fetching or not (gate.records_read or self._refused):
            return set()
        newest, pin = gate.state.newest, self._fleet_pins.get(gate.service)
        choices = approved(gate.records) if gate.records_read else ()
        for version in choices[:1] if pin else choices:
            if version == newest:
                return self._base(gate, gate.known[version.digest], None)
            if version.digest not in gate.unreadable:
                gate.fetching = version
                self._actions.fetch(gate.service, gate.rollout.keys, version, False)
                return set()
        if choices or (pin and gate.target_gone == pin.revision):
            return self._without_files(gate)
        return self._base(gate, gate.known[newest.digest], None) if newest else set()

    def _without_files(self, gate: _Gate) -> set[str]:
        """No proved version can be read: wait for a turn, or for an operator."""
        log.warn(
            "etcd no longer has what the fleet uses: this node has no files until its turn, or"
            f" until: pyconfd pin {gate.service} --revision N",
            service=gate.service,
        )
        return self._base(gate, None, None)

    def _base(self, gate: _Gate, used: GatedKeys | None, former: GatedKeys | None) -> set[str]:
        """Start from these keys, or from None until the node's turn comes."""
        versions = []
        for keys in (used, former):
            if keys is not None:
                gate.known[keys.digest] = keys
            versions.append(Version(keys.digest, keys.snapshot.revision) if keys else None)
        gate.state = replace(gate.state, used=versions[0], former=versions[1])
        if gate.state.turn is not None:
            gate.state = replace(gate.state, turn=versions[0])
        gate.based = True
        gate.state = replace(gate.state, pinned=self._stays(gate))
        self._keep(gate)
        proved = gate.state.former if gate.state.phase is not TurnPhase.SETTLED else versions[0]
        self._actions.keeper.join(gate.service, proved)
        touched = {gate.service} if used is not None else set()
        if gate.state.newest is not None:
            touched |= self._step(gate, machine.Seen(gate.state.newest))
        return touched

    def _fleet_pinned(self, pins: Mapping[str, FleetPin | None]) -> set[str]:
        """Follow the pin of the fleet: a gated service goes there in turn, any other at once."""
        touched: set[str] = set()
        for name, pin in pins.items():
            gate, kept = self._gates.get(name), self._kept.get(name)
            if pin is not None and name not in self._paths:
                continue
            changed = pin != self._fleet_pins.get(name)
            if pin is None:
                self._fleet_pins.pop(name, None)
            else:
                self._fleet_pins[name] = pin
            if gate is not None and changed and self._live is not None:
                touched |= self._refresh(gate)
            elif gate is None and pin is None and kept.by_fleet:
                touched |= self.unpin(name)
            elif gate is None and pin is not None and kept.pin != pin.revision:
                self._kept.change(name, pin=pin.revision, pinned_by=pin.by, by_fleet=True)
                self._fetch_pin(name, pin.revision)
        self._note_pins()
        return touched

    def _pin_fetched(self, message: KeysFetched) -> set[str]:
        service, gate = message.service, self._gates.get(message.service)
        pin, kept = self._fleet_pins.get(service), self._kept.get(service)
        if message.keys is None:
            log.error("cannot be pinned", service=service, reason=message.problem)
            if not message.lasting and service in self._paths:
                self._fetch_pin(service, message.revision)
            elif gate and gate.target_asked == message.revision:
                gate.target_asked, gate.target_gone = 0, message.revision
                return self._refresh(gate) if self._live is not None else set()
            return set()
        touched: set[str] = set()
        if gate and pin and pin.revision == message.revision:
            gate.target, gate.target_asked = (message.revision, message.keys), 0
            touched |= self._refresh(gate) if self._live is not None else set()
        if kept.pin == message.revision:
            self._kept.change(service, pinned=message.keys)
            self._note_pins()
            log.warn("pinned", service=service, revision=message.revision, by=kept.pinned_by)
            touched |= {service} | (self._stay(gate) if gate else set())
        return touched

    def _fetched(self, message: KeysFetched) -> set[str]:
        gate = self._gates.get(message.service)
        asked = gate.fetching if gate else None
        if gate is None or gate.based or asked is None or message.revision != asked.revision:
            return set()
        gate.fetching = None
        if message.keys is not None:
            return self._base(gate, message.keys, None)
        if message.lasting:
            gate.unreadable.add(asked.digest)
            log.warn(
                "what nodes of the fleet use cannot be read",
                service=gate.service,
                reason=message.problem,
            )
        return self._find_base(gate)

    def _records_read(self, records: Mapping[str, TurnRecords]) -> set[str]:
        touched: set[str] = set()
        self._refused = False
        for gate in list(self._gates.values()):
            first = not gate.records_read
            if gate.service not in records and not first:
                continue
            gate.records_read = True
            if first and not gate.based and self._live is not None:
                touched |= self._find_base(gate)
            touched |= self._decide(gate)
            self._note(gate)
        return touched

    def _name_contested(self, by: str) -> None:
        self._contested = by
        if by:
            log.error(
                "another daemon has this node's name and is refused", node=self._node, host=by
            )
        else:
            log.info("no other daemon has this node's name any more", node=self._node)

    def _note_store(self, event: machine.RolloutMessage) -> None:
        match event:
            case machine.Away(why, refused):
                if why != self._away:
                    log.warn(f"fleet: {why}; changes of gated keys are held", node=self._node)
                self._away, self._refused = why, refused
            case machine.Back() if self._away:
                self._away = ""
                log.info("fleet: this node takes part", node=self._node)

    def _decide(self, gate: _Gate) -> set[str]:
        if gate.state.phase is not TurnPhase.ASKING or gate.state.turn is None:
            return set()
        decision = decide(gate.records, gate.rollout, self._node, gate.state.turn)
        return self._step(gate, machine.Decided(decision))

    def _step_based(self, gate: _Gate, message: machine.RolloutMessage) -> set[str]:
        """Like `_step`, for a service that may not know yet what to start from."""
        if gate.based:
            return self._step(gate, message)
        if isinstance(message, machine.Away | machine.Back):
            away = message.why if isinstance(message, machine.Away) else ""
            gate.state = replace(gate.state, away=away)
        return self._find_base(gate) if self._live is not None else set()

    def _step(self, gate: _Gate, message: machine.RolloutMessage) -> set[str]:
        before = gate.state
        gate.state, commands = machine.step(before, message, time.monotonic())
        if (gate.state.phase, gate.state.held) != (before.phase, before.held):
            gate.since_at = time.time()
            _say(gate, before)
        touched: set[str] = set()
        for command in commands:
            touched |= self._carry_out(gate, command)
        if gate.state.phase is TurnPhase.SETTLED and before.phase is not TurnPhase.SETTLED:
            self._keep(gate)
        self._forget_others(gate)
        self._note(gate)
        return touched

    def _note(self, gate: _Gate) -> None:
        self._statuses[gate.service] = RolloutStatus(gate.state, gate.records, gate.since_at)

    def _carry_out(self, gate: _Gate, command: machine.RolloutCommand) -> set[str]:
        keeper, name = self._actions.keeper, gate.service
        match command:
            case machine.Ask(version):
                keeper.ask(name, version)
            case machine.WithdrawAsk():
                keeper.withdraw(name)
            case machine.Begin(version):
                gate.begun_on = gate.records
                keeper.begin(name, version, gate.records)
            case machine.Fail(version, why):
                keeper.fail(name, version, why)
            case machine.Report(version, bad):
                keeper.report(name, version, gate.state.former if bad else version, bad)
            case machine.RunVerify():
                if gate.rollout.verify:
                    self._actions.verify(name, gate.rollout.verify)
            case machine.Decide() if gate.records is not gate.begun_on:
                return self._decide(gate)  # else the records that made it fail are on their way
            case machine.Use(version):
                return self._use(gate, version)
        return set()

    def _use(self, gate: _Gate, version: Version | None) -> set[str]:
        gate.awaits, gate.generation = gate.names, 0
        before = self._kept.get(gate.service).used
        self._keep(gate)
        after = self._kept.get(gate.service).used
        if before and after:
            self._differences[gate.service] = before.differing(after)
        return {gate.service} if version is not None else set()

    def _keep(self, gate: _Gate) -> None:
        """Store what the machine uses, so that a restart continues from there."""
        kept = self._kept.get(gate.service)
        used, former = (
            gate.known.get(it.digest) if it else None for it in (gate.state.used, gate.state.former)
        )
        if (_named(kept.used), _named(kept.former)) != (_named(used), _named(former)):
            used, former = _alone(used), _alone(former)
            self._kept.change(gate.service, used=used, former=former)

    def _forget_others(self, gate: _Gate) -> None:
        """Forget the keys of versions that are over."""
        state = gate.state
        needed = {it.digest for it in (state.used, state.newest, state.turn, state.former) if it}
        if gate.based and gate.known.keys() - needed:
            gate.known = {key: it for key, it in gate.known.items() if key in needed}


def _pin_words(kept: KeptView) -> str:
    by = f" by {kept.pinned_by}" if kept.pinned_by else ""
    return f"pinned at revision {kept.pin}{by}"


def _named(keys: GatedKeys | None) -> object:
    return (keys.digest, keys.paths) if keys else None


def _alone(keys: GatedKeys | None) -> GatedKeys | None:
    """The gated keys without the rest of the snapshot, which would stay in memory."""
    if keys is None:
        return None
    return GatedKeys.holding(keys.snapshot.revision, keys.items(), keys.paths)


def failure_of(report: LaneReport) -> str:
    """Why a pass counts as failed, "" when it does not."""
    if isinstance(report.reload, ReloadFailed):
        return _brief(_reload_words(report.reload))
    failed = next((one for one in report.outcomes if one.result.failed), None)
    return _brief(_words(failed)) if failed else ""


def _words(outcome: Outcome) -> str:
    found = outcome.report.output if outcome.report else ""
    words = found or str(outcome.error or outcome.result)
    return f"{outcome.resource.name}: {words}"


def _reload_words(failed: ReloadFailed) -> str:
    words = failed.report.output.strip() if failed.report else ""
    why = failed.error.what if failed.error else failed.report.reason if failed.report else "failed"
    return f"reload: {why}" + (f": {words}" if words else "")


def _brief(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _say(gate: _Gate, before: machine.NodeState) -> None:
    """Log one line for each step that matters to an operator."""
    state = gate.state
    revision = state.turn.revision if state.turn else None
    facts = {"service": gate.service, "revision": revision}
    match state.phase:
        case TurnPhase.APPLYING:
            log.info("its turn: the new settings are applied", **facts)
        case TurnPhase.PROVING if state.rollout.pause_s:
            log.info("applied; it must be well for the pause", **facts)
        case TurnPhase.TAKING_BACK:
            log.error(
                "its turn failed; the former settings are put back", reason=state.bad, **facts
            )
        case TurnPhase.SETTLED if before.phase is TurnPhase.REPORTING and not before.bad:
            log.info("its turn is over", service=gate.service)
        case _ if state.held and state.held != before.held:
            log.info("a change of gated keys is held", service=gate.service, reason=state.held)
