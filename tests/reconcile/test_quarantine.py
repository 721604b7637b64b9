"""Which refused version is tried again, and when."""

from __future__ import annotations

import pytest

from pyconfd.reconcile.quarantine import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    Held,
    Refusal,
    begin_trial,
    forget,
    is_due,
    refuse,
    release,
    restarted,
    wait_s,
)

BAD = Refusal({"a": "digest"}, ("a",), ("a",), since_at=5.0, why="no")
OTHER = Refusal({"a": "other"}, ("a",), ("a",), since_at=9.0, why="no")


@pytest.mark.parametrize(
    ("times", "seconds"),
    [(1, 60.0), (2, 240.0), (3, 960.0), (5, 15360.0), (6, 61440.0), (7, 86400.0), (99, 86400.0)],
)
def test_each_trial_is_later_than_the_one_before(times: int, seconds: float) -> None:
    """Four times as long each time, a day at most."""
    assert wait_s(times) == seconds <= LONGEST_WAIT_S


@pytest.mark.parametrize(
    ("now_s", "due"), [(0.0, False), (FIRST_WAIT_S - 0.1, False), (FIRST_WAIT_S, True)]
)
def test_a_trial_is_due_when_its_time_has_come(now_s: float, due: bool) -> None:
    """Asking changes nothing."""
    held = refuse(Held(), "g", BAD, 0.0)
    assert is_due(held, "g", now_s) is due
    assert not is_due(held, "unknown", now_s)


def test_a_version_on_trial_is_not_held_and_counts_on_when_it_is_refused() -> None:
    """Since when it is refused stays; how often grows."""
    tried = begin_trial(refuse(Held(), "g", BAD, 0.0), "g")
    assert not tried.refusals
    again = refuse(tried, "g", Refusal(BAD.versions, ("a",), ("a",), 77.0, "still"), 100.0)
    found = again.refusals["g"]
    assert (found.times, found.since_at, found.why) == (2, BAD.since_at, "still")
    assert found.trial_s == 100.0 + wait_s(2)
    assert not again.on_trial


def test_another_version_counts_from_one() -> None:
    """What was on trial says nothing about it."""
    tried = begin_trial(refuse(Held(), "g", BAD, 0.0), "g")
    found = refuse(tried, "g", OTHER, 100.0).refusals["g"]
    assert (found.times, found.since_at) == (1, OTHER.since_at)


def test_what_is_forgotten_or_released_may_go_live() -> None:
    """By group when there is another version, by declared name when an operator says so."""
    held = refuse(refuse(Held(), "g", BAD, 0.0), "h", OTHER, 0.0)
    assert set(forget(held, "g").refusals) == {"h"}
    assert not release(held, frozenset({"a"})).refusals
    assert release(held, frozenset({"b"})) == held


def test_after_a_restart_the_wait_begins_again() -> None:
    """As long as it was."""
    held = Refusal({}, (), (), 0.0, "", times=3, trial_s=5.0)
    assert restarted(held, 1000.0).trial_s == 1000.0 + wait_s(3)
