"""
Confirm: whether a daemon took the configuration it was told to reload.

Shell. `nginx -t` and `nginx -s reload` both exit 0 while the master refuses in the end: a port of
another process, a shared zone with another key. So a daemon is looked at before it is told, and
asked after it, until it has answered. How each is asked is data (config/daemons.py); the kinds of
answers are in files of their own. What to do about a no is for reload.py and above.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pyconfd.config.daemons import load_daemon
from pyconfd.pipeline.confirm.base import BeforeReload, ReloadVerdict
from pyconfd.pipeline.confirm.daemon_log import DaemonLog

#: Waits between two looks: short at first, because small configurations take 2 to 10 ms.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.002, 0.05


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The verdict and what it rests on, in words; how long it took to come, in seconds."""

    verdict: ReloadVerdict
    text: str
    duration_s: float


def look(name: str, at: str, log: str = "", pid: str = "", conf: str = "") -> BeforeReload:
    """
    Look at a running daemon before it is told to reload. name: one of recipes/daemons. conf:
    its main file, where that tells it from others.

    Raises ReloadError when it cannot be asked; then nothing may be told either.
    """
    daemon = load_daemon(name)
    words = DaemonLog.begun(log, daemon)
    match daemon.kind:
        case "processes":
            from pyconfd.pipeline.confirm import by_processes

            return by_processes.look(daemon, at, words, conf)
        case "page":
            from pyconfd.pipeline.confirm import by_page

            return by_page.look(daemon, at, words)
        case "socket":
            from pyconfd.pipeline.confirm import by_socket

            return by_socket.look(daemon, at, words)
        case _:
            from pyconfd.pipeline.confirm import by_file

            return by_file.look(daemon, at, words, pid)


def wait(before: BeforeReload, timeout_s: float) -> Confirmation:
    """
    Wait for the daemon's answer after it has been told to reload; SILENT when there was none.
    """
    begun = time.monotonic()
    pause = _FIRST_WAIT_S
    while True:
        answer = before.answer()
        spent = time.monotonic() - begun
        if answer is None and spent >= timeout_s:
            answer = (ReloadVerdict.SILENT, f"{before.missed()} within {timeout_s:g} s")
        if answer is not None:
            return Confirmation(*answer, spent)
        time.sleep(min(pause, max(0.0, timeout_s - spent)))
        pause = min(pause * 1.5, _LONGEST_WAIT_S)
