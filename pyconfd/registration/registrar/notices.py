"""The notices about members for the log, systemd and the Python interface. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.member import MemberPhase


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """
    One member now.

    key: its key path
    lease: the lease its key is under, 0 for none
    reason: why it is in this phase
    why: the same, for people
    since: when the phase began, seconds of the registrar's clock
    """

    service: str
    member_id: str
    key: str
    phase: MemberPhase
    lease: int = 0
    reason: Reason = Reason.NONE
    why: str = ""
    since: float = 0.0

    @property
    def registered(self) -> bool:
        """Whether the key is there, as far as known."""
        return self.phase is MemberPhase.REGISTERED


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member's phase or its reason has changed. before: None for the first notice."""

    status: MemberStatus
    before: MemberStatus | None


@dataclass(frozen=True, slots=True)
class StoreState:
    """The store stopped answering, or answers again (problem is empty)."""

    problem: str


@dataclass(frozen=True, slots=True)
class RegistrarDied:
    """The registrar's thread has ended because of a fault; leases end with their TTL."""

    problem: str


Notice = MemberChanged | StoreState | RegistrarDied
NoticeHandler = Callable[[Notice], None]
