"""When a stream is left for a moment: as a table, and for every rate of messages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.backends.etcd.throttle import (
    CROWD,
    FAR,
    FEW,
    FULL,
    LATE_S,
    WINDOW_S,
    Advice,
    ThrottleState,
    on_message,
)

QUIET = ThrottleState()
ALMOST = ThrottleState(since_s=100.0, messages=CROWD - 1)
RESTING = ThrottleState(resting=True, since_s=100.0)
SOON = 100.1

TABLE = [
    # Flowing: the messages are counted, whatever is in them.
    (QUIET, 100.0, 1, 0, ThrottleState(since_s=100.0, messages=1), Advice.STAY),
    (QUIET, 100.0, FULL, 0, ThrottleState(since_s=100.0, messages=1), Advice.STAY),
    (
        ThrottleState(since_s=100.0, messages=1),
        SOON,
        1,
        0,
        ThrottleState(False, 100.0, 2),
        Advice.STAY,
    ),
    (ALMOST, SOON, 1, 0, ThrottleState(resting=True, since_s=SOON), Advice.REST),
    (ALMOST, 100.0 + WINDOW_S, 1, 0, ThrottleState(True, 100.0 + WINDOW_S), Advice.REST),
    (ALMOST, 100.1 + WINDOW_S, 1, 0, ThrottleState(False, 100.1 + WINDOW_S, 1), Advice.STAY),
    # Resting: what the first message holds tells whether the storm goes on.
    (RESTING, SOON, 1, 0, ThrottleState(since_s=SOON, messages=1), Advice.STAY),
    (RESTING, SOON, FEW - 1, 0, ThrottleState(since_s=SOON, messages=1), Advice.STAY),
    (RESTING, SOON, FEW, 0, ThrottleState(resting=True, since_s=SOON), Advice.REST),
    (RESTING, SOON, FULL - 1, 0, ThrottleState(resting=True, since_s=SOON), Advice.REST),
    (RESTING, SOON, FULL, 0, ThrottleState(resting=True, since_s=SOON), Advice.STAY),
    (RESTING, 100.1 + LATE_S, FEW, 0, ThrottleState(False, 100.1 + LATE_S, 1), Advice.STAY),
    # Too far behind for being told everything.
    (QUIET, SOON, FULL, FAR, ThrottleState(since_s=SOON), Advice.LIST),
    (RESTING, SOON, FULL, FAR, ThrottleState(since_s=SOON), Advice.LIST),
    (RESTING, SOON, FULL, FAR - 1, ThrottleState(resting=True, since_s=SOON), Advice.STAY),
    (RESTING, SOON, 1, FAR, ThrottleState(since_s=SOON, messages=1), Advice.STAY),
]


@pytest.mark.parametrize(
    ("before", "now_s", "revisions", "behind", "after", "advice"),
    TABLE,
    ids=[f"{number}-{row[-1].value}" for number, row in enumerate(TABLE)],
)
def test_every_message_has_its_answer(
    before: ThrottleState,
    now_s: float,
    revisions: int,
    behind: int,
    after: ThrottleState,
    advice: Advice,
) -> None:
    """The table of the module's docstring, with the limits on both sides."""
    assert on_message(before, now_s, revisions, behind) == (after, advice)


class Stream:
    """Single messages and gathered ones, at times of our choice."""

    def __init__(self, state: ThrottleState = QUIET) -> None:
        self.state = state
        self.now_s = 100.0

    def says(self, after_s: float, revisions: int) -> Advice:
        self.now_s += after_s
        self.state, advice = on_message(self.state, self.now_s, revisions, 0)
        return advice


# Between two messages at this distance and the next faster one lies the limit.
LIMIT_S = WINDOW_S / (CROWD - 1)


@settings(deadline=None)
@given(st.lists(st.floats(LIMIT_S * 1.01, 10.0), max_size=3 * CROWD))
def test_changes_that_come_apart_are_never_waited_for(gaps_s: list[float]) -> None:
    """However long it goes on: below the limit the stream is never left."""
    stream = Stream()
    assert all(stream.says(gap_s, 1) is Advice.STAY for gap_s in gaps_s)


@settings(deadline=None)
@given(st.floats(0.0, LIMIT_S * 0.99), st.floats(0.0, LIMIT_S * 0.99))
def test_a_storm_is_noticed(first_s: float, then_s: float) -> None:
    """Above the limit it is left after CROWD messages, at the latest in the second window."""
    stream = Stream()
    advices = [stream.says(first_s, 1) for _ in range(CROWD)]
    advices += [stream.says(then_s, 1) for _ in range(CROWD)]
    assert Advice.REST in advices


@settings(deadline=None)
@given(st.booleans(), st.floats(0, 1_000), st.integers(0, CROWD - 1), st.integers(1, FULL - 1))
def test_the_first_change_after_quiet_ends_what_was(
    resting: bool, since_s: float, messages: int, revisions: int
) -> None:
    """Whatever was before: after quiet the next message is the first of a new count."""
    stream = Stream(ThrottleState(resting, since_s, 0 if resting else messages))
    stream.now_s = since_s
    assert stream.says(max(WINDOW_S, LATE_S) * 1.01, revisions) is Advice.STAY
    assert stream.state == ThrottleState(since_s=stream.now_s, messages=1)


def test_a_storm_ends_with_its_first_small_message() -> None:
    """Gathered messages come as long as it lasts; then single ones are taken as they come."""
    stream = Stream()
    while stream.says(0.001, 1) is not Advice.REST:
        pass
    assert [stream.says(0.1, revisions) for revisions in (100, 300, FULL, 40)] == [
        Advice.REST,
        Advice.REST,
        Advice.STAY,
        Advice.REST,
    ]
    assert stream.says(0.1, 3) is Advice.STAY
    assert [stream.says(0.01, 1) for _ in range(CROWD // 2)] == [Advice.STAY] * (CROWD // 2)
