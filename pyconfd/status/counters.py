"""
What has happened since the start, in numbers: for metrics, counted only when they are on. Pure.

The loop feeds it with what it handles anyway. Labels are names that the operator has given; keys
and values never come here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from pyconfd.model.keys import SourceMessage
from pyconfd.model.steps import LaneReport, Reloaded, ReloadFailed, Result
from pyconfd.reconcile.service import Job

#: Upper bounds of the buckets, in seconds: from a reload of nginx to one that waits for clients.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """How long something took, in buckets."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class Counters:
    """
    What is counted.

    messages: of the source, by kind.
    changes: keys that became different.
    results: (declared resource, result) -> how often.
    reloads: (service, whether it succeeded) -> how often.
    run_time: service -> how often it was changed without a reload.
    masters: service -> name of its daemon, pid and start time, as its last reload has found them.
    good_at: service -> when a pass over it last succeeded, seconds since 1970.
    message_s: when the last message other than Lost came, monotonic; None: never.
    pass_s, reload_s, live_s: service -> how long passes, reloads, and changes until live took.
    """

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.changes = 0
        self.results: Counter[tuple[str, Result]] = Counter()
        self.reloads: Counter[tuple[str, bool]] = Counter()
        self.run_time: Counter[str] = Counter()
        self.masters: dict[str, tuple[str, int, float]] = {}
        self.good_at: dict[str, float] = {}
        self.message_s: float | None = None
        self.pass_s: dict[str, Histogram] = {}
        self.reload_s: dict[str, Histogram] = {}
        self.live_s: dict[str, Histogram] = {}
        self._begun: dict[int, tuple[float, float | None]] = {}

    def heard(self, message: SourceMessage, now_s: float) -> None:
        """Count a message of the source."""
        kind = type(message).__name__.lower()
        self.messages[kind] += 1
        if kind != "lost":
            self.message_s = now_s

    def began(self, jobs: Iterable[Job], now_s: float) -> None:
        """Count jobs that were handed out."""
        for job in jobs:
            self._begun[job.generation] = (now_s, job.changed_s)

    def ended(self, report: LaneReport, now_s: float, now_at: float) -> None:
        """A pass has ended."""
        begun_s, changed_s = self._begun.pop(report.generation, (now_s, None))
        self.pass_s.setdefault(report.service, Histogram()).add(now_s - begun_s)
        for outcome in report.outcomes:
            self.results[outcome.resource.declared, outcome.result] += 1
        failed = any(outcome.result.failed for outcome in report.outcomes)
        match report.reload:
            case Reloaded(at_run_time=True):
                self.run_time[report.service] += 1
            case Reloaded():
                self.reloads[report.service, True] += 1
                if report.reload.master:
                    self.masters[report.service] = report.reload.master
                took_s = report.reload.report.duration_s
                self.reload_s.setdefault(report.service, Histogram()).add(took_s)
            case ReloadFailed():
                self.reloads[report.service, False] += 1
                failed = True
        if failed:
            return
        self.good_at[report.service] = now_at
        live = (Result.UPDATED, Result.REMOVED)
        if changed_s is not None and any(one.result in live for one in report.outcomes):
            self.live_s.setdefault(report.service, Histogram()).add(now_s - changed_s)
