"""Why a member is in its phase, as an enumeration; the text for people is kept beside it. Pure."""

from __future__ import annotations

import enum


class Reason(enum.Enum):
    """Why a member is not registered, or not yet."""

    NONE = enum.auto()
    #: no verdict yet
    CHECKING = enum.auto()
    UNHEALTHY = enum.auto()
    #: by --maintenance, the maintenance file, or an order to exclude it
    MAINTENANCE = enum.auto()
    #: it is no longer declared
    REMOVED = enum.auto()
    STOPPING = enum.auto()
    LEASE_LOST = enum.auto()
    #: the key was removed by hand
    KEY_GONE = enum.auto()
    #: `before` failed
    NOT_PREPARED = enum.auto()
    #: the key is taken, or the store refused it or did not answer
    NOT_CLAIMED = enum.auto()
    NOT_WITHDRAWN = enum.auto()

    @property
    def intended(self) -> bool:
        """Whether the operator intends it."""
        return self in (Reason.NONE, Reason.MAINTENANCE, Reason.REMOVED, Reason.STOPPING)
