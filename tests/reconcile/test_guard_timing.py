"""How long a guard holds a change, and how long a rollback waits."""

from __future__ import annotations

import pytest

from pyconfd.pipeline.guard import GuardKind, Objection
from pyconfd.reconcile.guard_timing import HeldChange, is_over, objected, until_s
from pyconfd.reconcile.rollback import MOST_REFUSALS, may_search_on, wait_s

FIRST, NEXT = Objection(GuardKind.REQUIRE, "one"), Objection(GuardKind.MIN_KEYS, "two")


def test_the_time_counts_from_the_first_objection() -> None:
    """Whatever is objected to next."""
    held = objected(objected(None, FIRST, 10.0), NEXT, 20.0)
    assert held == HeldChange(10.0, NEXT)


@pytest.mark.parametrize(
    ("timeout_s", "now_s", "over", "end_s"),
    [(None, 1e9, False, None), (5.0, 14.9, False, 15.0), (5.0, 15.0, True, 15.0)],
)
def test_a_change_is_let_through_when_its_time_is_over(
    timeout_s: float | None, now_s: float, over: bool, end_s: float | None
) -> None:
    """Without a timeout never."""
    held = HeldChange(10.0, FIRST)
    assert is_over(held, timeout_s, now_s) is over
    assert until_s(held, timeout_s) == end_s


@pytest.mark.parametrize(("now_s", "left_s"), [(10.0, 2.0), (11.5, 0.5), (12.0, 0.0), (99.0, 0.0)])
def test_a_rollback_keeps_the_least_interval(now_s: float, left_s: float) -> None:
    """After the last reload that was taken."""
    assert wait_s(10.0, 2.0, now_s) == left_s


def test_a_search_ends_after_so_many_refusals() -> None:
    """Each may take seconds."""
    assert may_search_on(MOST_REFUSALS - 1)
    assert not may_search_on(MOST_REFUSALS)
