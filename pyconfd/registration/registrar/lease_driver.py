"""Carries out the commands of the lease session machine for each group of members. Shell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyconfd.registration.registrar import lease_session as session
from pyconfd.registration.registrar import member
from pyconfd.registration.registrar.inbox import Inbox
from pyconfd.registration.registrar.notices import NoticeHandler, StoreState
from pyconfd.registration.registrar.roster import LeaseGroup, Roster, RosterEntry
from pyconfd.registration.registrar.store_client import LeaseClient

ASK_AGAIN_S = 0.3


@dataclass(slots=True)
class LeaseDriver:
    """
    The leases of all groups. Called only from the registrar's thread.

    _notify_member: queues a message for the machine of the member with this key
    """

    _inbox: Inbox
    _roster: Roster
    _client: LeaseClient
    _jitter: Callable[[], float]
    _notify: NoticeHandler
    _notify_member: Callable[[str, member.Message], None]
    _reported_problem: str = ""

    def queue(self, group: LeaseGroup, message: session.Message) -> None:
        """Queue a message for the group's machine, after the current step."""
        self._inbox.later(partial(self._step, group, message))

    def queue_release(self, group: LeaseGroup) -> None:
        """End the lease, and with it every key under it, unless a member needs it by then."""
        self._inbox.later(partial(self._release, group))

    def await_store(self, key: str, answered: threading.Event) -> None:
        """Set the event once the store has answered a question about this key."""
        if self._client.answers(key):
            answered.set()
        else:
            ask = partial(self.await_store, key, answered)
            self._inbox.plan(self._inbox.now() + ASK_AGAIN_S, ("store", key, answered), ask)
        self._report(self._client.problem)

    def kept_alive(self, lease: int, left_s: int) -> None:
        """The store has answered a heartbeat."""
        for group in self._roster.groups.values():
            if group.lease.lease == lease:
                self._step(group, session.KeptAlive(lease, float(left_s)))

    def stream_broken(self) -> None:
        """The stream of heartbeats broke."""
        for group in self._roster.groups.values():
            self._step(group, session.StreamBroken())

    def _step(self, group: LeaseGroup, message: session.Message) -> None:
        now = self._inbox.now()
        group.lease, commands = session.step(group.lease, message, now, self._jitter())
        for command in commands:
            self._carry_out(group, command)
        tick = partial(self._step, group, session.Tick())
        self._inbox.plan(session.next_due(group.lease), ("lease", group.ttl_s), tick)
        self._report(group.lease.problem or self._client.problem)

    def _carry_out(self, group: LeaseGroup, command: session.Command) -> None:
        match command:
            case session.Grant():
                self.queue(group, self._client.grant(group.ttl_s))
            case session.Revoke(lease):
                self.queue(group, self._client.revoke(lease))
            case session.KeepAlive(lease, verify):
                self._client.keep_alive(lease)
                if verify:
                    self._verify(group, lease)
            case session.LeaseUp():
                for key in group.members:
                    self._notify_member(key, command)
            case session.LeaseDown():
                for key in group.members:
                    self._lease_down(self._roster.entries[key], command)

    def _lease_down(self, entry: RosterEntry, down: session.LeaseDown) -> None:
        withdrawing = entry.state.phase is member.MemberPhase.WITHDRAWING
        self._notify_member(entry.key, down)
        if withdrawing:
            self._notify_member(entry.key, member.Withdrawn())

    def _verify(self, group: LeaseGroup, lease: int) -> None:
        """
        Verify the keys under the lease: they can be deleted by hand, or put by a newer process.
        """
        present = self._client.keys_under(lease)
        if present is None:
            return
        for key in group.holding - present:
            if self._roster.entries[key].state.held == lease:
                self._notify_member(key, member.KeyGone(lease))

    def _release(self, group: LeaseGroup) -> None:
        if not group.wanting and group.lease.wanted:
            self._step(group, session.Release())

    def _report(self, problem: str) -> None:
        if problem != self._reported_problem:
            self._reported_problem = problem
            self._notify(StoreState(problem))
