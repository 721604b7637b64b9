"""The machine of one service: hold-off, one job at a time, debt, retry."""

from __future__ import annotations

from typing import Any

import pytest

from pyconfd.model.resources import Command, Origin, Resource, Service
from pyconfd.model.steps import (
    CommandReport,
    LaneReport,
    NotRunning,
    Outcome,
    Reloaded,
    ReloadFailed,
    ReloadResult,
    Result,
)
from pyconfd.reconcile.service import (
    Job,
    NextStep,
    Policy,
    ServiceState,
    corrected,
    deadline_s,
    dirtied,
    finished,
    next_step,
    pending_after,
    pending_from_before,
    start,
    verify,
)

SERVICE = "reload nginx"
GOOD = Reloaded(SERVICE, CommandReport(SERVICE, 0, 0.01))
BAD = ReloadFailed(SERVICE, CommandReport(SERVICE, 1, 0.01))


def resource(name: str) -> Resource:
    return Resource(
        name=name,
        origin=Origin("conf.d/x.toml", 1),
        src="x.j2",
        dest=f"/etc/{name}",
        keys=("/x",),
        service=Service(reload=Command(SERVICE, 1.0)),
    )


def outcome(name: str, result: Result, was: str | None = "old", digest: str = "new") -> Outcome:
    return Outcome(resource=resource(name), result=result, was=was, digest=digest)


def finish(
    now: float,
    state: ServiceState,
    *outcomes: Outcome,
    reload: ReloadResult | None = None,
) -> ServiceState:
    """The running job's report comes, as apply/service_pass.py makes it."""
    assert state.running is not None
    report = LaneReport(
        service=SERVICE,
        generation=1,
        outcomes=outcomes,
        names=frozenset(one.resource.declared for one in outcomes),
        debt=pending_after(state.running, outcomes, now),
        reload=reload,
    )
    return finished(state, report, now)


def fresh(**policy: Any) -> ServiceState:
    return ServiceState(name=SERVICE, policy=Policy(**policy))


def must_start(state: ServiceState, now: float) -> tuple[ServiceState, Job]:
    state, job = start(state, now, 1)
    assert job is not None
    return state, job


def test_a_change_after_quiet_time_is_due_at_once() -> None:
    """Nothing waits by default."""
    state = dirtied(fresh(), ["a"], 100.0)
    state, job = must_start(state, 100.0)
    assert job.resources == {"a"}
    assert not state.dirty


def test_changes_during_a_job_accumulate_and_make_one_more_job() -> None:
    """Newest wins: two changes of a and one of b while a lane works are one further job."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    for moment, name in ((1.0, "a"), (2.0, "b"), (3.0, "a")):
        state = dirtied(state, [name], moment)
        assert start(state, moment, 2)[1] is None
        assert deadline_s(state) is None
    state = finish(4.0, state, outcome("a", Result.UPDATED), reload=GOOD)
    state, job = must_start(state, 4.0)
    assert job.resources == {"a", "b"}


def test_hold_waits_for_quiet_but_not_longer_than_the_maximum() -> None:
    """hold_min after the last change, hold_max after the first."""
    state = fresh(hold_min_s=2.0, hold_max_s=5.0)
    for moment in (0.0, 1.5, 3.0, 4.5):
        state = dirtied(state, ["a"], moment)
        assert start(state, moment, 1)[1] is None
    assert deadline_s(state) == 5.0
    must_start(state, 5.0)


def test_hold_ends_after_the_minimum_of_quiet() -> None:
    """One change waits exactly hold_min."""
    state = dirtied(fresh(hold_min_s=2.0), ["a"], 10.0)
    assert deadline_s(state) == 12.0
    assert start(state, 11.9, 1)[1] is None
    must_start(state, 12.0)


def test_a_postponed_reload_is_paid_when_the_interval_has_passed() -> None:
    """Throttling postpones a reload and never drops it."""
    state, _ = must_start(dirtied(fresh(min_reload_interval_s=10.0), ["a"], 0.0), 0.0)
    state = finish(1.0, state, outcome("a", Result.UPDATED), reload=GOOD)
    assert state.idle
    state, job = must_start(dirtied(state, ["a"], 2.0), 2.0)
    assert not job.may_reload
    state = finish(3.0, state, outcome("a", Result.UPDATED, "new", "newer"))
    assert deadline_s(state) == 11.0
    assert start(state, 10.9, 1)[1] is None
    state, job = must_start(state, 11.0)
    assert job.pay
    assert not job.resources
    assert finish(11.5, state, reload=GOOD).idle


def test_a_failed_reload_is_tried_again_later_and_later_until_it_succeeds() -> None:
    """The debt stays through any number of failures."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED), reload=BAD)
    waits = []
    now = 0.0
    for _ in range(9):
        due = deadline_s(state)
        assert due is not None
        waits.append(due - now)
        now = due
        state, job = must_start(state, now)
        assert job.pay
        state = finish(now, state, reload=BAD)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    state, _ = must_start(state, now + 60)
    assert finish(now + 61, state, reload=GOOD).idle


