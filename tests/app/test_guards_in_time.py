"""What guards do in time: let a change through at last, and know of the keys before a kill."""

from __future__ import annotations

import json
import time
from pathlib import Path

from pyconfd.model.resources import Guard
from tests.support_loop import World
from tests.support_steps import wait_until


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
