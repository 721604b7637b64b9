"""
Whatever was swapped in whatever sets, over whatever restarts: what is taken back is what ran.

A model of a few files against the journal and the swap, on a real folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyconfd.pipeline import check, stage, swap
from pyconfd.pipeline.journal import Journal
from tests.support_steps import RELOAD, a_resource, rendered, strays_in

NAMES = ("a", "b", "c", "d")
SETS = st.sets(st.sampled_from(NAMES), min_size=1)


class TakingBack(RuleBasedStateMachine):
    """`running`: what the service was last seen to take; `live`: what stands in the folder."""

    def __init__(self) -> None:
        super().__init__()
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # fsync costs nothing there
        self.folder = Path(tempfile.mkdtemp(dir=memory))
        self.number = 0
        self.running: dict[str, bytes] = {}
        self.live: dict[str, bytes] = {}

    @initialize(names=SETS)
    def some_files(self, names: set[str]) -> None:
        """Files that were there before."""
        for name in names:
            (self.folder / name).write_bytes(b"first\n")
        self.running = dict.fromkeys(names, b"first\n")
        self.live = dict(self.running)
        self.restart()

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)

    @rule(names=SETS, gone=SETS)
    def swapped(self, names: set[str], gone: set[str]) -> None:
        """A set is put live: new versions, and files that go."""
        self.number += 1
        content = f"version {self.number}\n".encode()
        staged = [
            stage.stage(rendered(self.folder / name, content, reload=RELOAD))
            for name in sorted(names)
        ]
        removals = [
            a_resource(self.folder / name) for name in sorted(gone - names) if name in self.live
        ]
        swap.swap_all(
            [check.unchecked(one) for one in staged if one],
            journal=self.journal,
            removals=removals,
            keep_old=True,
        )
        self.live.update(dict.fromkeys(names, content))
        for name in gone - names:
            self.live.pop(name, None)

    @rule()
    def taken(self) -> None:
        """The service has taken what is live."""
        self.journal.settle(RELOAD.text)
        self.running = dict(self.live)

    @rule()
    def refused(self) -> None:
        """The service has refused what is live, whenever it was swapped."""
        swap.revert(RELOAD.text, journal=self.journal)
        self.live = dict(self.running)

    @rule()
    def restart(self) -> None:
        """Killed between two steps; the next run recovers, and knows of all that lies about."""
        self.journal = Journal(str(self.folder / "state"))
        self.journal.recover()
        assert {str(self.folder / name) for name in strays_in(self.folder)} == self.journal.kept

    @invariant()
    def the_folder_is_as_the_model_says(self) -> None:
        """No file is anything else."""
        found = {name: (self.folder / name) for name in NAMES}
        assert {
            name: path.read_bytes() for name, path in found.items() if path.exists()
        } == self.live

    @precondition(lambda self: self.live == self.running)
    @invariant()
    def nothing_is_left_when_all_is_as_it_ran(self) -> None:
        """After a verdict there are no old versions."""
        if not self.journal.services:
            assert strays_in(self.folder) == []

    @invariant()
    def the_journal_stays_small(self) -> None:
        """However long nobody is told."""
        assert len(self.journal.unsettled(RELOAD.text)) <= 4 * len(NAMES)


TakingBack.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_what_is_taken_back_is_what_ran = TakingBack.TestCase
