"""Starts probes when they are due, and passes the verdicts of monitors to their members. Shell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pyconfd.registration.declaration import Announcement
from pyconfd.registration.registrar import member
from pyconfd.registration.registrar.health_monitor import HealthMonitor, Probe
from pyconfd.registration.registrar.inbox import Inbox
from pyconfd.registration.registrar.pool import WorkerPool
from pyconfd.registration.registrar.probes import Machine, Prober
from pyconfd.registration.registrar.roster import Roster, RosterEntry
from pyconfd.system.proc import Runner

MAX_PROBES = 32  # at a time; a probe waits on others, so more than there are processors


class HealthDriver:
    """
    The health of all members. Called only from the registrar's thread.

    run: for exec probes. notify_member: as in LeaseDriver.
    """

    def __init__(
        self,
        inbox: Inbox,
        roster: Roster,
        run: Runner,
        machine: Machine,
        notify_member: Callable[[str, member.Message], None],
    ) -> None:
        self._inbox = inbox
        self._roster = roster
        self._machine = machine
        self._prober = Prober(run, machine)
        self._notify_member = notify_member
        self._probes = WorkerPool("probe", MAX_PROBES)

    def monitor(self, announced: Announcement) -> HealthMonitor:
        """A new monitor of a member."""
        return HealthMonitor(
            announced.declared, announced.address, self._prober, self._machine, self._inbox.now()
        )

    def poll(self, entry: RosterEntry) -> None:
        """Start the probes that are due, and check what else may have changed."""
        now, monitor = self._inbox.now(), entry.monitor
        for number, probe in monitor.due_probes(now):
            answer = partial(self._answered, entry.key, monitor, number)
            self._probes.submit(partial(_ask, probe, answer), partial(answer, False))
        if monitor.refresh(now):
            self.apply_verdict(entry)
        value = entry.announced.value(monitor.weight)
        if value != entry.value:
            entry.value = value
            self._notify_member(entry.key, member.ValueChanged())
        self._plan(entry)

    def apply_verdict(self, entry: RosterEntry) -> None:
        """Notify the member when it should enter or leave rotation."""
        verdict = entry.monitor.verdict()
        if verdict != entry.verdict:
            entry.verdict = verdict
            wanted, reason, why = verdict
            message = member.Wanted() if wanted else member.Unwanted(why, reason)
            self._notify_member(entry.key, message)

    def stop(self) -> None:
        """Start no further probes."""
        self._probes.stop()

    def _plan(self, entry: RosterEntry) -> None:
        poll = partial(self._poll_due, entry.key)
        self._inbox.plan(entry.monitor.next_due(), ("health", entry.key), poll)

    def _poll_due(self, key: str) -> None:
        if entry := self._roster.entries.get(key):
            self.poll(entry)

    def _answered(
        self, key: str, monitor: HealthMonitor, number: int, passed: bool, why: str
    ) -> None:
        """Handle the answer to a probe. Called from a worker thread."""
        self._inbox.post(partial(self._probed, key, monitor, number, passed, why))

    def _probed(
        self, key: str, monitor: HealthMonitor, number: int, passed: bool, why: str
    ) -> None:
        entry = self._roster.entries.get(key)
        if entry is None or entry.monitor is not monitor:
            return
        monitor.probed(number, passed, why, self._inbox.now())
        self.apply_verdict(entry)
        self._plan(entry)


def _ask(probe: Probe, answer: Callable[[bool, str], None]) -> None:
    passed, why = probe()
    answer(passed, why)
