"""Waiting for quiet, but not for ever. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Hold:
    """When the first and the last change of a burst came, monotonic seconds."""

    first_s: float
    last_s: float

    def due_s(self, minimum_s: float, maximum_s: float) -> float:
        """
        When to act: after `minimum_s` without a change, at the latest `maximum_s` after the first.
        A minimum of 0 means at once, whatever the maximum is.
        """
        return min(self.last_s + minimum_s, self.first_s + max(maximum_s, 0.0))


def touched(hold: Hold | None, now: float) -> Hold:
    """The hold after one more change."""
    return Hold(now, now) if hold is None else replace(hold, last_s=now)
