"""A guard with a timeout: the change goes through when it is over, with nobody doing anything."""

from __future__ import annotations

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
