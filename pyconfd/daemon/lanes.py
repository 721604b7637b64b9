"""
Passes on worker threads: in order for one service, in parallel for all.

The order comes from the state machine (at most one job of a service runs at a time); this file only
has threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pyconfd.apply.context import PassContext
from pyconfd.apply.service_pass import surviving_pass
from pyconfd.model.reload_spec import ReloadSpec
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LaneReport
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
        tools: PassContext,
        job: Job,
        resources: Sequence[Resource],
        spec: ReloadSpec | None,
        snapshot: Snapshot,
    ) -> None:
        """Start the job on a free thread. Main thread only."""
        self._pool.submit(self._run, tools, job, resources, spec, snapshot)

    def stop(self) -> None:
        """Wait for the threads; jobs are over by now or their commands have been ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(
        self,
        tools: PassContext,
        job: Job,
        resources: Sequence[Resource],
        spec: ReloadSpec | None,
        snapshot: Snapshot,
    ) -> None:
        self._put(surviving_pass(tools, job, resources, spec, snapshot))
