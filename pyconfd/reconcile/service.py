"""
The state machine of one service: what is dirty, what runs, what is pending, what is due. Pure.

Messages are functions: `dirtied`, `finished`, `verify`, `pending_from_before`. `start` asks for a
job and marks it as running; at most one job of a service runs at a time, so changes that come
meanwhile accumulate and the newest wins. `deadline_s` is the time to ask again.

`ServiceState.debt` is the pending reload. Each pass computes it once, with `pending_after`, and
`next_step` decides what to do about it; the report brings it back.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType

from pyconfd.model.debt import Debt
from pyconfd.model.steps import LaneReport, NotRunning, Outcome, Reloaded, ReloadFailed
from pyconfd.model.values import dataclass
from pyconfd.reconcile import debt as debts
from pyconfd.reconcile import retry as retries
from pyconfd.reconcile.retry import Retries, Retry

#: Name of a pattern -> names below its `each`.
Items = Mapping[str, frozenset[str]]
NO_ITEMS: Items = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Hold:
    """
    A burst of changes: the pass waits for its end, up to a limit.

    first_s: monotonic time of its first change.
    last_s: of its last one.
    """

    first_s: float
    last_s: float

    def due_s(self, minimum_s: float, maximum_s: float) -> float:
        """
        When to act: after `minimum_s` without a change, but at most `maximum_s` after the first
        one. A minimum of 0 means at once, whatever the maximum is.
        """
        return min(self.last_s + minimum_s, self.first_s + max(maximum_s, 0.0))


@dataclass(frozen=True, slots=True)
class Policy:
    """
    The operator's numbers for one service.

    reloads: whether it has a reload command; without one no reload is ever pending.
    hold_min_s: how long to wait for quiet after a change.
    hold_max_s: how long to wait at most.
    min_reload_interval_s: least time between two reloads.
    """

    reloads: bool = True
    hold_min_s: float = 0.0
    hold_max_s: float = 10.0
    min_reload_interval_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One pass over a service.

    service: its name.
    generation: the number of the job.
    resources: names of those to render.
    items: pattern -> the names of it to render; a pattern without an entry is rendered whole.
    failing: patterns that have other failed names, which wait for their retry.
    verify: compare all live files, and render those that something else has changed.
    reloads: as in Policy.
    may_reload: the least interval has passed.
    debt: the reload that was pending when the job began.
    pay: the pending reload is due even if nothing is swapped.
    no_snapshot: there is no complete snapshot, so nothing may be rendered.
    changed_s: when the first of its changes arrived, monotonic; None without one.
    """

    service: str
    generation: int
    resources: frozenset[str] = frozenset()
    items: Items = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
    verify: bool = False
    reloads: bool = True
    may_reload: bool = True
    debt: Debt | None = None
    pay: bool = False
    no_snapshot: bool = False
    changed_s: float | None = None


class NextStep(enum.Enum):
    """What to do about a pending reload at the end of a pass."""

    NOTHING = enum.auto()
    RELOAD = enum.auto()
    CANCEL = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """
    Everything remembered about one service.

    name: as in the log and the status.
    policy: the operator's numbers.
    running: its job on a lane.
    dirty: names of resources whose keys have changed.
    items: the same for patterns of which only some names have changed.
    hold: the burst of changes whose end is awaited.
    verify: whether a comparison of its live files is due.
    debt: the pending reload.
    retries: resource name -> when it is tried again.
    reloaded_s: monotonic time of the last reload.
    """

    name: str
    policy: Policy = Policy()
    running: Job | None = None
    dirty: frozenset[str] = frozenset()
    items: Items = field(default_factory=dict)
    hold: Hold | None = None
    verify: bool = False
    debt: Debt | None = None
    retries: Mapping[str, Retry] = field(default_factory=dict)
    reloaded_s: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing runs, waits or is pending."""
        waiting = self.dirty or self.items or self.retries
        return not (self.running or waiting or self.verify or self.debt)


def dirtied(
    state: ServiceState, names: Iterable[str], now: float, items: Items = NO_ITEMS
) -> ServiceState:
    """Keys that these resources (or these names of patterns) read have changed."""
    hold = replace(state.hold, last_s=now) if state.hold else Hold(now, now)
    return replace(
        state, dirty=state.dirty.union(names), items=_joined(state.items, items), hold=hold
    )


def verify(state: ServiceState) -> ServiceState:
    """It is time to compare the live files with what was last written."""
    return replace(state, verify=True)


def pending_from_before(state: ServiceState, now: float) -> ServiceState:
    """The journal has a swap, of an earlier run or of another service, that was not reloaded."""
    return replace(state, debt=Debt(since_s=now, certain=True))


def corrected(state: ServiceState) -> ServiceState:
    """
    The operator has changed how the service is reloaded: a pending reload is due without back-off.
    """
    return replace(state, debt=debts.after_correction(state.debt)) if state.debt else state


def start(
    state: ServiceState,
    now: float,
    generation: int,
    *,
    stopping: bool = False,
    no_snapshot: bool = False,
) -> tuple[ServiceState, Job | None]:
    """
    The job that is due now, or None.

    stopping: only a reload that was merely postponed still happens, at once; everything else waits
    for the next start. no_snapshot: nothing may be rendered; pending reloads still happen.
    """
    if state.running:
        return state, None
    if stopping:
        if state.debt is None or state.debt.attempts:
            return state, None
        job = Job(
            service=state.name,
            generation=generation,
            reloads=state.policy.reloads,
            debt=state.debt,
            pay=True,
            no_snapshot=no_snapshot,
        )
        return replace(state, running=job), job
    whole, items = (frozenset(), NO_ITEMS) if no_snapshot else _ready(state, now)
    ready = whole.union(items)
    job = Job(
        service=state.name,
        generation=generation,
        resources=ready,
        items=items,
        failing=frozenset(name for name in items if _others_fail(state, name, items[name])),
        verify=state.verify and not no_snapshot,
        reloads=state.policy.reloads,
        may_reload=now >= _reload_from_s(state),
        debt=state.debt,
        pay=state.debt is not None and now >= _payable_s(state, state.debt),
        no_snapshot=no_snapshot,
        changed_s=state.hold.first_s if state.hold else None,
    )
    if not (ready or job.verify or job.pay):
        return state, None
    held = state.dirty - whole
    held_items = {
        name: left
        for name, names in state.items.items()
        if name not in whole and (left := names - items.get(name, frozenset()))
    }
    return (
        replace(
            state,
            running=job,
            dirty=held,
            items=held_items,
            hold=state.hold if held or held_items else None,
            verify=state.verify and no_snapshot,
        ),
        job,
    )


def pending_after(job: Job, outcomes: Iterable[Outcome], now: float) -> Debt | None:
    """The reload that is pending once a job's files are live. outcomes: all of the pass."""
    return debts.after_swaps(job.debt, outcomes, now) if job.reloads else None


