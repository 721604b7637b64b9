"""What is told about members: to the log, to systemd, to users of the Python interface. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyconfd.registration.registrar.member import MemberPhase


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """
    One member now. lease: under which its key stands, 0 for none. why: reason of the phase.

    since: when the phase began, seconds of the registrar's clock.
    """

    service: str
    member_id: str
    key: str
    phase: MemberPhase
    lease: int = 0
    why: str = ""
    since: float = 0.0

    @property
    def registered(self) -> bool:
        """Whether the key stands, as far as we know."""
        return self.phase is MemberPhase.REGISTERED


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A member's phase or its reason changed. before: None at the first time."""

    status: MemberStatus
    before: MemberStatus | None


@dataclass(frozen=True, slots=True)
class StoreState:
    """The store stopped answering, or answers again (problem is empty)."""

    problem: str


@dataclass(frozen=True, slots=True)
class RegistrarDied:
    """The registrar's thread ended by a fault of its own; leases end with their TTL."""

    problem: str


Notice = MemberChanged | StoreState | RegistrarDied
Tell = Callable[[Notice], None]
