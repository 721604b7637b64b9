"""
One thread that carries out what the machines of leases and members command. Shell.

It owns every session; others talk to it through its inbox. Decisions are in session.py, member.py
and health.py: here is only who is told what, and when.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue

from pyconfd.backends.base import MAX_TOGETHER, KeptAlive, LeaseRegistry
from pyconfd.registration.declaration import Announcement
from pyconfd.registration.registrar import lease_session as session
from pyconfd.registration.registrar import member
from pyconfd.registration.registrar.health_monitor import HealthMonitor, Probe
from pyconfd.registration.registrar.notices import (
    MemberChanged,
    MemberStatus,
    RegistrarDied,
    StoreState,
    Tell,
)
from pyconfd.registration.registrar.pool import WorkerPool
from pyconfd.registration.registrar.probes import Machine, Prober
from pyconfd.registration.registrar.roster import LeaseGroup, Roster, RosterEntry, Turn
from pyconfd.registration.registrar.schedule import Look, TimerQueue
from pyconfd.registration.registrar.store_client import LeaseClient
from pyconfd.system.proc import Runner

MAX_PROBES = 32  # at a time; a probe waits on others, so more than there are processors
MAX_HOOKS = 8
ASK_AGAIN_S = 0.3
STOPPING = "stopping"


def awake_clock() -> float:
    """Seconds that also pass while the machine is suspended, when leases expire all the same."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Registrar:
    """
    Keeps members registered while they are well.

    open_registry: makes the store's client, given where keep-alive answers and the end of their
    stream are to go; called from the registrar's own thread. run: for exec probes and hooks.
    tell: called from that thread with every Notice; it must not block. Members are known by key.
    time_scale: seconds of the clock in a second of waiting, other than 1 for tests.
    """

    def __init__(
        self,
        open_registry: Callable[[KeptAlive, Callable[[], None]], LeaseRegistry],
        run: Runner,
        tell: Tell,
        *,
        clock: Callable[[], float] = awake_clock,
        time_scale: float = 1.0,
        jitter: Callable[[], float] = random.random,
        machine: Machine | None = None,
    ) -> None:
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._carrier = LeaseClient(lambda: open_registry(self._answer, self._broken), clock)
        self._run_command = run
        self._tell = tell
        self._clock = clock
        self._haste = time_scale
        self._luck = jitter
        self._machine = machine or Machine()
        self._probes = WorkerPool("probe", MAX_PROBES)
        self._hooks = WorkerPool("hook", MAX_HOOKS)
        self._agenda = TimerQueue()
        self._roster = Roster()
        self._todo: deque[Callable[[], None]] = deque()
        self._claims: list[tuple[RosterEntry, member.Claim]] = []
        self._thread: threading.Thread | None = None
        self._stop_at: float | None = None
        self._waiting: list[threading.Event] = []
        self._told_problem = ""
        self._turned_at = clock()

    # From any thread

    def start(self) -> None:
        """Begin; once."""
        self._thread = threading.Thread(target=self._live, name="registrar", daemon=True)
        self._thread.start()

    def add(self, announced: Announcement) -> None:
        """Keep this member registered. One with the same key replaces its declaration."""
        self._inbox.put(lambda: self._add(announced))

    def remove(self, key: str) -> None:
        """Withdraw this member and forget it."""
        self._inbox.put(lambda: self._remove(key))

    def exclude(self, key: str, why: str) -> None:
        """Take this member out of rotation, whatever its health; an empty `why` ends that."""
        self._inbox.put(lambda: self._exclude(key, why))

    def await_store(self, key: str) -> threading.Event:
        """An event that is set once the store has answered a question about this key."""
        done = threading.Event()
        self._inbox.put(lambda: self._ask_store(key, done))
        return done

    def withdraw_all(self, why: str, timeout_s: float) -> bool:
        """Take all members out of rotation for good and wait; False when it takes too long."""
        done = threading.Event()
        self._inbox.put(lambda: self._exclude_all(why, done))
        return done.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Withdraw everything, end the lease and the thread. False when it takes too long."""
        if self._thread is None:
            return True
        self._inbox.put(lambda: self._begin_stop(timeout_s))
        self._thread.join(timeout_s + 1.0)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def idle_s(self) -> float:
        """Seconds since the thread last got to a `turn`."""
        return self._clock() - self._turned_at

    def turn(self) -> None:
        """Have the thread show a sign of life."""
        self._inbox.put(self._turned)

    def _turned(self) -> None:
        self._turned_at = self._clock()

    def statuses(self) -> tuple[MemberStatus, ...]:
        """All members as they are now."""
        return tuple(entry.status for entry in list(self._roster.entries.values()))

    def _answer(self, lease: int, left_s: int) -> None:
        self._inbox.put(lambda: self._beat_answered(lease, left_s))

    def _broken(self) -> None:
        self._inbox.put(self._all_broken)

    # The thread

    def _live(self) -> None:
        try:
            while not self._over():
                self._take(self._agenda.wait_s(self._clock()))
                for entry in self._agenda.take_due(self._clock()):
                    self._look(entry)
                    self._work_off()
                self._settle_waiting()
        except Exception as error:  # noqa: BLE001 - the top of the thread: it must be told
            self._tell(RegistrarDied(f"{type(error).__name__}: {error}"))
            for done in self._waiting:
                done.set()
        finally:
            self._probes.stop()
            self._hooks.stop()
            self._carrier.close()

    def _take(self, wait_s: float | None) -> None:
        """Everything on the inbox, after waiting for the first."""
        try:
            self._inbox.get(timeout=None if wait_s is None else wait_s / self._haste)()
            while True:  # many that come together are claimed together
                self._inbox.get_nowait()()
        except Empty:
            self._work_off()

    def _work_off(self) -> None:
        while self._todo or self._claims:
            while self._todo:
                self._todo.popleft()()
            self._claim_all()

    def _over(self) -> bool:
        if self._stop_at is None:
            return False
        done = not (self._roster.any_held or self._roster.any_lease)
        return done or self._clock() >= self._stop_at

    def _look(self, look: Look) -> None:
        entry = self._roster.entries.get(str(look.key))
        match look.kind:
            case "lease":
                for group in self._roster.groups.values():
                    if group.ttl_s == look.key:
                        self._feed_lease(group, session.Tick())
            case "member" if entry is not None:
                self._feed(entry, member.Tick())
            case "watching" if entry is not None:
                self._watch(entry, self._clock())
            case "store":
                self._ask_store(*look.key)  # type: ignore[misc]

    # Leases

    def _feed_lease(self, group: LeaseGroup, message: session.Message) -> None:
        group.lease, commands = session.step(group.lease, message, self._clock(), self._luck())
        for command in commands:
            self._carry_lease(group, command)
        self._agenda.plan(session.next_due(group.lease), "lease", group.ttl_s)
        self._tell_problem(group.lease.problem or self._carrier.problem)

    def _lease_later(self, group: LeaseGroup, message: session.Message) -> None:
        self._todo.append(lambda: self._feed_lease(group, message))

    def _carry_lease(self, group: LeaseGroup, command: session.Command) -> None:
        match command:
            case session.Grant():
                self._lease_later(group, self._carrier.grant(group.ttl_s))
            case session.Revoke(lease):
                self._lease_later(group, self._carrier.revoke(lease))
            case session.KeepAlive(lease, verify):
                self._carrier.keep_alive(lease)
                if verify:
                    self._verify(group, lease)
            case session.LeaseUp(lease):
                for key in group.members:
                    self._later(key, member.LeaseUp(lease))
            case session.LeaseDown(lease, why):
                for key in group.members:
                    self._lease_down(self._roster.entries[key], lease, why)

    def _lease_down(self, entry: RosterEntry, lease: int, why: str) -> None:
        withdrawing = entry.state.phase is member.MemberPhase.WITHDRAWING
        self._later(entry.key, member.LeaseDown(lease, why))
        if withdrawing:
            self._later(entry.key, member.Withdrawn())

    def _verify(self, group: LeaseGroup, lease: int) -> None:
        """Keys can be removed by hand, or put again by a newer process under its own lease."""
        there = self._carrier.keys_under(lease)
        if there is None:
            return
        for key in group.holding - there:
            if self._roster.entries[key].state.held == lease:
                self._later(key, member.KeyGone(lease))

    def _unwanted(self, group: LeaseGroup) -> None:
        """The lease goes when nobody wants it, and with it whatever is under it."""
        if not group.wanting and group.lease.wanted:
            self._feed_lease(group, session.Unwanted())

    def _ask_store(self, key: str, done: threading.Event) -> None:
        if self._carrier.answers(key):
            done.set()
        else:
            self._agenda.plan(self._clock() + ASK_AGAIN_S, "store", (key, done))
        self._tell_problem(self._carrier.problem)

    def _beat_answered(self, lease: int, left_s: int) -> None:
        for group in self._roster.groups.values():
            if group.lease.lease == lease:
                self._feed_lease(group, session.KeptAlive(lease, float(left_s)))

    def _all_broken(self) -> None:
        for group in self._roster.groups.values():
            self._feed_lease(group, session.StreamBroken())

    # Members

    def _later(self, key: str, message: member.Message) -> None:
        def feed() -> None:
            if entry := self._roster.entries.get(key):
                self._feed(entry, message)

        self._todo.append(feed)

    def _feed(self, entry: RosterEntry, message: member.Message) -> None:
        now = self._clock()
        entry.state, command = member.step(entry.state, message, now, self._luck())
        group = self._roster.group_of(entry)
        match self._roster.account(entry):
            case Turn.WANTED:
                self._lease_later(group, session.Wanted())
            case Turn.UNWANTED:
                self._todo.append(lambda: self._unwanted(group))
        if command is not None:
            self._carry(entry, command)
        else:
            self._agenda.plan(entry.state.due_at, "member", entry.key)
        self._publish(entry, now)
        if entry.removed and not entry.holds:
            self._forget(entry)

    def _carry(self, entry: RosterEntry, command: member.Command) -> None:
        declared = entry.announced.declared
        match command:
            case member.Prepare():
                self._hook(entry, declared.before, member.Prepared)
            case member.Clean():
                self._hook(entry, declared.after_withdraw, lambda _: member.Cleaned())
            case member.Claim():
                self._claims.append((entry, command))
            case member.Withdraw(lease):
                self._withdraw(entry, lease)

    def _claim_all(self) -> None:
        """What is to be claimed now: together where nothing stands there, else one by one."""
        claims, self._claims = self._claims, []
        by_lease: dict[int, list[tuple[RosterEntry, member.Claim]]] = {}
        for each in claims:
            by_lease.setdefault(each[1].lease, []).append(each)
        for lease, several in by_lease.items():
            for start in range(0, len(several), MAX_TOGETHER):
                self._claim_some(lease, several[start : start + MAX_TOGETHER])

    def _claim_some(self, lease: int, several: list[tuple[RosterEntry, member.Claim]]) -> None:
        pairs = [(entry.announced, entry.value) for entry, _ in several]
        if len(several) > 1 and self._carrier.claim_absent(pairs, lease):
            for entry, _ in several:
                self._later(entry.key, member.Claimed(lease))
        else:
            for entry, claim in several:
                self._claim(entry, lease, claim.again)

    def _claim(self, entry: RosterEntry, lease: int, again: bool) -> None:
        outcome = self._carrier.claim(entry.announced, entry.value, lease, again)
        if isinstance(outcome, session.Gone):
            self._later(entry.key, member.ClaimFailed("the store no longer knows the lease"))
            self._lease_later(self._roster.group_of(entry), outcome)
        else:
            self._later(entry.key, outcome)

    def _withdraw(self, entry: RosterEntry, lease: int) -> None:
        """With the lease when nobody else wants it, else the key alone."""
        group = self._roster.group_of(entry)
        if group.wanting or group.lease.lease != lease:
            self._later(entry.key, self._carrier.withdraw(entry.key))
        else:
            self._todo.append(lambda: self._unwanted(group))

    def _hook(
        self, entry: RosterEntry, command: str, outcome: Callable[[str], member.Message]
    ) -> None:
        key, timeout_s = entry.announced.key, entry.announced.declared.hook_timeout_s

        def run() -> None:
            report = self._run_command(command, timeout_s=timeout_s)
            said = report.output.strip().splitlines()[-1:] if not report.ok else []
            problem = "" if report.ok else f"{command!r}: {': '.join([report.reason, *said])}"
            over(problem)

        def over(problem: str) -> None:
            self._inbox.put(lambda: self._later(key, outcome(problem)))

        self._hooks.submit(run, over)

    def _publish(self, entry: RosterEntry, now: float) -> None:
        before, state = entry.status, entry.state
        if (before.phase, before.why, before.lease) == (state.phase, state.why, state.held):
            return
        entry.status = MemberStatus(
            service=before.service,
            member_id=before.member_id,
            key=before.key,
            phase=state.phase,
            lease=state.held,
            why=state.why,
            since=before.since if before.phase is state.phase else now,
        )
        self._tell(MemberChanged(entry.status, before))

    def _tell_problem(self, problem: str) -> None:
        if problem != self._told_problem:
            self._told_problem = problem
            self._tell(StoreState(problem))

    # Coming and going

    def _add(self, announced: Announcement) -> None:
        if self._stop_at is not None:
            return
        declared = announced.declared
        there = self._roster.entries.get(announced.key)
        if there is not None and there.ttl_s != declared.ttl_s:
            # Another TTL is another lease: the key must go with the old one first.
            there.successor = announced
            self._remove(announced.key)
            return
        now = self._clock()
        prober = Prober(self._run_command, self._machine)
        watching = HealthMonitor(declared, announced.address, prober, self._machine, now)
        if there is not None:
            there.announced, there.watching, there.removed = announced, watching, False
            there.state = replace(
                there.state, before=bool(declared.before), after=bool(declared.after_withdraw)
            )
        entry = there or self._enter(announced, watching, now)
        self._judge(entry)
        self._watch(entry, now)

    def _enter(self, announced: Announcement, watching: HealthMonitor, now: float) -> RosterEntry:
        key, declared = announced.key, announced.declared
        status = MemberStatus(
            declared.service, announced.member_id, key, member.MemberPhase.WAITING, since=now
        )
        state = member.Member(before=bool(declared.before), after=bool(declared.after_withdraw))
        entry = RosterEntry(announced, state, watching, status, announced.value(watching.weight))
        group = self._roster.enter(entry)
        if group.lease.usable:
            self._later(key, member.LeaseUp(group.lease.lease))
        self._tell(MemberChanged(status, None))
        return entry

    def _remove(self, key: str) -> None:
        if entry := self._roster.entries.get(key):
            entry.removed = True
            self._exclude(key, "removed")
            if not entry.holds:
                self._forget(entry)

    def _forget(self, entry: RosterEntry) -> None:
        if self._roster.forget(entry) and entry.successor is not None:
            self._add(entry.successor)

    def _exclude(self, key: str, why: str) -> None:
        if entry := self._roster.entries.get(key):
            entry.watching.excluded = why
            self._judge(entry)

    def _exclude_all(self, why: str, done: threading.Event) -> None:
        """All are told before any is withdrawn, so that one revocation does for all."""
        self._waiting.append(done)
        for entry in self._roster.entries.values():
            entry.watching.excluded = why
            self._roster.group_of(entry).wanting.discard(entry.key)
        for entry in list(self._roster.entries.values()):
            self._judge(entry)

    def _begin_stop(self, timeout_s: float) -> None:
        self._stop_at = self._clock() + timeout_s
        self._agenda.plan(self._stop_at, "stop", None)
        self._exclude_all(STOPPING, threading.Event())
        for group in self._roster.groups.values():
            self._todo.append(partial(self._unwanted, group))

    def _settle_waiting(self) -> None:
        """Tell those who wait for the withdrawal of everything."""
        if self._waiting and not self._roster.any_held:
            for done in self._waiting:
                done.set()
            self._waiting.clear()

    # Health

    def _watch(self, entry: RosterEntry, now: float) -> None:
        """Start the probes that are due and look at what else may have changed."""
        watching = entry.watching
        for number, probe in watching.due_probes(now):
            answer = partial(self._answered, entry.key, watching, number)
            self._probes.submit(partial(_ask, probe, answer), partial(answer, False))
        if watching.look(now):
            self._judge(entry)
        self._reweigh(entry)
        self._agenda.plan(watching.next_due(), "watching", entry.key)

    def _answered(
        self, key: str, watching: HealthMonitor, number: int, passed: bool, why: str
    ) -> None:
        """From a thread of the workers."""
        self._inbox.put(lambda: self._probed(key, watching, number, passed, why))

    def _probed(
        self, key: str, watching: HealthMonitor, number: int, passed: bool, why: str
    ) -> None:
        entry = self._roster.entries.get(key)
        if entry is None or entry.watching is not watching:
            return
        watching.probed(number, passed, why, self._clock())
        self._judge(entry)
        self._agenda.plan(watching.next_due(), "watching", key)

    def _judge(self, entry: RosterEntry) -> None:
        """Tell the member whether it should be in rotation."""
        wanted, why = verdict = entry.watching.verdict()
        if verdict != entry.told:
            entry.told = verdict
            self._later(entry.key, member.Wanted() if wanted else member.Unwanted(why))

    def _reweigh(self, entry: RosterEntry) -> None:
        value = entry.announced.value(entry.watching.weight)
        if value != entry.value:
            entry.value = value
            self._later(entry.key, member.ValueChanged())


def _ask(probe: Probe, answer: Callable[[bool, str], None]) -> None:
    passed, why = probe()
    answer(passed, why)
