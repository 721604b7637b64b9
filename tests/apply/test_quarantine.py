"""A version that was refused is no lost one: it is tried again, less and less often."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pyconfd.apply.context import PassContext
from pyconfd.apply.drift import Drift
from pyconfd.apply.guard_state import GuardState
from pyconfd.apply.made_files import MadeFiles
from pyconfd.apply.quarantine import Quarantine
from pyconfd.apply.release_notes import ReleaseNotes
from pyconfd.apply.service_pass import run_pass
from pyconfd.cli.commands.release import main as release
from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.operator import user
from pyconfd.errors import StateError
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.model.reload_spec import ReloadSpec
from pyconfd.model.resources import Command, Origin, Resource, Service
from pyconfd.model.steps import CommandReport, LaneReport, Reloaded, ReloadFailed, Result
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.render.renderer import Renderer
from pyconfd.pipeline.store import Store
from pyconfd.reconcile.quarantine import FIRST_WAIT_S, LONGEST_WAIT_S, WAIT_FACTOR
from pyconfd.reconcile.service import Job
from pyconfd.system.locks import InstanceLock
from pyconfd.testing.fake_runner import FakeRunner
from tests.support.steps import strays_in


class Time:
    """A clock that stands still until the test moves it."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def passes(self, seconds: float) -> None:
        """So much later."""
        self.now_s += seconds