def next_step(job: Job, debt: Debt | None) -> NextStep:
    """What the job does about the pending reload. debt: as `pending_after` returned it."""
    if debt is None:
        # the old content is back before any reload was tried
        return NextStep.CANCEL if job.debt else NextStep.NOTHING
    if job.may_reload and (job.pay or debt != job.debt):
        return NextStep.RELOAD
    return NextStep.NOTHING


def may_change(job: Job, debt: Debt | None) -> bool:
    """
    Whether a change at run time may replace the pending reload. No interval is needed, but what the
    service runs with must be known, and it is not known after a failed reload.
    """
    return debt is not None and not debt.certain and (job.pay or debt != job.debt)


def finished(state: ServiceState, report: LaneReport, now: float) -> ServiceState:
    """
    The job's report: failures get their retry, and the pending reload is the one the pass found,
    unless this service took over another one's meanwhile.
    """
    left = Retries(state.retries)
    outcomes = _by_resource(report)
    for name in report.names:
        some = state.running.items.get(name) if state.running else None
        retry = retries.after_pass(
            left.pop(name, None), outcomes.get(name, ()), now, partly=name in report.partly, of=some
        )
        if retry:
            left[name] = retry
    left.first_after(state.retries, report.names)
    debt, reloaded_s = report.debt, state.reloaded_s
    match report.reload:
        case Reloaded(at_run_time=True):
            debt = None
        case Reloaded():
            debt, reloaded_s = None, now
        case NotRunning():
            debt = None
        case ReloadFailed():
            debt, reloaded_s = debts.after_failure(debt, now), now
        case None:
            pass
    if state.running and state.debt != state.running.debt:
        debt = state.debt
    return replace(state, running=None, retries=left, debt=debt, reloaded_s=reloaded_s)


def deadline_s(state: ServiceState, *, no_snapshot: bool = False) -> float | None:
    """When `start` would next return a job if nothing else happens; None: never."""
    if state.running:
        return None
    times = [_payable_s(state, state.debt)] if state.debt else []
    if not no_snapshot:
        if state.retries:
            times.append(retries.first_s(state.retries))
        if (state.dirty or state.items) and state.hold:
            times.append(state.hold.due_s(state.policy.hold_min_s, state.policy.hold_max_s))
        if state.verify:
            times.append(0.0)
    return min(times, default=None)


def _ready(state: ServiceState, now: float) -> tuple[frozenset[str], Items]:
    """
    What to render now: everything dirty once the keys are quiet, and retries that are due. Returns
    whole resources, and names of patterns that are not among these.
    """
    due: list[tuple[str, frozenset[str]]] = []
    if state.retries and now >= retries.first_s(state.retries):
        due = [(name, retry.items) for name, retry in state.retries.items() if now >= retry.at_s]
    whole = frozenset(name for name, items in due if not items)
    some: Items = {name: items for name, items in due if items}
    policy = state.policy
    if state.hold is None or now >= state.hold.due_s(policy.hold_min_s, policy.hold_max_s):
        whole |= state.dirty
        # names of a pattern that failed as a whole: nothing is known of the others
        whole |= {name for name in state.items if _failed_whole(state, name)}
        some = _joined(some, state.items)
    return whole, {name: items for name, items in some.items() if name not in whole}


def _failed_whole(state: ServiceState, name: str) -> bool:
    return name in state.retries and not state.retries[name].items


def _others_fail(state: ServiceState, name: str, items: frozenset[str]) -> bool:
    return name in state.retries and not state.retries[name].items <= items


def _joined(some: Items, more: Items) -> Items:
    """Both together; the first is not modified."""
    if not more:
        return some
    return {**some, **{name: some.get(name, frozenset()) | items for name, items in more.items()}}


def _by_resource(report: LaneReport) -> Mapping[str, Sequence[Outcome]]:
    """Declared name -> its outcomes."""
    found: dict[str, list[Outcome]] = {}
    for outcome in report.outcomes:
        found.setdefault(outcome.resource.declared, []).append(outcome)
    return found


def _reload_from_s(state: ServiceState) -> float:
    """The earliest time at which a reload keeps the least interval."""
    if state.reloaded_s is None:
        return 0.0
    return state.reloaded_s + state.policy.min_reload_interval_s


def _payable_s(state: ServiceState, debt: Debt) -> float:
    """The earliest time for the pending reload: interval kept and back-off over."""
    return max(_reload_from_s(state), debt.not_before_s)
