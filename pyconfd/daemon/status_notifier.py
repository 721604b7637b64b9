"""
Says the line of the state where people look: to systemd when it changes, in the log when its kind
does.
"""

from __future__ import annotations

import time

from pyconfd.observe import log
from pyconfd.status.summary import STARTING, Summary, kind, line
from pyconfd.system.sdnotify import Notifier

#: A busy store changes the revision in the line many times a second; nobody reads that.
LEAST_S = 1.0


class StatusNotifier:
    """What was said last. Main thread only."""

    def __init__(self, notify: Notifier) -> None:
        self._notify = notify
        self._kind = STARTING
        self._line = ""
        self._said_s = 0.0
        self._due_s: float | None = None

    @property
    def due_s(self) -> float | None:
        """When a line that was held back is to be said, monotonic; None: nothing is."""
        return self._due_s

    def tell(self, summary: Summary, now: float) -> None:
        """Say what is new. now: monotonic seconds."""
        new_kind = kind(summary)
        if new_kind == STARTING:  # SIGHUP makes everything new; that alone is no news
            new_kind = self._kind
        if new_kind == self._kind and not self._notify.wanted:
            return
        text = line(summary, time.time(), ages=False)
        if new_kind != self._kind:
            self._kind = new_kind
            log.info(f"status: {text}")
        elif now < self._said_s + LEAST_S:
            self._due_s = self._said_s + LEAST_S if text != self._line else None
            return
        self._due_s = None
        if text != self._line:
            self._line, self._said_s = text, now
            self._notify.status(text)
