"""
What is due when, as a heap. Entries may be stale, because a spurious look does no harm. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """Something to look at. kind: whose turn it is; key: which one."""

    due_at: float
    order: int
    kind: str
    key: object


class Agenda:
    """Entries in order of time, and of entering where times are equal."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._entered = 0

    def add(self, due_at: float, kind: str, key: object) -> None:
        """Look at it then."""
        self._entered += 1
        heapq.heappush(self._heap, Entry(due_at, self._entered, kind, key))

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next entry, 0 when it is due; None when there is none."""
        return max(0.0, self._heap[0].due_at - now) if self._heap else None

    def take_due(self, now: float) -> Iterator[Entry]:
        """Remove and give what is due now; entries added meanwhile wait for the next call."""
        due = []
        while self._heap and self._heap[0].due_at <= now:
            due.append(heapq.heappop(self._heap))
        return iter(due)
