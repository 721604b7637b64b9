"""
What is due when: at most one look at each thing is planned, the earliest that was asked for.

A look that comes too early does no harm: whoever looks plans the next one. Pure.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import NamedTuple


class Look(NamedTuple):
    """Something to look at. kind: whose turn it is; key: which one."""

    due_at: float
    order: int
    kind: str
    key: Hashable


class TimerQueue:
    """Looks in order of time, and of planning where times are equal."""

    def __init__(self) -> None:
        self._heap: list[Look] = []
        self._planned: dict[tuple[str, Hashable], Look] = {}
        self._order = 0

    def __len__(self) -> int:
        """How many entries it keeps, those that were replaced by earlier ones included."""
        return len(self._heap)

    def plan(self, due_at: float | None, kind: str, key: Hashable) -> None:
        """Look at it then, unless that is planned for earlier; None plans nothing."""
        if due_at is None:
            return
        there = self._planned.get((kind, key))
        if there is not None and there.due_at <= due_at:
            return
        self._order += 1
        look = self._planned[(kind, key)] = Look(due_at, self._order, kind, key)
        heapq.heappush(self._heap, look)

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next look, 0 when it is due; None when there is none."""
        return max(0.0, self._heap[0].due_at - now) if self._heap else None

    def take_due(self, now: float) -> list[Look]:
        """Remove and give what is due now."""
        due = []
        while self._heap and self._heap[0].due_at <= now:
            look = heapq.heappop(self._heap)
            if self._planned.get((look.kind, look.key)) is look:
                del self._planned[(look.kind, look.key)]
                due.append(look)
        return due
