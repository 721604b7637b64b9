"""
Confirm: whether a daemon took the configuration it was told to reload.

Shell. `nginx -t` and `nginx -s reload` both exit 0 while the master refuses in the end: a port of
another process, a shared zone with another key. So a daemon is looked at before it is told, and
asked after it, until it has answered. How each is asked is data (config/daemons.py); the kinds of
answers are in files of their own. What to do about a no is for reload.py and above.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import Protocol

from pyconfd.config.daemons import load_daemon
from pyconfd.errors import ReloadError
from pyconfd.pipeline.confirm.daemon_log import DaemonLog

#: Waits between two looks: short at first, because small configurations take 2 to 10 ms.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.002, 0.05


class Verdict(enum.Enum):
    """What became of a reload."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    SILENT = "silent"


#: A verdict and what it rests on, in words.
Answer = tuple[Verdict, str]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The verdict and what it rests on, in words; how long it took to come, in seconds."""

    verdict: Verdict
    text: str
    duration_s: float


class Before(Protocol):
    """A daemon as it was before its reload, which knows how to ask it afterwards."""

    def answer(self) -> Answer | None:
        """What the daemon says now; None when there is nothing yet."""

    def missed(self) -> str:
        """What has not been seen, for a daemon that did not answer in time."""

    def over(self) -> None:
        """Nothing more will be asked."""


def look(name: str, at: str, log: str = "", pid: str = "") -> Before:
    """
    Look at a running daemon before it is told to reload. name: one of recipes/daemons.

    Raises ReloadError when it cannot be asked; then nothing may be told either.
    """
    daemon = load_daemon(name)
    words = DaemonLog.begun(log, daemon)
    match daemon.kind:
        case "processes":
            from pyconfd.pipeline.confirm import by_processes as confirm_processes

            return confirm_processes.look(daemon, at, words)
        case "page":
            from pyconfd.pipeline.confirm import by_page as confirm_page

            return confirm_page.look(daemon, at, words)
        case "socket":
            from pyconfd.pipeline.confirm import by_socket as confirm_socket

            return confirm_socket.look(daemon, at, words)
        case _:
            from pyconfd.pipeline.confirm import by_file as confirm_mark

            return confirm_mark.look(daemon, at, words, pid)


def wait(before: Before, timeout_s: float) -> Confirmation:
    """
    Wait for the daemon's answer after it has been told to reload; SILENT when there was none.
    """
    begun = time.monotonic()
    pause = _FIRST_WAIT_S
    while True:
        answer = before.answer()
        spent = time.monotonic() - begun
        if answer is None and spent >= timeout_s:
            answer = (Verdict.SILENT, f"{before.missed()} within {timeout_s:g} s")
        if answer is not None:
            return Confirmation(*answer, spent)
        time.sleep(min(pause, max(0.0, timeout_s - spent)))
        pause = min(pause * 1.5, _LONGEST_WAIT_S)


def not_running(what: str, where: str, hint: str = "") -> ReloadError:
    """A daemon that cannot be asked. what: one sentence."""
    return ReloadError(
        what,
        where=where,
        kept="the new files are live, and the reload is still owed",
        hint=hint or "start it; pyconfd tries again by itself",
    )
