"""
One pass over a service: its groups from snapshot to live files, then one reload.

The steps are in pyconfd/pipeline; their order for a group is in apply/transaction.py. This file
selects what is due, reloads the service once, and makes the report.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyconfd.apply.context import PassContext
from pyconfd.apply.expansion import expand, too_many
from pyconfd.apply.printed import of_checks, of_reload
from pyconfd.apply.transaction import Candidate, transact
from pyconfd.errors import HeldBack, ReloadError, SwapError, TemplateFault
from pyconfd.model.debt import Debt
from pyconfd.model.reads import Reads
from pyconfd.model.reload_spec import ReloadSpec
from pyconfd.model.resources import Resource
from pyconfd.model.steps import (
    LaneReport,
    Outcome,
    ReloadFailed,
    ReloadResult,
    Result,
)
from pyconfd.observe import log
from pyconfd.pipeline import reload
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile.service import (
    NO_ITEMS,
    Items,
    Job,
    NextStep,
    may_change,
    next_step,
    pending_after,
)

if TYPE_CHECKING:
    from pyconfd.apply.rollback import RollbackActions


def surviving_pass(
    context: PassContext,
    job: Job,
    resources: Sequence[Resource],
    spec: ReloadSpec | None,
    snapshot: Snapshot,
    due: Sequence[Resource] | None = None,
) -> LaneReport:
    """Like `run_pass`, but returns a report even if the pass fails unexpectedly."""
    try:
        return run_pass(context, job, resources, spec, snapshot, due)
    except Exception as fault:  # noqa: BLE001 - the top of the thread
        log.LOG.exception("a pass died of a fault in pyconfd; it is tried again")
        return _died(job, resources, spec, fault)


def _died(
    job: Job, resources: Sequence[Resource], spec: ReloadSpec | None, fault: Exception
) -> LaneReport:
    """
    The report of a pass that died: all counts as failed and the reload as pending, since it is not
    known how far it got.
    """
    outcomes = tuple(
        Outcome(
            resource=resource,
            result=Result.RENDER_FAILED,
            error=TemplateFault(
                f"internal fault: {fault!r}", resource=resource.name, template=resource.src
            ),
        )
        for resource in resources
    )
    return LaneReport(
        service=job.service,
        generation=job.generation,
        outcomes=outcomes,
        names=frozenset(resource.name for resource in resources),
        debt=job.debt,
        reload=ReloadFailed(job.service, error=ReloadError(f"internal fault: {fault!r}"))
        if spec
        else None,
    )


def run_pass(
    context: PassContext,
    job: Job,
    resources: Sequence[Resource],
    spec: ReloadSpec | None,
    snapshot: Snapshot,
    named: Sequence[Resource] | None = None,
) -> LaneReport:
    """
    Do the job. resources: all of the service, in declared order; the job names those to render, and
    each of their groups is done as a whole. spec: None when the service has no reload command.
    named: the resources of the job with whole groups, if already known.
    """
    if named is None or job.verify:
        due, some = _due(context, job, resources)
    else:
        due, some = named, dict(job.items)
    outcomes, reads = apply_groups(context, due, snapshot, some=some, failing=job.failing)
    outcomes = of_checks(outcomes, resources, snapshot)
    debt = pending_after(job, outcomes, time.monotonic())
    answer, debt = _settle(context, job, spec, debt, resources)
    answer = of_reload(answer, resources, snapshot) if answer else None
    names = frozenset(resource.name for resource in due)
    aside = frozenset(one.resource.declared for one in outcomes) - names
    done = LaneReport(
        service=job.service,
        generation=job.generation,
        revision=snapshot.revision,
        outcomes=outcomes,
        names=names | aside,
        partly=frozenset(some) | aside,
        reads=reads.whole,
        items=reads.items,
        debt=debt,
        reload=answer,
    )
    if spec and spec.revert and isinstance(answer, ReloadFailed) and answer.refused:
        from pyconfd.apply.rollback import roll_back  # only a refusal needs it

        actions = _rollback_actions(context, job, spec, resources, snapshot)
        try:
            return roll_back(context, done, answer, resources, actions)
        except SwapError as torn:
            return replace(done, reload=replace(answer, error=torn))
    return done


def _settle(
    context: PassContext,
    job: Job,
    spec: ReloadSpec | None,
    debt: Debt | None,
    resources: Sequence[Resource],
) -> tuple[ReloadResult | None, Debt | None]:
    """Handle the pending reload. Returns the result, and the pending reload as it was before."""
    step = next_step(job, debt)
    if step is NextStep.CANCEL:
        context.journal.settle(job.service)
    if spec is None or debt is None:
        return None, debt
    if spec.runtime is None:
        return _reload(context, job.service, spec) if step is NextStep.RELOAD else None, debt
    known = may_change(job, debt)
    if not known and step is not NextStep.RELOAD:
        return None, debt
    from pyconfd.apply.run_time import change_or_reload  # few services have it

    reload_now = (lambda: _reload(context, job.service, spec)) if step is NextStep.RELOAD else None
    return change_or_reload(
        context,
        job.service,
        spec.runtime,
        debt,
        may_change=known,
        reload=reload_now,
        live=lambda: (one.dest for each in resources for one in context.made_files.known(each)),
    )


def _rollback_actions(
    context: PassContext,
    job: Job,
    spec: ReloadSpec,
    resources: Sequence[Resource],
    snapshot: Snapshot,
) -> RollbackActions:
    from pyconfd.apply.rollback import RollbackActions

    def reapply(names: Sequence[str]) -> Sequence[Outcome]:
        due = [
            resource
            for resource in resources
            if (resource.group or resource.name) in names
            or (resource.each and any(name.startswith(f"{resource.name}[") for name in names))
        ]
        outcomes, _ = apply_groups(context, due, snapshot, only=names)
        return of_checks(outcomes, resources, snapshot)

    def reload_once() -> ReloadResult:
        return of_reload(_reload(context, job.service, spec), resources, snapshot)

    return RollbackActions(
        reload=reload_once,
        reapply=None if job.no_snapshot else reapply,
        interval_s=spec.min_interval_s,
    )


def _due(
    context: PassContext, job: Job, resources: Sequence[Resource]
) -> tuple[Sequence[Resource], Items]:
    """
    The resources that the job names, or that something else has changed, with whole groups; and for
    patterns of which only some names are due, those names.
    """
    named = set(job.resources)
    some = dict(job.items)
    if job.verify:
        for name, items in context.drift.touched(resources).items():
            if items and (name not in named or name in some):
                some[name] = some.get(name, frozenset()) | items
            named.add(name)
    groups = {resource.group for resource in resources if resource.group and resource.name in named}
    due = [one for one in resources if one.name in named or one.group in groups]
    return due, some


@dataclass(frozen=True, slots=True)
class PassReads:
    """
    What a pass has read.

    whole: declared name -> what to watch for; missing where it is not known.
    items: pattern -> name -> the same, for the names of the pass.
    """

    whole: Mapping[str, Reads]
    items: Mapping[str, Mapping[str, Reads]]


def apply_groups(
    context: PassContext,
    due: Iterable[Resource],
    snapshot: Snapshot,
    *,
    only: Collection[str] | None = None,
    some: Items = NO_ITEMS,
    failing: Collection[str] = (),
) -> tuple[tuple[Outcome, ...], PassReads]:
    """
    Put every due group live as far as it passes. Returns the outcomes and what was read.

    only: do only these resources of a pattern, and leave the others as they are. some: do only
    these names below the `each` of patterns. failing: patterns that have other, failed names.
    """
    outcomes: list[Outcome] = []
    candidates: list[Candidate] = []
    admitted: list[Resource] = []
    for name, members in groups_of(due).items():
        if context.stopping():
            break
        held = _held(context, members, snapshot)
        outcomes += held
        if held:
            continue
        if fault := too_many(members[0], snapshot):
            failed = Outcome(resource=members[0], result=Result.RENDER_FAILED, error=fault)
            outcomes.append(failed)
            continue
        admitted += members
        if members[0].name in some:
            more, refused = _some_of_each(context, members[0], snapshot, some[members[0].name])
            candidates += more
            outcomes += refused
        elif members[0].each:
            more, refused = _one_for_each(context, members[0], snapshot)
            candidates += [one for one in more if only is None or one.name in only]
            outcomes += refused if only is None else ()
        else:
            candidates.append(Candidate(name, members))
    ended = transact(context, candidates, snapshot)
    done = _by_destination(outcome for one in ended for outcome in one.outcomes.values())
    if only is None and not context.dry_run:
        _note_successes(context, admitted, done, snapshot, some, failing)
    return (*outcomes, *done), _reads(admitted, done, some)


def _by_destination(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """
    One outcome for each destination. For a file that was set aside: why its new version, if there
    is one, does not go live, and what was read for it.
    """
    found: dict[str, Outcome] = {}
    for outcome in outcomes:
        before = found.setdefault(outcome.resource.dest, outcome)
        if before is not outcome and not before.result.failed:
            found[outcome.resource.dest] = replace(outcome, reads=before.reads)
    return list(found.values())


def groups_of(due: Iterable[Resource]) -> dict[str, list[Resource]]:
    """The resources by name of their group; a resource without a group stands alone."""
    groups: dict[str, list[Resource]] = {}
    for resource in due:
        groups.setdefault(resource.group or resource.name, []).append(resource)
    return groups


def _held(context: PassContext, members: Sequence[Resource], snapshot: Snapshot) -> list[Outcome]:
    """
    One outcome for each member of a group that a guard holds back; empty when no guard does. All
    guards are asked, so that the time of each counts from the same change.
    """
    objections: list[HeldBack] = []
    for resource in members:
        try:
            context.guards.ask(
                resource, snapshot, context.renderer, context.made_files.count(resource)
            )
        except HeldBack as error:
            objections.append(error)
    if not objections:
        return []
    return [Outcome(resource=one, result=Result.HELD, error=objections[0]) for one in members]


def _one_for_each(
    context: PassContext, resource: Resource, snapshot: Snapshot
) -> tuple[list[Candidate], list[Outcome]]:
    """A candidate for each name below the key path, and for each file whose name is gone."""
    found = expand(resource, snapshot, context.ownership.other)
    refused = [
        Outcome(resource=one, result=Result.RENDER_FAILED, error=fault)
        for one, fault in found.faults
    ]
    keep = (*found.resources, *(one for one, _ in found.faults))
    gone = context.made_files.gone(resource, keep)
    if not context.dry_run:
        context.made_files.will_try(resource, found.resources)
    candidates = [Candidate(one.name, (one,)) for one in found.resources]
    return candidates + _removals(context, gone, snapshot), refused


def _some_of_each(
    context: PassContext, resource: Resource, snapshot: Snapshot, names: Collection[str]
) -> tuple[list[Candidate], list[Outcome]]:
    """Like `_one_for_each`, for these names only."""
    found = expand(resource, snapshot, context.ownership.other, names)
    refused = [
        Outcome(resource=one, result=Result.RENDER_FAILED, error=fault)
        for one, fault in found.faults
    ]
    gone = context.made_files.gone_of(resource, set(names).difference(found.names))
    if not context.dry_run:
        context.made_files.will_try(resource, found.resources, of=names)
    candidates = [Candidate(one.name, (one,)) for one in found.resources]
    return candidates + _removals(context, gone, snapshot), refused


def _removals(
    context: PassContext, gone: Iterable[Resource], snapshot: Snapshot
) -> list[Candidate]:
    return [
        Candidate(one.name, (), (one,))
        for one in gone
        if not context.ownership.other(one, snapshot)
    ]


def _note_successes(
    context: PassContext,
    admitted: Iterable[Resource],
    done: Iterable[Outcome],
    snapshot: Snapshot,
    some: Items,
    failing: Collection[str],
) -> None:
    """Note what the guards and the list of made files compare with next time."""
    by_name: dict[str, list[Outcome]] = {}
    for outcome in done:
        by_name.setdefault(outcome.resource.declared, []).append(outcome)
    for resource in admitted:
        mine = by_name.get(resource.name, [])
        if resource.each:
            removed = [one.resource.item for one in mine if one.result is Result.REMOVED]
            context.made_files.has_removed(resource.name, removed)
        if any(outcome.result.failed for outcome in mine):
            continue
        if resource.name not in failing:
            context.guards.passed(resource, snapshot)
        if resource.each:
            live = [one.resource for one in mine if one.result is not Result.REMOVED]
            context.made_files.has_made(resource, live, of=some.get(resource.name))


def _reads(admitted: Iterable[Resource], done: Iterable[Outcome], some: Items) -> PassReads:
    """
    What the renders have read. If that is not known for a name, everything that it may read counts;
    a name that is gone reads nothing.
    """
    whole: dict[str, Reads] = {}
    items: dict[str, dict[str, Reads]] = {}
    watched: dict[str, Reads] = {}
    for resource in admitted:
        if resource.each:
            items[resource.name] = dict.fromkeys(some.get(resource.name, ()), Reads())
            watched[resource.name] = Reads(trees=frozenset(resource.watched))
            if resource.name not in some:
                whole[resource.name] = Reads()
    for outcome in done:
        name = outcome.resource.declared
        if outcome.result is Result.REMOVED:
            continue
        if outcome.resource.item and name in items:
            items[name][outcome.resource.item] = outcome.reads or watched[name]
        elif not outcome.resource.item and outcome.reads is not None:
            whole[name] = outcome.reads
    return PassReads(whole, items)


def _reload(context: PassContext, service: str, spec: ReloadSpec) -> ReloadResult:
    """Reload, confirm the reload if possible, and settle it in the journal."""
    if spec.confirm is None:
        answer: ReloadResult = reload.reload(service, spec.command, dest=spec.dest, run=context.run)
    else:
        answer = reload.reload_confirmed(
            service,
            spec.command,
            dest=spec.dest,
            run=context.run,
            confirm=spec.confirm,
            nginx=spec.nginx,
        )
    if not isinstance(answer, ReloadFailed):
        context.journal.settle(service)
    return answer
