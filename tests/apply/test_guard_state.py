"""What guards do in time: let a change through at last, and know of the keys before a kill."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.apply.context import PassContext
from pyconfd.apply.drift import Drift
from pyconfd.apply.guard_state import GuardState
from pyconfd.apply.made_files import MadeFiles
from pyconfd.apply.service_pass import run_pass
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.resources import Guard, Origin, Resource
from pyconfd.model.steps import Result
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
from pyconfd.reconcile.service import Job
from pyconfd.testing.fake_runner import FakeRunner
from tests.support.loop import NotedLanes, World
from tests.support.waiting import wait_until


def test_a_held_change_goes_through_when_its_time_is_over(tmp_path: Path) -> None:
    """Not before, and long before the next look at what failed."""
    world = World(tmp_path)
    world.resource(guard=Guard(timeout_s=0.3))
    with world.running():
        wait_until(lambda: world.live() is not None)
        was, begun = world.live(), time.monotonic()
        world.source.delete("/app/a")
        wait_until(lambda: world.live() != was)
        assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize("times_s", [(60.0, 60.0, 60.0), (60.0, 100.0), (100.0, 60.0)])
def test_the_guards_of_a_group_count_their_time_together(
    tmp_path: Path, times_s: tuple[float, ...]
) -> None:
    """Not one after the other: a group goes through when the longest of them is over."""
    group = Grouped(tmp_path, times_s)
    assert group.results("1") == {Result.UPDATED}
    assert group.results(None) == {Result.HELD}
    for now_s in (59.0, 60.0, 99.0):
        group.now_s = now_s
        expected = Result.HELD if now_s < max(times_s) else Result.UPDATED
        assert group.results(None) == {expected}
        if expected is Result.UPDATED:
            break
    group.now_s = 100.0
    assert group.results(None) <= {Result.UPDATED, Result.UNCHANGED}
    assert group.results("1") == {Result.UPDATED}
    assert group.results(None) == {Result.HELD}, "the next change is guarded again"


def test_a_change_that_was_let_through_and_then_failed_does_not_wait_again(tmp_path: Path) -> None:
    """The guard has had its time; what kept it from being live was something else."""
    group = Grouped(tmp_path, (60.0,))
    group.results("1")
    assert group.results(None) == {Result.HELD}
    group.now_s = 60.0
    (tmp_path / "0").unlink()
    (tmp_path / "0").mkdir()
    assert group.results(None) == {Result.STAGE_FAILED}
    (tmp_path / "0").rmdir()
    assert group.results(None) == {Result.UPDATED}


def test_a_pattern_whose_names_are_all_gone_keeps_its_files(tmp_path: Path) -> None:
    """Also where it reads other keys, which are still there; until somebody means it."""
    world = World(tmp_path)
    made = world.resource("p", each="/sites")
    world.template("p", "{{ getv('/all') }} {{ name }}\n")
    world.resources = (replace(made, keys=("/",), dest=str(world.out / "{name}.conf")),)
    world.source.txn({"/all": "1", "/sites/x": "1", "/sites/y": "1"})
    with world.running():
        wait_until(lambda: world.live("x.conf") == "1 x\n" and world.live("y.conf") == "1 y\n")
        world.source.delete("/sites/x")
        wait_until(lambda: world.live("x.conf") is None)
        world.source.delete("/sites/y")
        world.until(lambda status: "all 1 files would go" in str(status))
        assert world.live("y.conf") == "1 y\n"
    world.lanes = NotedLanes(world.inbox.put)
    with world.running():
        world.until(lambda status: "all 1 files would go" in str(status))
        assert world.live("y.conf") == "1 y\n"
        assert world.ask("release", "p") == {"released": ["p"]}
        wait_until(lambda: world.live("y.conf") is None)


class Grouped:
    """A group whose members all read one key; `now_s` is the guards' clock."""

    def __init__(self, folder: Path, times_s: tuple[float, ...]) -> None:
        self.now_s = 0.0
        (folder / "t.j2").write_text("{{ exists('/v') }}\n")
        state = folder / "state"
        state.mkdir()
        self.members = [
            Resource(
                name=str(number),
                origin=Origin("t.toml"),
                src="t.j2",
                dest=str(folder / str(number)),
                keys=("/",),
                group="all",
                guard=Guard(timeout_s=timeout_s),
            )
            for number, timeout_s in enumerate(times_s)
        ]
        self.tools = PassContext(
            renderer=Renderer(str(folder), {}),
            journal=Journal(str(state)),
            run=FakeRunner(),
            drift=Drift(),
            guards=GuardState(str(state / "keys.json"), clock=lambda: self.now_s),
            made_files=MadeFiles(str(state / "made.json")),
            work_dir=str(state),
        )
        self.tools.journal.recover()

    def results(self, value: str | None) -> set[Result]:
        """Of one pass with this value in the store."""
        store = Store()
        items = (KeyValue("/v", value.encode(), 1),) if value else ()
        store.apply(Listed("fake", 1, 1, items))
        job = Job(service="", generation=1, resources=frozenset({"0"}))
        report = run_pass(self.tools, job, self.members, None, store.snapshot())
        return {one.result for one in report.outcomes}


def test_the_first_number_of_keys_is_written_down_at_once(tmp_path: Path) -> None:
    """A daemon that is killed in its first minute has left what the next one compares with."""
    world = World(tmp_path)
    world.resource()
    world.resource("other", "/other")
    path = world.state / "keys.json"
    with world.running():
        wait_until(path.exists)
        world.settle()
        assert json.loads(path.read_text()) == {"app": 1, "other": 0}
        before = path.stat().st_ino
        world.source.put("/app/b", "2")
        world.settle()
        assert path.stat().st_ino == before, "a later one has time"
