"""
Whatever was swapped in whatever sets, over whatever restarts: what is taken back is what ran.

A model of a few files against the journal and the swap, on a real folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.pipeline import check, stage, swap
from pyconfd.pipeline.journal import Journal
from tests.support.steps import RELOAD, a_resource, rendered, strays_in

NAMES = ("a", "b", "c")
SOME = st.sets(st.sampled_from(NAMES), max_size=2)
SWAP = st.tuples(SOME, st.sets(st.sampled_from(NAMES), max_size=1))
STEPS = st.one_of(SWAP, SWAP, SWAP, st.sampled_from(("taken", "refused", "restart")))


class World:
    """`running`: what the service has taken last; `live`: what should stand in the folder."""

    def __init__(self, folder: Path, names: set[str]) -> None:
        self.folder = folder
        self.number = 0
        for name in names:
            (folder / name).write_bytes(b"first\n")
        self.running = dict.fromkeys(sorted(names), b"first\n")
        self.live = dict(self.running)
        self.restart()

    def swapped(self, names: set[str], gone: set[str]) -> None:
        """A set is put live: new versions, and files that go."""
        self.number += 1
        content = f"version {self.number}\n".encode()
        going = sorted(name for name in gone - names if name in self.live)
        if not (names or going):
            return
        new = [rendered(self.folder / name, content, reload=RELOAD) for name in sorted(names)]
        swap.swap_all(
            [check.unchecked(staged) for one in new if (staged := stage.stage(one))],
            journal=self.journal,
            removals=[a_resource(self.folder / name) for name in going],
            keep_old=True,
        )
        self.live.update(dict.fromkeys(names, content))
        for name in going:
            del self.live[name]

    def taken(self) -> None:
        """The service has taken what is live."""
        self.journal.settle(RELOAD.text)
        self.running = dict(self.live)

    def refused(self) -> None:
        """The service has refused what is live, whenever it was swapped."""
        swap.revert(RELOAD.text, journal=self.journal)
        self.live = dict(self.running)

    def restart(self) -> None:
        """Killed between two steps; the next run recovers, and knows of all that lies about."""
        self.journal = Journal(str(self.folder / "state"))
        self.journal.recover()
        assert {str(self.folder / name) for name in strays_in(self.folder)} == self.journal.kept

    def look(self) -> None:
        """The files are as the model says, and the journal stays small."""
        paths = (self.folder / name for name in NAMES)
        assert {path.name: path.read_bytes() for path in paths if path.exists()} == self.live
        assert len(self.journal.unsettled(RELOAD.text)) <= 3 * len(NAMES)
        if not self.journal.services:
            assert strays_in(self.folder) == []


@settings(max_examples=150, deadline=None)
@given(SOME, st.lists(STEPS, min_size=3, max_size=12))
def test_what_is_taken_back_is_what_ran(names: set[str], steps: list[object]) -> None:
    """However long the service was told nothing before it refused."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # fsync costs nothing there
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        world = World(Path(folder), names)
        for step in (*steps, "refused", "restart", "taken"):
            if isinstance(step, tuple):
                world.swapped(*step)
            else:
                getattr(world, str(step))()
            world.look()
