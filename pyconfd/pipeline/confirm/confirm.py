"""
Confirm: finds out whether a daemon has taken its new configuration.

Shell. `nginx -t` and `nginx -s reload` may both exit with 0 although the master refuses: a port of
another process, a shared zone with another key. So a daemon is inspected before the reload, and
polled after it until it has answered. Data describes how to ask each daemon (config/daemons.py);
the kinds of answers are in files of their own. reload.py and its callers handle a refusal.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pyconfd.config.daemons import load_daemon
from pyconfd.pipeline.confirm.base import BeforeReload, ReloadVerdict
from pyconfd.pipeline.confirm.daemon_log import DaemonLog

#: Waits between two polls: short at first, because small configurations take 2 to 10 ms.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.002, 0.05


@dataclass(frozen=True, slots=True)
class Confirmation:
    """
    The answer of a daemon.

    text: the evidence for the verdict.
    duration_s: how long it took.
    """

    verdict: ReloadVerdict
    text: str
    duration_s: float


def inspect(name: str, at: str, log: str = "", pid: str = "", conf: str = "") -> BeforeReload:
    """
    Inspect a running daemon before it is reloaded.

    name: one of recipes/daemons. conf: its main file, if that identifies it. Raises ReloadError
    when it cannot be asked; then it must not be reloaded either.
    """
    daemon = load_daemon(name)
    lines = DaemonLog.begun(log, daemon)
    match daemon.kind:
        case "processes":
            from pyconfd.pipeline.confirm import by_processes

            return by_processes.inspect(daemon, at, lines, conf)
        case "page":
            from pyconfd.pipeline.confirm import by_page

            return by_page.inspect(daemon, at, lines)
        case "socket":
            from pyconfd.pipeline.confirm import by_socket

            return by_socket.inspect(daemon, at, lines)
        case _:
            from pyconfd.pipeline.confirm import by_file

            return by_file.inspect(daemon, at, lines, pid)


def wait(before: BeforeReload, timeout_s: float) -> Confirmation:
    """Poll the daemon after the reload command until it answers; SILENT if it does not."""
    begun = time.monotonic()
    pause = _FIRST_WAIT_S
    while True:
        answer = before.poll()
        spent = time.monotonic() - begun
        if answer is None and spent >= timeout_s:
            answer = (ReloadVerdict.SILENT, f"{before.missing()} within {timeout_s:g} s")
        if answer is not None:
            return Confirmation(*answer, spent)
        time.sleep(min(pause, max(0.0, timeout_s - spent)))
        pause = min(pause * 1.5, _LONGEST_WAIT_S)
