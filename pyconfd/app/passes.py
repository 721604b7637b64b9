"""
One pass over a service: render, stage, check and swap each resource, then reload once.

The steps are in pyconfd/pipeline; this file only puts them in their order and turns what each
raises into an outcome. A resource that fails does not hold up the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyconfd.app.drift import Drift
from pyconfd.app.guards import Guards
from pyconfd.errors import CheckBroken, HeldBack, RenderError, StageError, SwapError
from pyconfd.model.resources import Command, Resource
from pyconfd.model.steps import (
    Checked,
    CommandReport,
    LaneReport,
    Outcome,
    Refused,
    Reloaded,
    ReloadFailed,
    Rendered,
    Result,
    Staged,
)
from pyconfd.pipeline import check, reload, stage, swap
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render import Renderer
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile.debt import after_swaps
from pyconfd.reconcile.service import Job
from pyconfd.system.proc import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """
    What a pass works with. keep_stage, sync_only: as the options of these names.

    stopping: asked between two resources; once it says yes, no further resource is begun.
    """

    renderer: Renderer
    journal: Journal
    run: Runner
    drift: Drift
    guards: Guards
    stopping: Callable[[], bool] = lambda: False
    keep_stage: bool = False
    sync_only: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """How a service is told of new files: its reload command, and the destination it names."""

    command: Command
    dest: str

    @staticmethod
    def of(resources: Sequence[Resource]) -> Told | None:
        """The telling of a service with these resources; None when it has no reload command."""
        for resource in resources:
            if resource.reload:
                return Told(resource.reload, resource.dest)
        return None


def run_pass(
    tools: Tools, job: Job, resources: Sequence[Resource], told: Told | None, snapshot: Snapshot
) -> LaneReport:
    """
    Do the job. resources: all of the service in declared order, of which the job names those to
    render. told: None when the service has no reload command, or none is to be run (--sync-only).
    """
    named = set(job.resources)
    if job.verify:
        named.update(resource.name for resource in tools.drift.touched(resources))
    outcomes = tuple(
        apply(tools, resource, snapshot)
        for resource in resources
        if resource.name in named and not tools.stopping()
    )
    tools.drift.remember(outcomes)
    owed = after_swaps(job.debt, outcomes, time.monotonic())
    outcome: Reloaded | ReloadFailed | None = None
    if told is None:
        owed = None
    elif owed is None and job.debt is not None:
        tools.journal.settle(job.service)  # the old content is back before anybody was told
    elif owed is not None and job.may_reload and (job.pay or owed != job.debt):
        outcome = reload.reload(job.service, told.command, dest=told.dest, run=tools.run)
        if isinstance(outcome, Reloaded):
            tools.journal.settle(job.service)
    return LaneReport(
        service=job.service, generation=job.generation, outcomes=outcomes, reload=outcome
    )


def apply(tools: Tools, resource: Resource, snapshot: Snapshot) -> Outcome:
    """Bring one destination to what the snapshot says."""
    try:
        tools.guards.ask(resource, snapshot)
        rendered = tools.renderer.render(resource, snapshot)
    except HeldBack as error:
        return Outcome(resource=resource, result=Result.HELD, error=error)
    except RenderError as error:
        return Outcome(
            resource=resource, result=Result.RENDER_FAILED, error=error, reads=error.reads
        )
    outcome = _make_true(tools, rendered)
    if not outcome.result.failed:
        tools.guards.passed(resource, snapshot)
    return outcome


def _make_true(tools: Tools, rendered: Rendered) -> Outcome:
    """Stage what differs, and put it live."""
    try:
        staged = stage.stage(rendered, keep=tools.keep_stage)
        if staged is None:
            return _outcome(rendered, Result.UNCHANGED)
        return _put_live(tools, rendered, staged)
    except StageError as error:
        return _outcome(rendered, Result.STAGE_FAILED, error=error)


def _put_live(tools: Tools, rendered: Rendered, staged: Staged) -> Outcome:
    """Check and swap one staged file."""
    judged: Checked | Refused
    try:
        if tools.sync_only or rendered.resource.check is None:
            judged = check.unchecked(staged)
        else:
            judged = check.check(staged, tools.run)
        if isinstance(judged, Refused):
            return _outcome(rendered, Result.REFUSED, staged=staged, report=judged.report)
        swap.swap(judged, journal=None if tools.sync_only else tools.journal)
    except CheckBroken as error:
        return _outcome(rendered, Result.CHECK_BROKEN, staged=staged, error=error)
    except SwapError as error:
        return _outcome(rendered, Result.SWAP_FAILED, staged=staged, error=error)
    return _outcome(rendered, Result.UPDATED, staged=staged)


def preview(renderer: Renderer, resource: Resource, snapshot: Snapshot, *, diff: bool) -> Outcome:
    """What a pass would do to this resource, without writing anything (`--noop`)."""
    try:
        rendered = renderer.render(resource, snapshot)
        live, differs = stage.compare(rendered)
    except RenderError as error:
        return Outcome(resource=resource, result=Result.RENDER_FAILED, error=error)
    except StageError as error:
        return Outcome(resource=resource, result=Result.STAGE_FAILED, error=error)
    return Outcome(
        resource=resource,
        result=Result.WOULD_CHANGE if differs else Result.UNCHANGED,
        reads=rendered.reads,
        digest=rendered.digest,
        was=live.digest,
        differs=differs,
        diff=stage.diff(rendered, live) if diff and differs else "",
        revision=rendered.revision,
    )


def _outcome(
    rendered: Rendered,
    result: Result,
    *,
    staged: Staged | None = None,
    error: CheckBroken | StageError | SwapError | None = None,
    report: CommandReport | None = None,
) -> Outcome:
    return Outcome(
        resource=rendered.resource,
        result=result,
        reads=rendered.reads,
        digest=rendered.digest,
        was=staged.live.digest if staged else None,
        differs=staged.differs if staged else (),
        error=error,
        report=report,
        revision=rendered.revision,
    )