def test_a_new_swap_is_reloaded_at_once_although_an_old_debt_is_in_back_off() -> None:
    """A change that mends the fault does not wait for the back-off of the fault."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED), reload=BAD)
    state, job = must_start(dirtied(state, ["a"], 0.1), 0.1)
    assert job.may_reload
    assert not job.pay


def test_a_postponed_reload_is_called_off_when_the_old_content_is_back() -> None:
    """Nobody was told of the new file, so nobody needs to be told that it is gone."""
    state, _ = must_start(dirtied(fresh(min_reload_interval_s=10.0), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED, "0", "A"), reload=GOOD)
    state, _ = must_start(dirtied(state, ["a"], 1.0), 1.0)
    state = finish(1.0, state, outcome("a", Result.UPDATED, "A", "B"))
    assert state.debt is not None
    state, _ = must_start(dirtied(state, ["a"], 2.0), 2.0)
    state = finish(2.0, state, outcome("a", Result.UPDATED, "B", "A"))
    assert state.idle


def test_a_reload_that_was_tried_is_not_called_off_by_putting_the_old_content_back() -> None:
    """A reload that failed or hung may have worked in part: only another one makes it certain."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED, "A", "B"), reload=BAD)
    state, _ = must_start(dirtied(state, ["a"], 0.1), 0.1)
    state = finish(0.2, state, outcome("a", Result.UPDATED, "B", "A"))
    assert state.debt is not None


def test_a_change_of_mode_alone_owes_a_reload() -> None:
    """The digest is the same, yet the service may read the file with other rights."""
    state, _ = must_start(dirtied(fresh(min_reload_interval_s=5), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED, "A", "A"))
    assert state.debt is not None


