"""One look at each thing is planned, the earliest that was asked for."""

from pyconfd.registration.registrar.schedule import TimerQueue


def taken(agenda: TimerQueue, now: float) -> list[tuple[float, object]]:
    return [(look.due_at, look.key) for look in agenda.take_due(now)]


def test_the_earliest_look_wins_and_is_taken_once() -> None:
    """A later plan for the same thing is no second look."""
    agenda = TimerQueue()
    for due_at in (5.0, 3.0, 4.0):
        agenda.plan(due_at, "member", "a")
    assert agenda.wait_s(1.0) == 2.0
    assert taken(agenda, 10.0) == [(3.0, "a")]
    assert agenda.wait_s(1.0) is None


def test_kinds_do_not_mix_and_none_plans_nothing() -> None:
    """In order of time."""
    agenda = TimerQueue()
    agenda.plan(2.0, "member", "a")
    agenda.plan(1.0, "watching", "a")
    agenda.plan(None, "lease", 3)
    assert [look.kind for look in agenda.take_due(2.0)] == ["watching", "member"]


def test_it_does_not_grow() -> None:
    """However often a look is planned again, as probes with several checks do."""
    agenda = TimerQueue()
    for now in range(10_000):
        agenda.plan(now + 2.0, "watching", "a")
        agenda.plan(now + 3.0, "watching", "a")
        agenda.take_due(float(now))
    assert len(agenda) <= 2
