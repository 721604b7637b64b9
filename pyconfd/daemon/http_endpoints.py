"""
The daemon's HTTP pages: its own page, metrics for Prometheus, health for load balancers and
orchestrators.

Each page asks the loop through the inbox, like everything else. If the loop does not answer, the
page says so.
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
#: So many of the last versions are on the page.
_VERSIONS = 10


def listener(
    host: str,
    port: int,
    put: Callable[[ControlRequest], None],
    *,
    folder: str = "",
    answer_s: float = ANSWER_S,
) -> Listener:
    """
    The listener of a daemon. put: takes requests. folder: the state folder. answer_s: how long the
    loop may take.
    """

    def asked(question: str) -> Mapping[str, Any] | None:
        answers: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        put(ControlRequest({"do": question}, answers.put))
        try:
            return answers.get(timeout=answer_s)
        except queue.Empty:
            return None

    return Listener(
        host,
        port,
        {
            "/": lambda: own_page(asked("status"), folder),
            "/metrics": lambda: metrics(asked("measure")),
            "/health": lambda: health(asked("measure")),
            "/livez": lambda: alive(asked("alive")),
            "/readyz": lambda: ready(asked("measure")),
        },
    )


def own_page(picture: Mapping[str, Any] | None, folder: str) -> HttpResponse:
    """The page for people: the state, what is held, what was refused, the last versions."""
    if picture is None:
        return _silent()
    from pyconfd.daemon.version_log import VersionLog
    from pyconfd.status.html_page import headers, html_page

    last = VersionLog(folder).last(_VERSIONS) if folder else ()
    text = html_page(picture, last)
    return HttpResponse(200, "text/html; charset=utf-8", text.encode(), headers())


def alive(answer: Mapping[str, Any] | None) -> HttpResponse:
    """200 while the main loop answers."""
    return _silent() if answer is None else HttpResponse(200, _TEXT, b"ok\n")


def ready(measures: Mapping[str, Any] | None) -> HttpResponse:
    """200 once every resource was processed, also while the store is away."""
    if measures is None:
        return _silent()
    line = f"{escaped(str(measures['line']))}\n"
    return HttpResponse(200 if measures["ready"] else 503, _TEXT, line.encode())


def metrics(measures: Mapping[str, Any] | None) -> HttpResponse:
    """The metrics for Prometheus."""
    if measures is None:
        return _silent()
    services = [{**row, "old_workers": _old_workers(row["master"])} for row in measures["services"]]
    return HttpResponse(200, CONTENT_TYPE, exposition({**measures, "services": services}))


def _old_workers(master: tuple[str, int, float] | None) -> int | None:
    """Looked at when it is asked for, and outside of the loop."""
    if master is None:
        return None
    from pyconfd.config.daemons import load_daemon
    from pyconfd.pipeline.confirm.by_processes import old_workers

    name, pid, started = master
    return old_workers(load_daemon(name), pid, started)


def health(measures: Mapping[str, Any] | None) -> HttpResponse:
    """200 when every resource was processed and the store answers; else 503 with what is wrong."""
    if measures is None:
        return _silent()
    good = measures["ready"] and measures["connected"]
    return HttpResponse(200 if good else 503, _TEXT, f"{escaped(str(measures['line']))}\n".encode())


def _silent() -> HttpResponse:
    return HttpResponse(503, _TEXT, b"pyconfd does not answer: its main loop is stuck\n")
