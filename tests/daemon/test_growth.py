"""A change costs what it costs alone, whatever stands beside it: work is counted, not time."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest

from pyconfd.model.resources import Command, Guard
from tests.support.loop import World
from tests.support.waiting import wait_until

FAILS = "{{ getv('/absent') }}"


class Lines:
    """Lines of pyconfd that threads have run, those alone that began within `counted`."""

    count = 0

    def _trace(self, frame: FrameType, event: str, _argument: object) -> object:
        path = frame.f_code.co_filename
        if "/pyconfd/" not in path or "/testing/" in path:
            return None  # the fakes wait in loops
        self.count += event == "line"
        return self._trace

    @contextmanager
    def counted(self) -> Iterator[None]:
        threading.settrace(self._trace)  # type: ignore[arg-type]
        try:
            yield
        finally:
            threading.settrace(None)  # type: ignore[arg-type]


def _beside(world: World, kind: str, size: int) -> None:
    """So many in trouble; the good one is `app`."""
    good = world.resource("app", "/app", reload=Command("reload app", 5.0))
    if kind == "names":
        made = world.resource("many", "/", each="/many")
        world.resources = (*world.resources[:-1], replace(made, dest=str(world.out / "{name}")))
        world.template("many", "{{ getv('/absent') if name != 'good' }}{{ getv('/many/' ~ name) }}")
        return
    guard = Guard(min_keys=10_000) if kind == "held" else Guard()
    made = world.resource("many", "/many", guard=guard)
    world.template("many", FAILS)
    alone = kind == "services"
    services = [replace(made.service, reload=Command(f"reload {n}", 5.0)) for n in range(size)]
    many = [
        replace(
            made,
            name=f"many{n}",
            dest=str(world.out / f"many{n}"),
            service=services[n] if alone else good.service,
        )
        for n in range(size)
    ]
    world.resources = (good, *many)


@pytest.mark.parametrize("kind", ["services", "service", "held", "names"])
def test_a_change_takes_the_same_work_beside_any_number_in_trouble(
    tmp_path: Path, kind: str
) -> None:
    """Lines of all of a daemon's threads for three changes; failing, held, alone or together."""
    costs = {}
    for size in (30, 240):
        folder = tmp_path / str(size)
        folder.mkdir()
        world, lines = World(folder), Lines()
        _beside(world, kind, size)
        world.source.txn({f"/many/{n}": "1" for n in range(size)} | {"/many/good": "1"})
        with lines.counted(), world.running(resync_s=0.0):
            world.settle()
            costs[size] = min(_changes(world, lines, f"{size}.{n}", kind) for n in range(2))
    assert costs[240] < costs[30] * 1.15 + 150, costs


def _changes(world: World, lines: Lines, text: str, kind: str) -> int:
    key, out = ("/many/good", "good") if kind == "names" else ("/app/a", "app")
    before = lines.count
    for number in range(3):
        world.source.put(key, f"{text}.{number}")
        wait_until(functools.partial(_shows, world, out, f"{text}.{number}"))
    return lines.count - before


def _shows(world: World, out: str, text: str) -> bool:
    return text in (world.live(out) or "")
