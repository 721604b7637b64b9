"""The set in force: conf.d and templates are taken over as a whole, or not at all, and it shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyconfd.errors import ConfigError
from pyconfd.observe.log import LOG
from tests.support.loop import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.source.put("/other/b", "x")
    yield world


def test_a_broken_template_keeps_the_running_set(world: World) -> None:
    """Changes go on arriving with the template as it was, and the others of the edit wait too."""
    world.resource()
    world.resource("other", "/other")
    with world.running():
        world.settle()
        world.template("app", "{% if %}{% endif %}\n")
        world.template("other", "edited {{ getv('/other/b') }}\n")
        world.hup()
        world.source.put("/app/a", "2")
        world.source.put("/other/b", "y")
        told = world.settle()
        assert (world.live("app"), world.live("other")) == ("/app/a=2\n", "/other/b=y\n")
        assert told["kind"] == "faulty"
        assert "the previous one stays in use (1 fault: /" in told["line"]
        assert told["line"].endswith("2 fine at revision 5; see pyconfd check")
        assert told["configuration"]["previous_in_use"]
        world.template("app", "mended {{ getv('/app/a') }}\n")
        world.hup()
        told = world.settle()
        assert (world.live("app"), world.live("other")) == ("mended 2\n", "edited y\n")
        assert told["kind"] == "ok"
        assert told["configuration"]["faults"] == []


def test_every_fault_is_told_those_of_conf_d_and_of_templates(world: World) -> None:
    """One round of mending, not one for each."""
    world.resource()
    world.resource("other", "/other")
    with world.running():
        world.settle()
        world.template("app", "{% if %}{% endif %}\n")
        world.template("other", "\n{{ nope() }}\n")
        world.left_out = (ConfigError("unknown key 'dst'", where="new.toml:3"),)
        world.hup()
        found = world.settle()["configuration"]["faults"]
        places = [fault.split(": ")[0].rpartition("/")[2] for fault in found]
        assert places == ["new.toml:3", "app.j2:1", "other.j2:2"]


def test_what_was_left_out_at_the_start_shows(world: World) -> None:
    """A faulty file does not stop the others, and is not forgotten once the log has scrolled by."""
    world.resource()
    world.left_out = (ConfigError("unknown key 'dst'", where="new.toml:3"),)
    with world.running():
        told = world.settle()
        assert world.live() == "/app/a=1\n"
        assert told["kind"] == "faulty"
        assert "1 fault in conf.d" in told["line"]
        assert "not loaded (new.toml:3: unknown key 'dst'); 1 fine" in told["line"]
        assert told["ready"]
        world.left_out = ()
        world.hup()
        assert world.settle()["kind"] == "ok"


def test_an_edit_that_nobody_has_taken_shows(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log once, and in the status until SIGHUP; nothing is made from it until then."""
    monkeypatch.setattr(LOG, "propagate", True)
    world.resource()
    with world.running(resync_s=0.02):
        world.settle()
        world.template("app", "edited {{ getv('/app/a') }}\n")
        world.until(lambda told: told["configuration"]["edited_templates"] == ["app.j2"])
        world.source.put("/app/a", "2")
        world.settle()
        assert world.live() == "/app/a=2\n"
        for _ in range(3):
            world.settle()
        assert caplog.text.count("edited since they were read") == 1
        world.hup()
        told = world.settle()
        assert world.live() == "edited 2\n"
        assert told["configuration"]["edited_templates"] == []


def test_a_daemon_without_a_fleet_loads_nothing_of_it() -> None:
    """Start-up is a feature."""
    program = """
import sys
from pyconfd.backends.etcd import source
from pyconfd.daemon import control_requests, http_endpoints, loop, run, wiring
of_fleets = ("pyconfd.fleet", "pyconfd.reconcile.rollout", "pyconfd.reconcile.turns",
             "pyconfd.pipeline.gated", "pyconfd.config.rollouts")
print([name for name in sys.modules if name.startswith(of_fleets)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
