"""Carries out the commands of the members' machines: claims, withdrawals, hooks, notices. Shell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from pyconfd.backends.base import MAX_TOGETHER
from pyconfd.registration.registrar import lease_session as session
from pyconfd.registration.registrar import member
from pyconfd.registration.registrar.inbox import Inbox
from pyconfd.registration.registrar.lease_driver import LeaseDriver
from pyconfd.registration.registrar.notices import MemberChanged, NoticeHandler
from pyconfd.registration.registrar.pool import WorkerPool
from pyconfd.registration.registrar.roster import LeaseNeed, Roster, RosterEntry
from pyconfd.registration.registrar.store_client import LeaseClient
from pyconfd.system.proc import Runner

MAX_HOOKS = 8


@dataclass(slots=True)
class MemberDriver:
    """
    The keys of all members. Called only from the registrar's thread.

    _run: for the operator's commands
    _gone: called with a removed member whose key is gone
    """

    _inbox: Inbox
    _roster: Roster
    _client: LeaseClient
    _leases: LeaseDriver
    _run: Runner
    _jitter: Callable[[], float]
    _notify: NoticeHandler
    _gone: Callable[[RosterEntry], None]
    _hooks: WorkerPool = field(default_factory=lambda: WorkerPool("hook", MAX_HOOKS))
    _claims: list[tuple[RosterEntry, member.Claim]] = field(default_factory=list)

    def queue(self, key: str, message: member.Message) -> None:
        """Queue a message for the member's machine, after the current step."""
        self._inbox.later(partial(self._take, key, message))

    def claim_pending(self) -> bool:
        """
        Carry out all waiting claims: together if none of the keys exists, else one by one. False
        when there was none.
        """
        claims, self._claims = self._claims, []
        by_lease: dict[int, list[tuple[RosterEntry, member.Claim]]] = {}
        for each in claims:
            by_lease.setdefault(each[1].lease, []).append(each)
        for lease, several in by_lease.items():
            for start in range(0, len(several), MAX_TOGETHER):
                self._claim_together(lease, several[start : start + MAX_TOGETHER])
        return bool(claims)

    def stop(self) -> None:
        """Start no further hooks."""
        self._hooks.stop()

    def _take(self, key: str, message: member.Message) -> None:
        if entry := self._roster.entries.get(key):
            self._step(entry, message)

    def _step(self, entry: RosterEntry, message: member.Message) -> None:
        now = self._inbox.now()
        entry.state, command = member.step(entry.state, message, now, self._jitter())
        group = self._roster.group_of(entry)
        match self._roster.account(entry):
            case LeaseNeed.ACQUIRE:
                self._leases.queue(group, session.Acquire())
            case LeaseNeed.RELEASE:
                self._leases.queue_release(group)
        if command is not None:
            self._carry_out(entry, command)
        else:
            tick = partial(self._take, entry.key, session.Tick())
            self._inbox.plan(entry.state.due_at, ("member", entry.key), tick)
        self._report(entry, now)
        if entry.removed and not entry.holds:
            self._gone(entry)

    def _carry_out(self, entry: RosterEntry, command: member.Command) -> None:
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

    def _claim_together(self, lease: int, several: list[tuple[RosterEntry, member.Claim]]) -> None:
        pairs = [(entry.announced, entry.value) for entry, _ in several]
        if len(several) > 1 and self._client.claim_absent(pairs, lease):
            for entry, _ in several:
                self.queue(entry.key, member.Claimed(lease))
        else:
            for entry, claim in several:
                self._claim(entry, lease, claim.again)

    def _claim(self, entry: RosterEntry, lease: int, again: bool) -> None:
        outcome = self._client.claim(entry.announced, entry.value, lease, again)
        if isinstance(outcome, session.Gone):
            self.queue(entry.key, member.ClaimFailed("the store no longer knows the lease"))
            self._leases.queue(self._roster.group_of(entry), outcome)
        else:
            self.queue(entry.key, outcome)

    def _withdraw(self, entry: RosterEntry, lease: int) -> None:
        """
        Withdraw the key by ending its lease if no other member needs that, else by deleting it.
        """
        group = self._roster.group_of(entry)
        if group.wanting or group.lease.lease != lease:
            self.queue(entry.key, self._client.withdraw(entry.key))
        else:
            self._leases.queue_release(group)

    def _hook(
        self, entry: RosterEntry, command: str, outcome: Callable[[str], member.Message]
    ) -> None:
        key, timeout_s = entry.announced.key, entry.announced.declared.hook_timeout_s

        def run() -> None:
            report = self._run(command, timeout_s=timeout_s)
            output = report.output.strip().splitlines()[-1:] if not report.ok else []
            ended("" if report.ok else f"{command!r}: {': '.join([report.reason, *output])}")

        def ended(problem: str) -> None:
            self._inbox.post(lambda: self.queue(key, outcome(problem)))

        self._hooks.submit(run, ended)

    def _report(self, entry: RosterEntry, now: float) -> None:
        before, state = entry.status, entry.state
        since = before.since if before.phase is state.phase else now
        after = replace(
            before,
            phase=state.phase,
            lease=state.held,
            reason=state.reason,
            why=state.why,
            since=since,
        )
        if after != before:
            entry.status = after
            self._notify(MemberChanged(after, before))
