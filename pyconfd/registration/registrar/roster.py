"""
The members, and which of them share a lease. Pure; only the registrar's thread changes it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from pyconfd.registration.declaration import Announcement
from pyconfd.registration.health import RotationVerdict
from pyconfd.registration.registrar import lease_session as session
from pyconfd.registration.registrar import member
from pyconfd.registration.registrar.health_monitor import HealthMonitor
from pyconfd.registration.registrar.notices import MemberStatus


@dataclass(slots=True)
class RosterEntry:
    """
    A member as the registrar knows it.

    announced: what to register
    state: its machine
    monitor: its health, maintenance and weight
    status: as last reported
    value: to put under its key
    verdict: the last one that its machine got, None before the first
    removed: whether to forget it once its key is gone
    successor: the member that then takes its place, None for none
    """

    announced: Announcement
    state: member.Member
    monitor: HealthMonitor
    status: MemberStatus
    value: bytes
    verdict: RotationVerdict | None = None
    removed: bool = False
    successor: Announcement | None = None

    @property
    def key(self) -> str:
        """Its key path, by which it is known."""
        return self.announced.key

    @property
    def ttl_s(self) -> int:
        """Its TTL, by which its group is known."""
        return self.announced.declared.ttl_s

    @property
    def holds(self) -> bool:
        """Whether its key may be in the store, or the clean-up after it is not done."""
        leaving = (member.MemberPhase.WITHDRAWING, member.MemberPhase.CLEANING)
        return bool(self.state.held) or self.state.dirty or self.state.phase in leaving


@dataclass(slots=True)
class LeaseGroup:
    """
    All members with one TTL: they share a lease.

    members: their keys
    wanting: keys of members that should be in rotation
    holding: keys that may be in the store
    """

    ttl_s: int
    lease: session.Lease
    members: set[str] = field(default_factory=set)
    wanting: set[str] = field(default_factory=set)
    holding: set[str] = field(default_factory=set)


class LeaseNeed(enum.Enum):
    """The effect of a member's change on the lease of its group."""

    UNCHANGED = enum.auto()
    ACQUIRE = enum.auto()
    RELEASE = enum.auto()


class Roster:
    """All entries by key and all groups by TTL."""

    def __init__(self) -> None:
        self.entries: dict[str, RosterEntry] = {}
        self.groups: dict[int, LeaseGroup] = {}

    def enter(self, entry: RosterEntry) -> LeaseGroup:
        """Add a member. Returns its group."""
        self.entries[entry.key] = entry
        ttl_s = entry.ttl_s
        if ttl_s not in self.groups:
            self.groups[ttl_s] = LeaseGroup(ttl_s, session.Lease(asked_ttl_s=ttl_s))
        self.groups[ttl_s].members.add(entry.key)
        return self.groups[ttl_s]

    def forget(self, entry: RosterEntry) -> bool:
        """Remove a member; False when it was not there."""
        if self.entries.pop(entry.key, None) is None:
            return False
        group = self.groups[entry.ttl_s]
        for keys in (group.members, group.wanting, group.holding):
            keys.discard(entry.key)
        return True

    def group_of(self, entry: RosterEntry) -> LeaseGroup:
        return self.groups[entry.ttl_s]

    def account(self, entry: RosterEntry) -> LeaseNeed:
        """Update the group's sets after the member's state has changed."""
        group, key, state = self.groups[entry.ttl_s], entry.key, entry.state
        (group.holding.add if state.held else group.holding.discard)(key)
        if state.wanted and key not in group.wanting:
            group.wanting.add(key)
            return LeaseNeed.UNCHANGED if group.lease.wanted else LeaseNeed.ACQUIRE
        if not state.wanted and key in group.wanting:
            group.wanting.discard(key)
            if not group.wanting and not group.holding:
                return LeaseNeed.RELEASE
        return LeaseNeed.UNCHANGED

    @property
    def any_held(self) -> bool:
        """Whether any member's key may still be in the store, or a clean-up is not done."""
        return any(entry.holds for entry in self.entries.values())

    @property
    def any_lease(self) -> bool:
        return any(group.lease.lease for group in self.groups.values())
