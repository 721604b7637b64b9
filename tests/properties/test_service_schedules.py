"""Random schedules of changes, slow lanes and failing reloads against one small model."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.model.resources import Command, Origin, Resource, Service
from pyconfd.model.steps import CommandReport, LaneReport, Outcome, Reloaded, ReloadFailed, Result
from pyconfd.reconcile.service import Job, NextStep, next_step, pending_after
from pyconfd.reconcile.services import ServiceSet

RELOAD = "reload"
NAMES = ("a", "b", "c")
RESOURCES = [
    Resource(
        name=name,
        origin=Origin("x.toml"),
        src=name,
        dest="/" + name,
        keys=("/" + name,),
        service=Service(reload=Command(RELOAD, 1.0), min_reload_interval_s=2.0),
        hold_min_s=0.2,
        hold_max_s=1.0,
    )
    for name in NAMES
]


class World:
    """A store, files, and a service that runs with what it last loaded."""

    def __init__(self, seed: int, failing: float) -> None:
        self.chance = random.Random(seed)
        self.failing = failing
        self.desired = dict.fromkeys(NAMES, "0")
        self.live = dict.fromkeys(NAMES, "0")
        self.runs_with = dict.fromkeys(NAMES, "0")
        self.reloads: list[float] = []

    def do(self, job: Job, seen: dict[str, str], now: float) -> LaneReport:
        """What apply/service_pass.py does, on this world. seen: the store when the job began."""
        outcomes = []
        for resource in RESOURCES:
            if resource.name in job.resources:
                was, digest = self.live[resource.name], seen[resource.name]
                self.live[resource.name] = digest
                result = Result.UNCHANGED if was == digest else Result.UPDATED
                outcomes.append(Outcome(resource=resource, result=result, was=was, digest=digest))
        debt = pending_after(job, outcomes, now)
        reload: Reloaded | ReloadFailed | None = None
        if next_step(job, debt) is NextStep.RELOAD:
            reload = self._reload(now)
        return LaneReport(
            service=RELOAD,
            generation=job.generation,
            outcomes=tuple(outcomes),
            names=job.resources,
            debt=debt,
            reload=reload,
        )

    def _reload(self, now: float) -> Reloaded | ReloadFailed:
        self.reloads.append(now)
        if self.chance.random() < self.failing:
            return ReloadFailed(RELOAD, CommandReport(RELOAD, 1, 0.0))
        self.runs_with = dict(self.live)
        return Reloaded(RELOAD, CommandReport(RELOAD, 0, 0.0))


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from("0123"), st.floats(0.0, 1.5))),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.5]),
)
def test_every_schedule_ends_with_running_equal_to_live_equal_to_desired(
    changes: list[tuple[str, str, float]], seed: int, failing: float
) -> None:
    """No change and no reload is lost, and no two reloads are closer than the interval."""
    world = World(seed, failing)
    services = ServiceSet()
    services.adopt(RESOURCES)
    now = 0.0
    script = []
    moment = 0.0
    for name, value, gap in changes:
        moment += gap
        script.append((moment, name, value))
    flying: tuple[float, Job, dict[str, str]] | None = None
    for _ in range(10_000):
        jobs = services.due(now)
        assert len(jobs) + (flying is not None) <= 1, "one lane ran twice at once"
        for job in jobs:
            flying = (now + world.chance.uniform(0, 0.8), job, dict(world.desired))
        times = [time for time in (services.deadline_s(), flying and flying[0]) if time is not None]
        times += [script[0][0]] if script else []
        if not times:
            break
        now = max(now, min(times))
        if script and script[0][0] <= now:
            _, name, value = script.pop(0)
            world.desired[name] = value
            services.dirty([name], now)
        if flying and flying[0] <= now:
            services.finished(world.do(flying[1], flying[2], now), now)
            flying = None
    assert world.runs_with == world.live == world.desired
    assert all(
        later - earlier >= 2.0 - 1e-9
        for earlier, later in zip(world.reloads, world.reloads[1:], strict=False)
    )
