"""The store is out of reach: since when, why, and whether that is still to be said. Pure."""

from __future__ import annotations

from pyconfd.errors import SourceError, SourceUnavailable


class OutageTracker:
    """
    One outage after the other.

    cause: the newest one in words, empty while there is no outage. since_s: monotonic, of the
    first sign of this outage.
    """

    def __init__(self) -> None:
        self.cause = ""
        self.since_s = 0.0
        self._said: set[str] = set()  # in this outage; empty while there is none

    def heard(self, cause: SourceError, now: float) -> bool:
        """
        Note a sign of it; whether an operator learns anything from it.

        Of a store that does not answer, the nodes' reasons change with every attempt (refused,
        no answer in time); that is no news. A refusal is what somebody has to mend, so each new
        one is said: after the unknown authority was mended comes the wrong password. Where the
        nodes say no and nothing in turns, each is said once.
        """
        if not self._said:
            self.since_s = now
        self.cause = str(cause)
        matter = type(cause).__name__ if isinstance(cause, SourceUnavailable) else self.cause
        news = matter not in self._said
        self._said.add(matter)
        return news

    def ended(self) -> bool:
        """The store has answered; whether that ends an outage."""
        ends = bool(self._said)
        self._said.clear()
        self.cause = ""
        return ends
