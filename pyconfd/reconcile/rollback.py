"""When a service that refused its files may be reloaded again with some of them. Pure."""

from __future__ import annotations

#: After so many refusals of one search the rest waits for its next turn: each may take seconds.
MOST_REFUSALS = 16


def may_search_on(refusals: int) -> bool:
    """Whether one more set of files may be tried in this pass."""
    return refusals < MOST_REFUSALS


def wait_s(reloaded_s: float, interval_s: float, now_s: float) -> float:
    """Seconds until the next reload may happen, 0 for now. Times are monotonic."""
    return max(0.0, reloaded_s + interval_s - now_s)
