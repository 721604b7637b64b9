"""Random schedules of changes, lies and signals: in the end live files say what the store says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pyconfd.model.resources import Command, Guard
from tests.support.loop import World
from tests.support.steps import strays_in

STEPS = 120
NAMES = "abcdef"
# What it reads depends on what it has read: a key that matters now did not matter a moment ago.
POINTED = "{{ getv('/app/' ~ getv('/app/a', 'b'), 'none') }}\n"
LISTED = "{% for key, value in gets('/app/*') %}\n{{ key }}={{ value }}\n{% endfor %}\n"


class Chance:
    """A schedule: what happens next, and what the store holds after all of it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.keys = {"/app/a": "1"}
        self.slow = False

    def step(self) -> None:
        """Mostly changes, now and then something worse."""
        acts = [self.put] * 8 + [self.delete] * 3 + [self.txn] * 2
        acts += [self.worse] * 2
        self.random.choice(acts)()

    def name(self) -> str:
        return f"/app/{self.random.choice(NAMES)}"

    def put(self) -> None:
        key, value = self.name(), self.random.choice(NAMES)
        self.keys[key] = value
        self.world.source.put(key, value)

    def delete(self) -> None:
        key = self.name()
        self.keys.pop(key, None)
        self.world.source.delete(key)

    def txn(self) -> None:
        puts = {f"/app/{name}": self.random.choice(NAMES) for name in NAMES[:3]}
        self.keys.update(puts)
        self.world.source.txn(puts)

    def wipe(self) -> None:
        self.keys = {"/app/c": self.random.choice(NAMES)}
        self.world.source.wipe(self.keys)

    def reload_command(self) -> None:
        """SIGHUP with another command for one of the two: its service is another one."""
        word = self.random.choice(["reload", "restart"])
        self.world.resource("listed", reload=Command(word, 5.0), guard=Guard(allow_empty=True))
        self.world.template("listed", LISTED)
        self.world.hup()

    def other_prefix(self) -> None:
        """SIGHUP with one more resource, or without it: another watch."""
        world = self.world
        if any(one.name == "other" for one in world.resources):
            world.resources = tuple(one for one in world.resources if one.name != "other")
        else:
            world.resource("other", "/other", guard=Guard(allow_empty=True))
        world.hup()

    def worse(self) -> None:
        source = self.world.source
        acts = [source.late, source.catch_up, source.lose, source.recover, source.repeat]
        acts += [source.compact, source.progress, self.wipe, self.world.hup]
        acts += [self.reload_command, self.other_prefix, self.world.status, self.world.settle]
        self.random.choice(acts)()

    def expected(self) -> tuple[str, str]:
        """What the two files must say."""
        pointed = self.keys.get(f"/app/{self.keys.get('/app/a', 'b')}", "none")
        listed = "".join(f"{key}={value}\n" for key, value in sorted(self.keys.items()))
        return f"{pointed}\n", listed


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_end_is_right(tmp_path: Path, seed: int) -> None:
    """And every service was told after its last swap; nothing is owed or left lying about."""
    world = World(tmp_path)
    world.resource("pointed", guard=Guard(allow_empty=True))
    world.template("pointed", POINTED)
    world.resource("listed", guard=Guard(allow_empty=True))
    world.template("listed", LISTED)
    chance = Chance(world, seed)
    with world.running():
        for _ in range(STEPS):
            chance.step()
        world.source.recover()
        world.source.catch_up()
        said = world.settle()
        assert (world.live("pointed"), world.live("listed")) == chance.expected()
        assert said["ready"]
        assert not any(one["pending_reload"] for one in said["services"])
    assert world.journal.unsettled("pointed") == ()
    assert (world.state / "journal").read_bytes() == b""
    assert strays_in(world.out) == []
