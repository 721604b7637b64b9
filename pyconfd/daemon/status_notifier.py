"""
Sends the status line to systemd when it changes, and logs it when the states in it do.
"""

from __future__ import annotations

import enum
import time

from pyconfd.observe import log
from pyconfd.status.summary import DaemonState, Summary, line, states
from pyconfd.system.sdnotify import Notifier

#: A busy store changes the revision in the line many times a second, too fast to read.
LEAST_S = 1.0
_STARTING = (DaemonState.STARTING,)


class StatusNotifier:
    """What was shown last. Main thread only."""

    def __init__(self, notify: Notifier) -> None:
        self._notify = notify
        self._states: tuple[enum.StrEnum, ...] = _STARTING
        self._line = ""
        self._shown_s = 0.0
        self._due_s: float | None = None

    @property
    def due_s(self) -> float | None:
        """When a line that was held back is due, monotonic; None: none was."""
        return self._due_s

    def show(self, summary: Summary, now: float) -> None:
        """Show what is new. now: monotonic seconds."""
        new = states(summary)
        if new == _STARTING:  # SIGHUP starts everything over; that alone is no news
            new = self._states
        if new == self._states and not self._notify.wanted:
            return
        text = line(summary, time.time(), ages=False)
        if new != self._states:
            self._states = new
            log.info(f"status: {text}")
        elif now < self._shown_s + LEAST_S:
            self._due_s = self._shown_s + LEAST_S if text != self._line else None
            return
        self._due_s = None
        if text != self._line:
            self._line, self._shown_s = text, now
            self._notify.status(text)