class World:
    """One destination and one service; every pass is an order of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time, self.runner = folder, Time(), FakeRunner()
        self.dest = folder / "live"
        (folder / "state").mkdir()
        (folder / "t.j2").write_text("{{ getv('/v') }}\n")
        self.resource = Resource(
            name="t",
            origin=Origin("t.toml"),
            src="t.j2",
            dest=str(self.dest),
            keys=("/",),
            service=Service(reload=Command("tell", 5.0), on_reload_failure="revert"),
        )
        self.start()

    def start(self) -> None:
        """A run begins."""
        state = self.folder / "state"
        journal = Journal(str(state))
        journal.recover()
        self.tools = PassContext(
            renderer=Renderer(str(self.folder), {}),
            journal=journal,
            run=self.runner,
            drift=Drift(),
            guards=GuardState(str(state / "keys.json")),
            made_files=MadeFiles(str(state / "made.json")),
            quarantine=Quarantine(str(state / "quarantine.json"), clock=self.time),
            work_dir=str(state / "check"),
        )

    def look(self, value: str) -> LaneReport:
        """One pass with this value in the store."""
        store = Store()
        store.apply(Listed("fake", 1, 1, (KeyValue("/v", value.encode(), 1),)))
        told = ReloadSpec.of([self.resource])
        job = Job(service="tell", generation=1, resources=frozenset({"t"}))
        report = run_pass(self.tools, job, [self.resource], told, store.snapshot())
        kept = {Path(path).name for path in self.tools.journal.kept}
        assert set(strays_in(self.folder)) == kept
        return report

    def answers(self, *statuses: int) -> None:
        """What the next reload commands exit with; those after them are taken."""
        left = list(statuses)
        self.runner.default = lambda text: CommandReport(text, left.pop(0) if left else 0, 0.0)

    @property
    def live(self) -> str:
        """What the destination holds."""
        return self.dest.read_text().strip()

    @property
    def reloads(self) -> int:
        """How often the service was told."""
        return len(self.runner.commands)


@pytest.fixture
def service(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.look("old")
    return made


def test_a_reload_that_failed_once_costs_no_good_version(service: World) -> None:
    """The cause has passed: after a minute the very same version is live, and stays."""
    service.answers(1)
    assert isinstance(service.look("new").reload, Reloaded), "of the old version"
    assert service.live == "old"
    service.time.passes(FIRST_WAIT_S - 1)
    told = service.reloads
    assert [one.result for one in service.look("new").outcomes] == [Result.REVERTED]
    assert (service.live, service.reloads) == ("old", told)
    service.time.passes(1)
    assert [one.result for one in service.look("new").outcomes] == [Result.UPDATED]
    assert service.live == "new"
    assert service.tools.quarantine.get("t") is None
    assert [one.result for one in service.look("new").outcomes] == [Result.UNCHANGED]


def test_a_version_that_stays_bad_is_tried_less_and_less_often(service: World) -> None:
    """Each trial is a reload with what is wrong, and one back; in the end there is one a day."""
    waits: list[float] = []
    service.answers(*[1, 0] * 8)
    service.look("bad")
    first = service.tools.quarantine.get("t")
    assert first
    while len(waits) < 7:
        held = service.tools.quarantine.get("t")
        assert held
        assert (held.since_at, held.times) == (first.since_at, len(waits) + 1)
        waits.append(held.trial_s - service.time())
        told = service.reloads
        service.time.passes(waits[-1])
        service.look("bad")
        assert service.reloads == told + 2
        assert service.live == "old"
    assert waits[:3] == [FIRST_WAIT_S, FIRST_WAIT_S * WAIT_FACTOR, FIRST_WAIT_S * WAIT_FACTOR**2]
    assert waits[-1] == LONGEST_WAIT_S


def test_another_version_begins_anew(service: World) -> None:
    """How often the one before it was refused says nothing about it."""
    service.answers(*[1, 0] * 3)
    service.look("bad")
    service.time.passes(FIRST_WAIT_S)
    service.look("bad")
    service.look("worse")
    held = service.tools.quarantine.get("t")
    assert held
    assert held.times == 1


def test_after_a_restart_the_wait_is_as_long_as_it_was(service: World) -> None:
    """It begins anew, because no clock counts through; how often is known, and since when."""
    service.answers(*[1, 0] * 2)
    service.look("bad")
    service.time.passes(FIRST_WAIT_S)
    service.look("bad")
    before = service.tools.quarantine.get("t")
    service.start()
    after = service.tools.quarantine.get("t")
    assert before
    assert after == replace(before, trial_s=service.time() + FIRST_WAIT_S * WAIT_FACTOR)
    service.look("bad")
    assert service.live == "old"


def test_a_kill_during_a_trial_leaves_no_version_that_is_live_and_refused(service: World) -> None:
    """What is on trial is not written down as held: the next run hears the verdict."""
    service.answers(1)
    service.look("new")
    service.time.passes(FIRST_WAIT_S)
    assert service.tools.quarantine.is_due("t")
    service.tools.quarantine.begin_trial("t")
    service.start()
    assert [one.result for one in service.look("new").outcomes] == [Result.UPDATED]


def test_what_an_older_pyconfd_wrote_down_is_understood(service: World) -> None:
    """It had no count."""
    service.answers(1)
    service.look("new")
    path = service.folder / "state" / "quarantine.json"
    kept = json.loads(path.read_text())
    assert "trial_s" not in kept["t"]
    del kept["t"]["times"]
    path.write_text(json.dumps(kept))
    service.start()
    held = service.tools.quarantine.get("t")
    assert held
    assert held.times == 1


@pytest.mark.parametrize("status", [126, 127])
def test_a_command_that_could_not_be_run_refuses_nothing(service: World, status: int) -> None:
    """Nobody was told: the new file stays, the reload is owed, and nothing is in quarantine."""
    service.answers(status)
    report = service.look("new")
    assert isinstance(report.reload, ReloadFailed)
    assert not report.reload.refused
    assert service.live == "new"
    assert service.tools.quarantine.get("t") is None
    assert service.tools.journal.services == {"tell"}


@pytest.mark.parametrize("locked", [False, True], ids=["nobody", "another run"])
def test_a_refused_version_is_released_where_no_daemon_runs(
    service: World, capsys: pytest.CaptureFixture[str], locked: bool
) -> None:
    """One-shot runs have no control socket, and make no trials; while one works it is not done."""
    service.answers(1)
    service.look("new")
    argv = ["--confdir", str(service.folder), "--state-dir", str(service.folder / "out")]
    query = read_query(argv, {})
    assert query
    settings = query.settings
    (service.folder / "out").mkdir()
    os.rename(service.folder / "state", settings.state_folder)
    with InstanceLock(settings.state_folder) if locked else contextlib.nullcontext():
        if locked:
            with pytest.raises(StateError, match="no pyconfd runs here"):
                release(["t", *argv], {})
            return
        with pytest.raises(StateError, match="no pyconfd runs here"):
            release(["other", *argv], {})
        assert release(["t", *argv], {}) == 0
        assert capsys.readouterr().out.startswith("released: t (no pyconfd runs here: the next")
        (note,) = ReleaseNotes(settings.state_folder).take()
        assert (note.name, note.by) == ("t", user())
        assert ReleaseNotes(settings.state_folder).take() == ()
    os.rename(settings.state_folder, service.folder / "state")
    service.start()
    assert [one.result for one in service.look("new").outcomes] == [Result.UPDATED]
