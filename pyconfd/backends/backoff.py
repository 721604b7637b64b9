"""
How long to wait after failures: tenacity's exponential curve with full jitter, capped.

tenacity is imported at the first failure; a run without failures does not pay for it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

FIRST_S = 0.1
CAP_S = 2.0


class Backoff:
    """
    A growing pause, drawn anew each time from 0 to the curve.

    first_s, cap_s: the curve's start and its end. Full jitter, so that a thousand programs that
    lost the same store do not come back in step (docs/reliability.md has the spread).
    """

    def __init__(self, first_s: float = FIRST_S, cap_s: float = CAP_S) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._curve: Any = None
        self.failures = 0

    def next_s(self) -> float:
        """Count one failure and give the seconds to wait."""
        if self._curve is None:
            from tenacity import wait_random_exponential

            self._curve = wait_random_exponential(multiplier=self._first_s, max=self._cap_s)
        self.failures += 1
        # The curve looks at nothing else of tenacity's call state.
        return float(self._curve(SimpleNamespace(attempt_number=self.failures)))

    def reset(self) -> None:
        """After a success."""
        self.failures = 0