@pytest.mark.parametrize(
    ("result", "wait"),
    [
        (Result.RENDER_FAILED, 60.0),
        (Result.REFUSED, 60.0),
        (Result.CHECK_BROKEN, 1.0),
        (Result.STAGE_FAILED, 1.0),
        (Result.SWAP_FAILED, 1.0),
    ],
    ids=lambda value: str(value),
)
def test_every_failure_is_tried_again(result: Result, wait: float) -> None:
    """What the store or the operator must mend slowly, what the machine must mend soon."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", result))
    assert deadline_s(state) == wait
    state, job = must_start(state, wait)
    assert job.resources == {"a"}
    assert finish(wait, state, outcome("a", Result.UNCHANGED)).idle


def test_a_debt_from_an_earlier_run_is_paid_even_if_nothing_is_swapped() -> None:
    """Killed between swap and reload: the next run reloads."""
    _, job = must_start(pending_from_before(fresh(), 5.0), 5.0)
    assert job.pay
    assert job.may_reload


def test_a_corrected_file_does_not_wait_for_the_back_off_of_the_one_before() -> None:
    """The same resource again: what failed was its former version."""
    state, job = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    for now in (0.0, 1.0, 3.0, 7.0):
        swapped = [outcome("a", Result.UPDATED)] if now == 0.0 else []
        state = finish(now, state, *swapped, reload=BAD)
        if now < 7.0:
            state, job = must_start(state, deadline_s(state) or 0.0)
    state, job = must_start(dirtied(state, ["a"], 8.0), 8.0)
    assert not job.pay, "the failed reload by itself is in back-off"
    debt = pending_after(job, [outcome("a", Result.UPDATED)], 8.0)
    assert next_step(job, debt) is NextStep.RELOAD


def test_a_reload_that_failed_is_not_fine_until_one_has_worked() -> None:
    """Also between another swap and the reload that follows it: the status said ok for a moment."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED), reload=BAD)
    assert state.debt and state.debt.failed
    state, job = must_start(dirtied(state, ["b"], 0.5), 0.5)
    debt = pending_after(job, [outcome("b", Result.UPDATED)], 0.5)
    assert debt and debt.failed and not debt.attempts
    state = finish(0.5, state, outcome("b", Result.UPDATED), reload=GOOD)
    assert state.debt is None


def test_a_service_that_does_not_run_has_no_pending_reload() -> None:
    """It reads its files when it starts."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    absent = NotRunning("reload nginx", "nginx does not run")
    state = finish(0.0, state, outcome("a", Result.UPDATED), reload=absent)
    assert state.debt is None
    assert deadline_s(state) is None


def test_a_corrected_reload_command_does_not_wait_for_the_back_off_of_the_wrong_one() -> None:
    """What failed was another command."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    for now in (0.0, 1.0, 3.0):
        swapped = [outcome("a", Result.UPDATED)] if now == 0.0 else []
        state = finish(now, state, *swapped, reload=BAD)
        state = state if now == 3.0 else must_start(state, deadline_s(state) or 0.0)[0]
    assert deadline_s(state) == 7.0
    _, job = must_start(corrected(state), 3.0)
    assert job.pay


def test_a_reload_that_is_reassigned_while_a_job_runs_stays_pending() -> None:
    """The job began before the files belonged to its service."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    state = pending_from_before(state, 0.5)
    state = finish(1.0, state, outcome("a", Result.UPDATED), reload=GOOD)
    assert state.debt is not None
    assert must_start(state, 1.0)[1].pay


def test_stopping_pays_a_postponed_reload_but_starts_nothing_else() -> None:
    """A stop does not leave the service with files it was never told of."""
    state, _ = must_start(dirtied(fresh(min_reload_interval_s=60), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED), reload=GOOD)
    state, _ = must_start(dirtied(state, ["a"], 1.0), 1.0)
    state = finish(1.0, state, outcome("a", Result.UPDATED, "new", "newer"))
    state = dirtied(state, ["b"], 1.5)
    _, job = start(state, 2.0, 9, stopping=True)
    assert job is not None
    assert job.pay
    assert not job.resources


def test_stopping_does_not_hammer_a_reload_that_fails() -> None:
    """A debt in back-off stays in the journal for the next start."""
    state, _ = must_start(dirtied(fresh(), ["a"], 0.0), 0.0)
    state = finish(0.0, state, outcome("a", Result.UPDATED), reload=BAD)
    assert start(state, 5.0, 2, stopping=True)[1] is None


def test_verify_makes_a_job_of_its_own() -> None:
    """The slow comparison runs although nothing changed in the store."""
    state, job = must_start(verify(fresh()), 1.0)
    assert job.verify
    assert not job.resources
    assert finish(2.0, state).idle


def test_a_service_that_is_told_by_nobody_owes_nothing() -> None:
    """Without a reload command a swap is the end of it, so that a stop has nothing to wait for."""
    state, _ = must_start(dirtied(fresh(reloads=False), ["a"], 0.0), 0.0)
    assert finish(0.0, state, outcome("a", Result.UPDATED)).idle
