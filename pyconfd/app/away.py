"""The store is out of reach: since when, why, and whether that is still to be said. Pure."""

from __future__ import annotations

from pyconfd.errors import SourceError, SourceUnavailable


class Away:
    """
    One outage after the other.

    cause: the newest one in words, empty while there is no outage. since_s: monotonic, of the
    first sign of this outage.
    """

    def __init__(self) -> None:
        self.cause = ""
        self.since_s = 0.0
        self._kind: type[SourceError] | None = None

    def heard(self, cause: SourceError, now: float) -> bool:
        """
        Note a sign of it; whether an operator learns anything from it.

        Of a store that does not answer, the nodes' reasons change with every attempt (refused,
        no answer in time); that is no news. A refusal is what somebody has to mend, so each new
        one is said: after the unknown authority was mended comes the wrong password.
        """
        if not self._kind:
            self.since_s = now
        same = type(cause) is self._kind
        news = not same or (str(cause) != self.cause and not isinstance(cause, SourceUnavailable))
        self._kind, self.cause = type(cause), str(cause)
        return news

    def ended(self) -> bool:
        """The store has answered; whether that ends an outage."""
        ends = self._kind is not None
        self._kind, self.cause = None, ""
        return ends
