"""
The timers of the registrar: for each key the earliest timer that was set.

A timer that fires too early does no harm: its call sets the next one. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import NamedTuple


class Timer(NamedTuple):
    """A call that is due at a time."""

    due_at: float
    order: int
    key: Hashable
    call: Callable[[], object]


class TimerQueue:
    """Timers in order of time; equal times in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._set: dict[Hashable, Timer] = {}
        self._order = 0

    def __len__(self) -> int:
        """The number of entries, including those replaced by earlier timers."""
        return len(self._heap)

    def plan(self, due_at: float | None, key: Hashable, call: Callable[[], object]) -> None:
        """Set the timer of `key`, unless it has an earlier one; None sets nothing."""
        if due_at is None:
            return
        existing = self._set.get(key)
        if existing is not None and existing.due_at <= due_at:
            return
        self._order += 1
        timer = self._set[key] = Timer(due_at, self._order, key, call)
        heapq.heappush(self._heap, timer)

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next timer, 0 when it is due; None when there is none."""
        return max(0.0, self._heap[0].due_at - now) if self._heap else None

    def take_due(self, now: float) -> list[Timer]:
        """Remove and return the timers that are due."""
        due = []
        while self._heap and self._heap[0].due_at <= now:
            timer = heapq.heappop(self._heap)
            if self._set.get(timer.key) is timer:
                del self._set[timer.key]
                due.append(timer)
        return due
