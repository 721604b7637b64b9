"""One timer for each thing, the earliest that was set."""

from pyconfd.registration.registrar.schedule import TimerQueue


def nothing() -> None:
    """The call of a timer."""


def taken(timers: TimerQueue, now: float) -> list[tuple[float, object]]:
    return [(timer.due_at, timer.key) for timer in timers.take_due(now)]


def test_the_earliest_timer_wins_and_is_taken_once() -> None:
    """A later time for the same thing sets no second timer."""
    timers = TimerQueue()
    for due_at in (5.0, 3.0, 4.0):
        timers.plan(due_at, ("member", "a"), nothing)
    assert timers.wait_s(1.0) == 2.0
    assert taken(timers, 10.0) == [(3.0, ("member", "a"))]
    assert timers.wait_s(1.0) is None


def test_keys_do_not_mix_and_none_plans_nothing() -> None:
    """In order of time."""
    timers = TimerQueue()
    timers.plan(2.0, ("member", "a"), nothing)
    timers.plan(1.0, ("health", "a"), nothing)
    timers.plan(None, ("lease", 3), nothing)
    assert [key for _, key in taken(timers, 2.0)] == [("health", "a"), ("member", "a")]


def test_it_does_not_grow() -> None:
    """However often a timer is set again, as probes with several checks do."""
    timers = TimerQueue()
    for now in range(10_000):
        timers.plan(now + 2.0, ("health", "a"), nothing)
        timers.plan(now + 3.0, ("health", "a"), nothing)
        timers.take_due(float(now))
    assert len(timers) <= 2
