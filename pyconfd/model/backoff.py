"""How long to wait after failures: the one formula for all of them. Pure."""

from __future__ import annotations


def exponential_s(failures: int, first_s: float, longest_s: float, factor: float = 2.0) -> float:
    """
    Seconds to wait after this many failures in a row: `first_s` after the first, `factor` times
    longer after each further one, at most `longest_s`. The caller adds jitter.
    """
    return min(longest_s, first_s * factor ** min(failures - 1, 60))
