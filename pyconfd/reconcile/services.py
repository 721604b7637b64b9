"""
All services together: which resources belong to which service, and which jobs are due. Pure.

Owned by one thread. The states inside are frozen values that `reconcile/service.py` moves on;
this class only knows where each one is, so that a change costs the same however many unrelated
services there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from pyconfd.model.reload_spec import ReloadSpec
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LaneReport
from pyconfd.reconcile import service as machine
from pyconfd.reconcile.service import Job, Policy, ServiceState


class ServiceSet:
    """Every service of the running set."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[Resource, ...]] = {}
        self._reload_specs: dict[str, ReloadSpec | None] = {}
        self._service_of: dict[str, str] = {}
        self._by_name: dict[str, Resource] = {}
        self._by_group: dict[str, list[Resource]] = {}
        self._states: dict[str, ServiceState] = {}
        self._active: dict[str, int] = {}  # name -> its number in order of arrival
        self._arrivals = 0
        self._failed: dict[str, ServiceState] = {}
        self._place: dict[str, int] = {}  # name of a resource -> its number in declared order
        self._deadlines: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []  # a heap; an entry counts if it is a deadline
        self._generation = 0
        self._running = 0

    @property
    def states(self) -> Mapping[str, ServiceState]:
        """Service name -> its state; for the status and for tests."""
        return self._states

    @property
    def failed(self) -> Mapping[str, ServiceState]:
        """Those of `states` with a pending reload that has failed."""
        return self._failed

    @property
    def running(self) -> int:
        """How many services have a job on a lane."""
        return self._running

    @property
    def generation(self) -> int:
        """The number of the newest job."""
        return self._generation

    def adopt(self, resources: Sequence[Resource]) -> None:
        """
        Take a new set of resources. Services that remain keep their pending reload and their
        running job; if the reload command was corrected, a pending reload is due at once. A removed
        service is forgotten once nothing of it runs. Its pending reload stays in the journal, and
        apply/orphaned_debts.py reports it.
        """
        members: dict[str, list[Resource]] = {}
        for resource in resources:
            members.setdefault(resource.service_name, []).append(resource)
        self._members = {name: tuple(found) for name, found in members.items()}
        self._service_of = {resource.name: resource.service_name for resource in resources}
        self._by_name = {resource.name: resource for resource in resources}
        self._place = {resource.name: place for place, resource in enumerate(resources)}
        self._by_group = {}
        for resource in resources:
            if resource.group:
                self._by_group.setdefault(resource.group, []).append(resource)
        for name, found in self._members.items():
            state = self._states.get(name, ServiceState(name=name))
            spec, former = ReloadSpec.of(found), self._reload_specs.get(name)
            if former and spec != former:
                state = machine.corrected(state)
            self._reload_specs[name] = spec
            names = {resource.name for resource in found}
            self._set(
                replace(
                    state,
                    policy=_policy(found, spec),
                    dirty=state.dirty & names,
                    items={key: value for key, value in state.items.items() if key in names},
                    retries={key: value for key, value in state.retries.items() if key in names},
                )
            )
        for name in [name for name in self._states if name not in self._members]:
            self._retire(name)

    def members(self, service: str) -> tuple[Resource, ...]:
        """The resources of a service in declared order; empty for a service that is gone."""
        return self._members.get(service, ())

    def due_members(self, job: Job) -> list[Resource]:
        """
        The declared resources that a job names, each group as a whole, in declared order.
        """
        named = [self._by_name[name] for name in job.resources if name in self._by_name]
        found = [resource for resource in named if not resource.group]
        for group in {resource.group for resource in named if resource.group}:
            found += self._by_group[group]
        return sorted(found, key=lambda one: self._place[one.name])

    def reload_spec(self, service: str) -> ReloadSpec | None:
        """How a service is reloaded; None for one without a reload command, or that is gone."""
        return self._reload_specs.get(service)

    def dirty(
        self,
        names: Iterable[str],
        now: float,
        items: Mapping[str, Collection[str]] = machine.NO_ITEMS,
    ) -> None:
        """
        Keys that these resources (or these names of patterns) read have changed; unknown resources
        are ignored.
        """
        touched: dict[str, list[str]] = {}
        for name in names:
            if name in self._service_of:
                touched.setdefault(self._service_of[name], []).append(name)
        for service, found in touched.items():
            self._set(machine.dirtied(self._states[service], found, now))
        for name, some in items.items():
            if service_of := self._service_of.get(name):
                state = self._states[service_of]
                self._set(machine.dirtied(state, (), now, {name: frozenset(some)}))

    def verify(self) -> None:
        """It is time to compare every live file with what was last written."""
        for service in self._members:
            self._set(machine.verify(self._states[service]))

    def pending(self, service: str, now: float) -> bool:
        """The journal has a pending reload for a service; False if the service is gone."""
        if service not in self._members:
            return False
        self._set(machine.pending_from_before(self._states[service], now))
        return True

    def due(self, now: float, *, stopping: bool = False, no_snapshot: bool = False) -> list[Job]:
        """The jobs to run now (see service.start); each runs until its report comes."""
        jobs = []
        for service in list(self._active) if stopping or no_snapshot else self._ripe(now):
            state, job = machine.start(
                self._states[service],
                now,
                self._generation + 1,
                stopping=stopping,
                no_snapshot=no_snapshot,
            )
            if job:
                self._generation += 1
                self._set(state)
                jobs.append(job)
            else:
                self._plan(state)
        return jobs

    def finished(self, report: LaneReport, now: float) -> None:
        """A lane has reported."""
        if report.service not in self._states:
            return
        self._set(machine.finished(self._states[report.service], report, now))
        if report.service not in self._members:
            self._retire(report.service)

    def deadline_s(self, *, no_snapshot: bool = False) -> float | None:
        """When `due` would next return a job if nothing else happens; None: never."""
        if not no_snapshot:
            self._drop_stale()
            return self._queue[0][0] if self._queue else None
        times = (
            machine.deadline_s(self._states[name], no_snapshot=no_snapshot) for name in self._active
        )
        return min((time for time in times if time is not None), default=None)

    def _ripe(self, now: float) -> list[str]:
        """The services whose deadline has come, in order of arrival."""
        found = []
        while True:
            self._drop_stale()
            if not self._queue or self._queue[0][0] > now:
                break
            found.append(heapq.heappop(self._queue)[1])
            del self._deadlines[found[-1]]
        return sorted(found, key=self._active.__getitem__)

    def _drop_stale(self) -> None:
        while self._queue and self._deadlines.get(self._queue[0][1]) != self._queue[0][0]:
            heapq.heappop(self._queue)

    def _set(self, state: ServiceState) -> None:
        before = self._states.get(state.name)
        self._running += bool(state.running) - bool(before and before.running)
        self._states[state.name] = state
        if state.idle:
            self._active.pop(state.name, None)
        elif state.name not in self._active:
            self._arrivals += 1
            self._active[state.name] = self._arrivals
        if state.debt and state.debt.failed:
            self._failed[state.name] = state
        else:
            self._failed.pop(state.name, None)
        self._plan(state)

    def _plan(self, state: ServiceState) -> None:
        """Note when the service has to be looked at next."""
        at_s = machine.deadline_s(state)
        if at_s is None:
            self._deadlines.pop(state.name, None)
        elif self._deadlines.get(state.name) != at_s:
            self._deadlines[state.name] = at_s
            heapq.heappush(self._queue, (at_s, state.name))

    def _retire(self, service: str) -> None:
        """Forget a service that is no longer declared, unless its job is still on a lane."""
        if not self._states[service].running:
            del self._states[service]
            self._reload_specs.pop(service, None)
            self._active.pop(service, None)
            self._failed.pop(service, None)
            self._deadlines.pop(service, None)


def _policy(resources: Sequence[Resource], spec: ReloadSpec | None) -> Policy:
    """The numbers of a service; where its resources differ, the longest waits count."""
    return Policy(
        reloads=spec is not None,
        hold_min_s=max(resource.hold_min_s for resource in resources),
        hold_max_s=max(resource.hold_max_s for resource in resources),
        min_reload_interval_s=spec.min_interval_s if spec else 0.0,
    )
