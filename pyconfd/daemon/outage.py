"""The store is unavailable: since when, why, and whether that was reported already. Pure."""

from __future__ import annotations

from pyconfd.errors import SourceError, SourceUnavailable


class OutageTracker:
    """
    One outage after the other.

    cause: the newest one in words; empty while there is no outage.
    since_s: of the first sign of this outage, monotonic.
    """

    def __init__(self) -> None:
        self.cause = ""
        self.since_s = 0.0
        self._reported: set[str] = set()  # in this outage; empty while there is none

    def heard(self, cause: SourceError, now: float) -> bool:
        """
        Note a sign of it; whether it is worth a report.

        While a store does not answer, the reasons of its nodes change with every attempt (refused,
        no answer in time); that is no news. A refusal needs an operator, so each new one is
        reported: after the unknown authority was fixed comes the wrong password. Where the nodes
        refuse and fall silent in turns, each is reported once.
        """
        if not self._reported:
            self.since_s = now
        self.cause = str(cause)
        matter = type(cause).__name__ if isinstance(cause, SourceUnavailable) else self.cause
        news = matter not in self._reported
        self._reported.add(matter)
        return news

    def ended(self) -> bool:
        """The store has answered; whether that ends an outage."""
        ends = bool(self._reported)
        self._reported.clear()
        self.cause = ""
        return ends
