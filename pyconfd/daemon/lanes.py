"""
Passes on worker threads: in order for one service, in parallel for different services.

The state machine keeps the order (at most one job of a service runs at a time); this file only
has the threads.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
#: A job that takes longer (a slow template, a slow command) makes room for another.
LONG_S, MOST_THREADS = 1.0, 64


class Lanes:
    """Runs jobs; each one's LaneReport goes to `put`."""

    def __init__(self, put: Callable[[LaneReport], None]) -> None:
        self._put = put
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="lane")
        self._begun_s: dict[int, float] = {}
        self._changed = threading.Condition()

    def submit(
        self,
        tools: PassContext,
        job: Job,
        resources: Sequence[Resource],
        spec: ReloadSpec | None,
        snapshot: Snapshot,
        due: Sequence[Resource],
    ) -> None:
        """Start the job on a free thread; see run_pass. Main thread only."""
        self._pool.submit(self._run, tools, job, resources, spec, snapshot, due)

    def stop(self) -> None:
        """Wait for the threads; their jobs are over, or their commands have been ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(
        self,
        tools: PassContext,
        job: Job,
        resources: Sequence[Resource],
        spec: ReloadSpec | None,
        snapshot: Snapshot,
        due: Sequence[Resource],
    ) -> None:
        with self._lane():
            self._put(surviving_pass(tools, job, resources, spec, snapshot, due))

    @contextlib.contextmanager
    def _lane(self) -> Iterator[None]:
        """Wait until fewer than MOST_LANES jobs run that are not long ones."""
        with self._changed:
            while (pause_s := self._pause_s(time.monotonic())) > 0:
                self._changed.wait(pause_s)
            self._begun_s[threading.get_ident()] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                del self._begun_s[threading.get_ident()]
                self._changed.notify()

    def _pause_s(self, now: float) -> float:
        """Seconds until the next job counts as long; 0 when another job may start now."""
        short = [begun for begun in self._begun_s.values() if now - begun < LONG_S]
        return min(short) + LONG_S - now if len(short) >= MOST_LANES else 0.0
