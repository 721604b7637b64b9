"""
Passes on worker threads: in order for one service, in parallel for all.

The order is the reducer's doing (at most one job of a service runs at a time); this file only has
threads. A pass that dies of a fault of ours is reported like any failure, so that it is retried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pyconfd.app.passes import Told, run_pass
from pyconfd.app.tools import Tools
from pyconfd.errors import ReloadError, TemplateFault
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LaneReport, Outcome, ReloadFailed, Result
from pyconfd.observe import log
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile.service import Job

#: Checks and reloads wait for other processes, so more lanes than cores are useful.
MOST_LANES = 16


class Lanes:
    """Runs jobs; each one's LaneReport goes to `put`."""

    def __init__(self, put: Callable[[LaneReport], None]) -> None:
        self._put = put
        self._pool = ThreadPoolExecutor(MOST_LANES, thread_name_prefix="lane")

    def submit(
        self,
        tools: Tools,
        job: Job,
        resources: Sequence[Resource],
        told: Told | None,
        snapshot: Snapshot,
    ) -> None:
        """Start the job on a free thread. Main thread only."""
        self._pool.submit(self._run, tools, job, resources, told, snapshot)

    def stop(self) -> None:
        """Wait for the threads; jobs are over by now or their commands have been ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(
        self,
        tools: Tools,
        job: Job,
        resources: Sequence[Resource],
        told: Told | None,
        snapshot: Snapshot,
    ) -> None:
        try:
            report = run_pass(tools, job, resources, told, snapshot)
        except Exception as fault:  # noqa: BLE001 - the top of the thread
            log.LOG.exception("a pass died of a fault in pyconfd; it is tried again")
            report = _died(job, resources, told, fault)
        self._put(report)


def _died(
    job: Job, resources: Sequence[Resource], told: Told | None, fault: Exception
) -> LaneReport:
    """Everything counts as failed, and the reload as owed: how far the pass came is not known."""
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
        reload=ReloadFailed(job.service, error=ReloadError(f"internal fault: {fault!r}"))
        if told
        else None,
    )
