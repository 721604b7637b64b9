"""
Keeps members registered: one thread, and its interface for other threads. Shell.

    add -> health_driver (probes, verdict) -> member_driver (wanted) -> lease_driver (grant)
        -> member_driver (lease up, claim) -> the key

The machines in health.py, lease_session.py and member.py decide; the drivers carry out.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pyconfd.backends.base import KeptAlive, LeaseRegistry
from pyconfd.registration.declaration import Announcement
from pyconfd.registration.health import RotationVerdict
from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar import lease_session as session
from pyconfd.registration.registrar import member
from pyconfd.registration.registrar.health_driver import HealthDriver
from pyconfd.registration.registrar.health_monitor import HealthMonitor
from pyconfd.registration.registrar.inbox import Inbox
from pyconfd.registration.registrar.lease_driver import LeaseDriver
from pyconfd.registration.registrar.member_driver import MemberDriver
from pyconfd.registration.registrar.notices import (
    MemberChanged,
    MemberStatus,
    NoticeHandler,
    RegistrarDied,
)
from pyconfd.registration.registrar.probes import Machine
from pyconfd.registration.registrar.roster import Roster, RosterEntry
from pyconfd.registration.registrar.store_client import LeaseClient
from pyconfd.system.proc import Runner


def awake_clock() -> float:
    """Seconds that also count while the machine is suspended, because leases expire then too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Registrar:
    """
    Keeps members registered while they are healthy. Members are known by key.

    open_registry: makes the store's client; its arguments are called with keep-alive answers and at
    the end of their stream. Called from the registrar's own thread.
    run: for exec probes and hooks.
    notify: called from the registrar's thread with every Notice; it must not block.
    time_scale: seconds of the clock in a second of waiting, other than 1 for tests.
    """

    def __init__(
        self,
        open_registry: Callable[[KeptAlive, Callable[[], None]], LeaseRegistry],
        run: Runner,
        notify: NoticeHandler,
        *,
        clock: Callable[[], float] = awake_clock,
        time_scale: float = 1.0,
        jitter: Callable[[], float] = random.random,
        machine: Machine | None = None,
    ) -> None:
        self._clock = clock
        self._notify = notify
        inbox = self._inbox = Inbox(clock, time_scale)
        roster = self._roster = Roster()

        def kept_alive(lease: int, left_s: int) -> None:
            inbox.post(partial(self._leases.kept_alive, lease, left_s))

        def stream_broken() -> None:
            inbox.post(self._leases.stream_broken)

        def notify_member(key: str, message: member.Message) -> None:
            self._members.queue(key, message)

        client = self._client = LeaseClient(lambda: open_registry(kept_alive, stream_broken), clock)
        self._leases = LeaseDriver(inbox, roster, client, jitter, notify, notify_member)
        self._members = MemberDriver(
            inbox, roster, client, self._leases, run, jitter, notify, self._forget
        )
        self._health = HealthDriver(inbox, roster, run, machine or Machine(), notify_member)
        self._thread: threading.Thread | None = None
        self._stop_at: float | None = None
        self._withdrawals: list[threading.Event] = []
        self._turned_at = clock()

    # From any thread

    def start(self) -> None:
        """Start the thread; may be called once."""
        self._thread = threading.Thread(target=self._live, name="registrar", daemon=True)
        self._thread.start()

    def add(self, announced: Announcement) -> None:
        """Keep this member registered. It replaces a declaration with the same key."""
        self._inbox.post(partial(self._add, announced))

    def remove(self, key: str) -> None:
        """Withdraw this member and forget it."""
        self._inbox.post(partial(self._remove, key))

    def exclude(self, key: str, why: str) -> None:
        """Take this member out of rotation, whatever its health; an empty `why` ends that."""
        excluded = RotationVerdict(False, Reason.MAINTENANCE, why) if why else None
        self._inbox.post(partial(self._exclude, key, excluded))

    def await_store(self, key: str) -> threading.Event:
        """An event that is set once the store has answered a question about this key."""
        answered = threading.Event()
        self._inbox.post(partial(self._leases.await_store, key, answered))
        return answered

    def withdraw_all(self, why: str, timeout_s: float) -> bool:
        """Take all members out of rotation for good and wait; False when it takes too long."""
        done = threading.Event()
        self._inbox.post(partial(self._exclude_all, why, done))
        return done.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Withdraw all members, end the leases and the thread. False when it takes too long."""
        if self._thread is None:
            return True
        self._inbox.post(partial(self._begin_stop, timeout_s))
        self._thread.join(timeout_s + 1.0)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def idle_s(self) -> float:
        """Seconds since the thread last answered a `turn`."""
        return self._clock() - self._turned_at

    def turn(self) -> None:
        """Ask the thread for a sign of life."""
        self._inbox.post(self._turned)

    def _turned(self) -> None:
        self._turned_at = self._clock()

    def statuses(self) -> tuple[MemberStatus, ...]:
        """All members as they are now."""
        return tuple(entry.status for entry in list(self._roster.entries.values()))

    # The thread

    def _live(self) -> None:
        try:
            while not self._over():
                self._inbox.take()
                self._settle()
                for timer in self._inbox.take_due():
                    timer.call()
                    self._settle()
                self._report_withdrawals()
        except Exception as error:  # noqa: BLE001 - the top of the thread: it must be reported
            self._notify(RegistrarDied(f"{type(error).__name__}: {error}"))
            for done in self._withdrawals:
                done.set()
        finally:
            self._health.stop()
            self._members.stop()
            self._client.close()

    def _settle(self) -> None:
        self._inbox.run_steps()
        while self._members.claim_pending():
            self._inbox.run_steps()

    def _over(self) -> bool:
        if self._stop_at is None:
            return False
        done = not (self._roster.any_held or self._roster.any_lease)
        return done or self._clock() >= self._stop_at

    def _report_withdrawals(self) -> None:
        if self._withdrawals and not self._roster.any_held:
            for done in self._withdrawals:
                done.set()
            self._withdrawals.clear()

    # Coming and going

    def _add(self, announced: Announcement) -> None:
        if self._stop_at is not None:
            return
        declared = announced.declared
        existing = self._roster.entries.get(announced.key)
        if existing is not None and existing.ttl_s != declared.ttl_s:
            # Another TTL is another lease: the key must go with the old one first.
            existing.successor = announced
            self._remove(announced.key)
            return
        monitor = self._health.monitor(announced)
        if existing is not None:
            existing.announced, existing.monitor, existing.removed = announced, monitor, False
            existing.state = replace(
                existing.state, before=bool(declared.before), after=bool(declared.after_withdraw)
            )
        entry = existing or self._enter(announced, monitor)
        self._health.apply_verdict(entry)
        self._health.poll(entry)

    def _enter(self, announced: Announcement, monitor: HealthMonitor) -> RosterEntry:
        declared = announced.declared
        status = MemberStatus(
            service=declared.service,
            member_id=announced.member_id,
            key=announced.key,
            phase=member.MemberPhase.WAITING,
            since=self._clock(),
        )
        state = member.Member(before=bool(declared.before), after=bool(declared.after_withdraw))
        entry = RosterEntry(announced, state, monitor, status, announced.value(monitor.weight))
        group = self._roster.enter(entry)
        if group.lease.usable:
            self._members.queue(announced.key, session.LeaseUp(group.lease.lease))
        self._notify(MemberChanged(status, None))
        return entry

    def _remove(self, key: str) -> None:
        if entry := self._roster.entries.get(key):
            entry.removed = True
            self._exclude(key, RotationVerdict(False, Reason.REMOVED, "removed"))
            if not entry.holds:
                self._forget(entry)

    def _forget(self, entry: RosterEntry) -> None:
        if self._roster.forget(entry) and entry.successor is not None:
            self._add(entry.successor)

    def _exclude(self, key: str, excluded: RotationVerdict | None) -> None:
        if entry := self._roster.entries.get(key):
            entry.monitor.excluded = excluded
            self._health.apply_verdict(entry)

    def _exclude_all(self, why: str, done: threading.Event) -> None:
        """Exclude all members before any is withdrawn, so that one revocation withdraws all."""
        self._withdrawals.append(done)
        for entry in self._roster.entries.values():
            entry.monitor.excluded = RotationVerdict(False, Reason.STOPPING, why)
            self._roster.group_of(entry).wanting.discard(entry.key)
        for entry in list(self._roster.entries.values()):
            self._health.apply_verdict(entry)

    def _begin_stop(self, timeout_s: float) -> None:
        self._stop_at = self._clock() + timeout_s
        self._inbox.plan(self._stop_at, "stop", lambda: None)  # wakes the thread
        self._exclude_all("stopping", threading.Event())
        for group in self._roster.groups.values():
            self._leases.queue_release(group)
