"""
What is answered over HTTP: metrics for Prometheus, health for load balancers and orchestrators.

Each page asks the loop, through the inbox like everything else; a loop that does not answer is the
answer.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from typing import Any

from pyconfd.daemon.control_socket import ANSWER_S, ControlRequest
from pyconfd.model.safe_text import escaped
from pyconfd.observe.http import HttpResponse, Listener
from pyconfd.observe.metrics import CONTENT_TYPE, exposition

_TEXT = "text/plain; charset=utf-8"


def listener(
    host: str, port: int, put: Callable[[ControlRequest], None], *, answer_s: float = ANSWER_S
) -> Listener:
    """The listener of a daemon. put: takes requests. answer_s: how long the loop may take."""

    def asked() -> Mapping[str, Any] | None:
        answers: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        put(ControlRequest({"do": "measure"}, answers.put))
        try:
            return answers.get(timeout=answer_s)
        except queue.Empty:
            return None

    return Listener(
        host, port, {"/metrics": lambda: metrics(asked()), "/health": lambda: health(asked())}
    )


def metrics(measures: Mapping[str, Any] | None) -> HttpResponse:
    """The page that Prometheus reads."""
    if measures is None:
        return _silent()
    return HttpResponse(200, CONTENT_TYPE, exposition(measures))


def health(measures: Mapping[str, Any] | None) -> HttpResponse:
    """200 when every resource was processed and the store answers; else 503 with what is wrong."""
    if measures is None:
        return _silent()
    good = measures["ready"] and measures["connected"]
    return HttpResponse(200 if good else 503, _TEXT, f"{escaped(str(measures['line']))}\n".encode())


def _silent() -> HttpResponse:
    return HttpResponse(503, _TEXT, b"pyconfd does not answer: its main loop is stuck\n")
