"""The one curve of waiting after failures. Pure."""

from __future__ import annotations


def exponential_s(failures: int, first_s: float, longest_s: float, factor: float = 2.0) -> float:
    """
    Seconds to wait after so many failures in a row: `first_s` after the first, then `factor` times
    as long after each further one, at most `longest_s`. Jitter is the caller's.
    """
    return min(longest_s, first_s * factor ** min(failures - 1, 60))
