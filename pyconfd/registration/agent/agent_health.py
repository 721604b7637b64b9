"""The health of a running `pyconfd register`, in one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.notices import MemberStatus

#: Out of rotation because the operator wants it so.
_WANTED = (Reason.MAINTENANCE, Reason.REMOVED)


@dataclass(frozen=True, slots=True)
class AgentHealth:
    """
    A running agent at one moment.

    members: those whose address is known.
    declared: how many members there should be.
    store_problem: why the store does not answer; "" when it does.
    """

    members: Sequence[MemberStatus]
    declared: int
    store_problem: str = ""

    @property
    def trouble(self) -> str:
        """What is wrong; "" when every member is registered, or out of rotation on purpose."""
        if self.store_problem:
            return f"the store does not answer: {self.store_problem}"
        if len(self.members) < self.declared:
            return f"{self.declared - len(self.members)} of {self.declared} have no address yet"
        away = [one for one in self.members if not one.registered and one.reason not in _WANTED]
        if not away:
            return ""
        first = away[0]
        why = first.why or str(first.phase)
        return f"{len(away)} not registered ({first.service}, {first.member_id}: {why})"
