"""
The machine of one service: what is dirty, what runs, what is owed, and what is due. Pure.

Messages are functions: `dirtied`, `finished`, `verify`, `owed_from_before`. `start` asks for a job
and marks it as running; at most one job of a service runs at a time, so changes that come
meanwhile accumulate and the newest wins. `deadline_s` says when to ask again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pyconfd.model.steps import LaneReport, Outcome, Reloaded, ReloadFailed
from pyconfd.reconcile import debt as debts
from pyconfd.reconcile import retry as retries
from pyconfd.reconcile.debt import Debt
from pyconfd.reconcile.hold import Hold, touched
from pyconfd.reconcile.retry import Retry


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The operator's numbers for one service, in seconds. reloads: whether anybody is told of new
    files at all; if not, nothing is ever owed.
    """

    reloads: bool = True
    hold_min_s: float = 0.0
    hold_max_s: float = 10.0
    min_reload_interval_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One pass over a service.

    resources: to render, in declared order by whoever runs it. verify: look at all live files and
    render those that were touched by somebody else. may_reload: the least interval has passed.
    debt: what was owed when the job began; pay: it is due even if nothing is swapped. blind: there
    is no complete snapshot, so nothing may be rendered.
    """

    service: str
    generation: int
    resources: frozenset[str] = frozenset()
    verify: bool = False
    may_reload: bool = True
    debt: Debt | None = None
    pay: bool = False
    blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """Everything remembered about one service. retries: resource name -> when it is tried again."""

    name: str
    policy: Policy = Policy()
    running: Job | None = None
    dirty: frozenset[str] = frozenset()
    hold: Hold | None = None
    verify: bool = False
    debt: Debt | None = None
    retries: Mapping[str, Retry] = field(default_factory=dict)
    reloaded_s: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing runs, waits or is owed."""
        return not (self.running or self.dirty or self.verify or self.debt or self.retries)


def dirtied(state: ServiceState, names: Iterable[str], now: float) -> ServiceState:
    """Keys that these resources read have changed."""
    return replace(state, dirty=state.dirty.union(names), hold=touched(state.hold, now))


def verify(state: ServiceState) -> ServiceState:
    """It is time to compare the live files with what was last written."""
    return replace(state, verify=True)


def owed_from_before(state: ServiceState, now: float) -> ServiceState:
    """The journal says that an earlier run swapped and did not live to see the reload."""
    return replace(state, debt=Debt(since_s=now, certain=True))


def start(
    state: ServiceState, now: float, generation: int, *, stopping: bool = False, blind: bool = False
) -> tuple[ServiceState, Job | None]:
    """
    The job that is due now, or None.

    stopping: only a reload that was merely postponed is still paid, at once; everything else waits
    for the next start. blind: there is no complete snapshot, so nothing may be rendered; reloads
    that are owed are still paid.
    """
    if state.running:
        return state, None
    if stopping:
        if state.debt is None or state.debt.attempts:
            return state, None
        job = Job(service=state.name, generation=generation, debt=state.debt, pay=True, blind=blind)
        return replace(state, running=job), job
    ready = frozenset() if blind else _ready(state, now)
    job = Job(
        service=state.name,
        generation=generation,
        resources=ready,
        verify=state.verify and not blind,
        may_reload=now >= _reload_from_s(state),
        debt=state.debt,
        pay=state.debt is not None and now >= _payable_s(state, state.debt),
        blind=blind,
    )
    if not (ready or job.verify or job.pay):
        return state, None
    held = state.dirty - ready
    return (
        replace(
            state,
            running=job,
            dirty=held,
            hold=state.hold if held else None,
            verify=state.verify and blind,
        ),
        job,
    )


def finished(state: ServiceState, report: LaneReport, now: float) -> ServiceState:
    """The job's report: failures get their retry, swaps become debt, a good reload pays it."""
    failed: dict[str, Outcome] = {}
    for outcome in report.outcomes:
        if outcome.result.failed:
            failed.setdefault(outcome.resource.declared, outcome)
    left = dict(state.retries)
    for name in report.names:
        before = left.pop(name, None)
        if name in failed:
            left[name] = retries.after_failure(before, failed[name], now)
    owed = state.debt
    if state.policy.reloads:
        owed = debts.after_swaps(state.debt, report.outcomes, now)
    reloaded_s = state.reloaded_s
    match report.reload:
        case Reloaded():
            owed, reloaded_s = None, now
        case ReloadFailed():
            owed, reloaded_s = debts.after_failure(owed, now), now
        case None:
            pass
    return replace(state, running=None, retries=left, debt=owed, reloaded_s=reloaded_s)


def deadline_s(state: ServiceState, *, blind: bool = False) -> float | None:
    """When `start` would next give a job if nothing else happens; None: never."""
    if state.running:
        return None
    times = [_payable_s(state, state.debt)] if state.debt else []
    if not blind:
        times += [retry.at_s for retry in state.retries.values()]
        if state.dirty and state.hold:
            times.append(state.hold.due_s(state.policy.hold_min_s, state.policy.hold_max_s))
        if state.verify:
            times.append(0.0)
    return min(times, default=None)


def _ready(state: ServiceState, now: float) -> frozenset[str]:
    """The resources to render now: all dirty ones once it is quiet, and retries that are due."""
    due = frozenset(name for name, retry in state.retries.items() if now >= retry.at_s)
    policy = state.policy
    if state.dirty and (
        state.hold is None or now >= state.hold.due_s(policy.hold_min_s, policy.hold_max_s)
    ):
        due |= state.dirty
    return due


def _reload_from_s(state: ServiceState) -> float:
    """From when on a reload keeps the least interval."""
    if state.reloaded_s is None:
        return 0.0
    return state.reloaded_s + state.policy.min_reload_interval_s


def _payable_s(state: ServiceState, debt: Debt) -> float:
    """From when on the debt may be paid: interval kept and back-off over."""
    return max(_reload_from_s(state), debt.not_before_s)
