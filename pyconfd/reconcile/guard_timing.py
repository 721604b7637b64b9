"""
How long a guard holds back a change. Pure.

The time counts from the first objection, whatever else delays the group, until the change is live.
A change that an operator has released is not held.
"""

from __future__ import annotations

from pyconfd.model.values import dataclass
from pyconfd.pipeline.guard import Objection


@dataclass(frozen=True, slots=True)
class HeldChange:
    """since_s: of the first objection, monotonic. objection: the newest."""

    since_s: float
    objection: Objection


def objected(before: HeldChange | None, objection: Objection, now_s: float) -> HeldChange:
    """The held change after one more objection."""
    return HeldChange(before.since_s if before else now_s, objection)


def until_s(held: HeldChange, timeout_s: float | None) -> float | None:
    """When it is let through without a release, monotonic seconds; None for never."""
    return None if timeout_s is None else held.since_s + timeout_s


def is_over(held: HeldChange, timeout_s: float | None, now_s: float) -> bool:
    """Whether the guard's time is over."""
    end_s = until_s(held, timeout_s)
    return end_s is not None and now_s >= end_s
