"""Whether an agent is as it should be, in one line."""

from __future__ import annotations

import pytest

from pyconfd.registration.agent.agent_health import AgentHealth
from pyconfd.registration.agent.health_pages import health
from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.member import MemberPhase
from pyconfd.registration.registrar.notices import MemberStatus


def member(registered: bool = False, reason: Reason = Reason.NONE, why: str = "") -> MemberStatus:
    phase = MemberPhase.REGISTERED if registered else MemberPhase.WAITING
    return MemberStatus("www", "10.0.0.1:80", "/k", phase, reason=reason, why=why)


@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        (AgentHealth((member(True), member(True)), 2), 200, "ok: 2 of 2 registered"),
        (
            AgentHealth((member(True), member(reason=Reason.MAINTENANCE)), 2),
            200,
            "ok: 1 of 2 registered",
        ),
        (AgentHealth((member(),), 1), 503, "1 not registered (www, 10.0.0.1:80: "),
        (
            AgentHealth((member(reason=Reason.UNHEALTHY, why="http: 500"), member(True)), 2),
            503,
            "1 not registered (www, 10.0.0.1:80: http: 500)",
        ),
        (AgentHealth((member(reason=Reason.STOPPING, why="stopping"),), 1), 503, "stopping"),
        (AgentHealth((), 2), 503, "2 of 2 have no address yet"),
        (AgentHealth((member(True),), 1, "refused"), 503, "the store does not answer: refused"),
    ],
)
def test_health_is_one_line(found: AgentHealth, status: int, says: str) -> None:
    """200 only while every member is where it should be, and the store answers."""
    page = health(found)
    assert page.status == status
    assert says in page.body.decode()
