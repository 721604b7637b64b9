"""How long to wait after failures: exponential back-off with full jitter and a limit."""

from __future__ import annotations

import random

from pyconfd.model.backoff import exponential_s

FIRST_S = 0.1
CAP_S = 2.0


class Backoff:
    """
    A growing pause; each time a random part of the exponential curve.

    Full jitter, so that a thousand programs that lost the same store do not reconnect at once
    (docs/reliability.md has the spread).

    first_s, cap_s: the curve's start and its end.
    failures: how many in a row.
    """

    def __init__(self, first_s: float = FIRST_S, cap_s: float = CAP_S) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self.failures = 0

    def next_s(self) -> float:
        """Count one failure. Returns the seconds to wait."""
        self.failures += 1
        curve_s = exponential_s(self.failures, self._first_s, self._cap_s)
        return random.uniform(0.0, curve_s)  # noqa: S311  (no secret)

    def reset(self) -> None:
        """Forget the failures after a success."""
        self.failures = 0
