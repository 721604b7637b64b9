"""An outage of the store: since when, why, and whether it was already reported. Pure."""

from __future__ import annotations

from pyconfd.errors import SourceError, SourceUnavailable


class OutageTracker:
    """
    Tracks one outage after the other.

    cause: the newest one in words; empty while there is no outage.
    since_s: of the first sign of this outage, monotonic.
    """

    def __init__(self) -> None:
        self.cause = ""
        self.since_s = 0.0
        self._reported: set[str] = set()  # in this outage; empty while there is none

    def heard(self, cause: SourceError, now: float) -> bool:
        """
        Note a failure of the store. Returns whether to report it.

        While a store does not answer, the reasons of its nodes change with every attempt (refused,
        no answer in time); these changes are not reported. A refusal needs an operator, so each new
        one is reported: the unknown authority, and when that is fixed, the wrong password. If nodes
        alternate between refusal and silence, each is reported once.
        """
        if not self._reported:
            self.since_s = now
        self.cause = str(cause)
        matter = type(cause).__name__ if isinstance(cause, SourceUnavailable) else self.cause
        news = matter not in self._reported
        self._reported.add(matter)
        return news

    def ended(self) -> bool:
        """Note that the store has answered. Returns whether that ends an outage."""
        ends = bool(self._reported)
        self._reported.clear()
        self.cause = ""
        return ends
