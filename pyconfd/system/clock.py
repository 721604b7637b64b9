"""Time, as something that can be handed over. Shell."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the shells ask for the time."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; decides."""

    def wall(self) -> float:
        """Seconds since 1970 UTC; displayed, never decided with."""


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        """Seconds since boot, not counting suspend (CLOCK_MONOTONIC)."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970 UTC."""
        return time.time()
