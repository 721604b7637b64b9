"""The pages of `pyconfd register --metrics-listen`: health, and metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from pyconfd.config.address import split_listen
from pyconfd.model.safe_text import escaped
from pyconfd.observe.http import HttpResponse, Listener
from pyconfd.registration.agent.agent_health import AgentHealth

_TEXT = "text/plain; charset=utf-8"


def listener(address: str, look: Callable[[], AgentHealth]) -> Listener:
    """The listener of an agent. address: HOST:PORT, checked. look: called on any thread."""
    pages = {"/metrics": lambda: _metrics(look()), "/health": lambda: health(look())}
    return Listener(*split_listen(address), pages)


def health(found: AgentHealth) -> HttpResponse:
    """200 when nothing is wrong; else 503 with what is wrong."""
    registered = sum(one.registered for one in found.members)
    line = found.trouble or f"ok: {registered} of {found.declared} registered"
    return HttpResponse(503 if found.trouble else 200, _TEXT, f"{escaped(line)}\n".encode())


def _metrics(found: AgentHealth) -> HttpResponse:
    from pyconfd.observe.metrics import CONTENT_TYPE, members_exposition

    members = [(one.service, one.member_id, one.registered) for one in found.members]
    body = members_exposition(members, found.declared, connected=not found.store_problem)
    return HttpResponse(200, CONTENT_TYPE, body)
