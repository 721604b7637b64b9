"""
A pass that dies of a fault of ours is reported like any failure, so that the others are done and
it is tried again: the one place on each thread that catches everything.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyconfd.apply.context import PassContext
from pyconfd.apply.service_pass import run_pass
from pyconfd.errors import ReloadError, TemplateFault
from pyconfd.model.reload_spec import ReloadSpec
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LaneReport, Outcome, ReloadFailed, Result
from pyconfd.observe import log
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile.service import Job


def surviving_pass(
    tools: PassContext,
    job: Job,
    resources: Sequence[Resource],
    spec: ReloadSpec | None,
    snapshot: Snapshot,
) -> LaneReport:
    """As `run_pass`, whatever happens."""
    try:
        return run_pass(tools, job, resources, spec, snapshot)
    except Exception as fault:  # noqa: BLE001 - the top of the thread
        log.LOG.exception("a pass died of a fault in pyconfd; it is tried again")
        return _died(job, resources, spec, fault)


def _died(
    job: Job, resources: Sequence[Resource], spec: ReloadSpec | None, fault: Exception
) -> LaneReport:
    """All of it counts as failed, and the reload as pending: how far it came is not known."""
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
