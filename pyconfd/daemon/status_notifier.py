"""
Sends the status line to systemd when it changes, and logs it when its states change.
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
    """Remembers what was shown last. Main thread only."""

    def __init__(self, notify: Notifier) -> None:
        self._notify = notify
        self._states: tuple[enum.StrEnum, ...] = _STARTING
        self._line = ""
        self._looked_s = 0.0
        self._due_s: float | None = None

    @property
    def due_s(self) -> float | None:
        """When a postponed line is due, monotonic; None when there is none."""
        return self._due_s

    def show(self, summary: Summary, now: float) -> None:
        """Send and log what has changed. now: monotonic seconds."""
        new = states(summary)
        if new == _STARTING:  # SIGHUP starts everything over; that alone is no news
            new = self._states
        if new == self._states and not self._notify.wanted:
            return
        if new == self._states and now < self._looked_s + LEAST_S:
            self._due_s = self._looked_s + LEAST_S  # the line is not even made
            return
        self._due_s, self._looked_s = None, now
        text = line(summary, time.time(), ages=False)
        if new != self._states:
            self._states = new
            log.info(f"status: {text}")
        if text != self._line:
            self._line = text
            self._notify.status(text)
