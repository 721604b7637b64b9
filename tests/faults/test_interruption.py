"""
Killed at every system call: nothing is half, nothing is left lying about, no reload is forgotten.

Each run happens in a forked child that kills itself with SIGKILL right before or right after its
n-th call into the operating system (seen by the interpreter's profile hook, so that the product
needs no seam for it), for n = 1, 2, ... until a run gets through.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyconfd.model.steps import CommandReport
from pyconfd.pipeline import check, reload, stage, swap
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.recovery import Recovery
from pyconfd.system import files
from tests.support.steps import RELOAD, a_resource, in_child, rendered, strays_in

OLD, NEW, NEWEST = b"old\n", b"new\n", b"newest\n"


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that dies at its `number`-th boundary. False when it got through."""

    def until_then() -> None:
        seen = 0

        def profile(_frame: object, event: str, function: object) -> None:
            nonlocal seen
            if event in ("c_call", "c_return") and _is_system_call(function):
                seen += 1
                if seen == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(profile)
        work()

    status = in_child(until_then)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def _is_system_call(function: object) -> bool:
    return getattr(function, "__module__", "") in ("posix", "fcntl")


@dataclass
class World:
    """A service, the files it reads, and what it has read: `told` is its copy of each."""

    folder: Path
    names: tuple[str, ...]
    removed: tuple[str, ...] = ()

    @property
    def dests(self) -> list[Path]:
        return [self.folder / name for name in self.names]

    def live(self) -> list[bytes | None]:
        return [dest.read_bytes() if dest.exists() else None for dest in self.dests]

    def told(self) -> list[bytes | None]:
        paths = [self.folder / f"told-{name}" for name in self.names]
        return [path.read_bytes() if path.exists() else None for path in paths]

    def tell(self, text: str = "", *, timeout_s: float = 0.0, env: object = None) -> CommandReport:
        """The reload: the service reads its files. Its own doing is one boundary, not many."""
        profile = sys.getprofile()
        sys.setprofile(None)
        for name, content in zip(self.names, self.live(), strict=True):
            told = self.folder / f"told-{name}"
            if content is None:
                told.unlink(missing_ok=True)
            else:
                told.write_bytes(content)
        sys.setprofile(profile)
        os.getpid()  # a boundary after the reload
        return CommandReport(text, 0, 0.0)

    def change(self, content: bytes, *, confirm: bool = True) -> None:
        """A whole pass: stage, swap, reload, settle."""
        journal = Journal(str(self.folder / "state"))
        journal.recover()
        permits = []
        removals = [a_resource(self.folder / name) for name in self.removed]
        for dest in self.dests:
            if dest.name not in self.removed:
                staged = stage.stage(rendered(dest, content, reload=RELOAD))
                assert staged is not None
                permits.append(check.unchecked(staged))
        if len(self.names) == 1:
            swap.swap(permits[0], journal=journal)
        else:
            swap.swap_all(permits, journal=journal, removals=removals)
        if confirm:
            reload.reload(RELOAD.text, RELOAD, dest=str(self.dests[-1]), run=self.tell)
            journal.settle(RELOAD.text)

    def refused(self, content: bytes) -> None:
        """A pass that ends with the old versions back, because the service refused the new ones."""
        journal = Journal(str(self.folder / "state"))
        journal.recover()
        permits = []
        for dest in self.dests:
            if dest.name not in self.removed:
                staged = stage.stage(rendered(dest, content, reload=RELOAD))
                assert staged is not None
                permits.append(check.unchecked(staged))
        removals = [a_resource(self.folder / name) for name in self.removed]
        swap.swap_all(permits, journal=journal, removals=removals, keep_old=True)
        swap.revert(RELOAD.text, journal=journal)
        reload.reload(RELOAD.text, RELOAD, dest=str(self.dests[-1]), run=self.tell)
        journal.settle(RELOAD.text)

    def recover(self) -> Recovery:
        journal = Journal(str(self.folder / "state"))
        recovery = journal.recover()
        for path in files.strays(str(dest) for dest in self.dests):
            if path not in journal.kept:
                os.unlink(path)
        return recovery

    def check_recovered(self, recovery: Recovery, *allowed: list[bytes | None]) -> None:
        assert self.live() in allowed
        assert strays_in(self.folder) == []
        assert not recovery.damaged
        if self.told() != self.live():
            assert list(recovery.pending) == [RELOAD.text], "a forgotten reload"
        if self.live() == allowed[0] == self.told():
            assert not recovery.pending, "nothing has changed, so nothing is owed"
        journal = Journal(str(self.folder / "state"))
        assert journal.recover().pending == recovery.pending, "a debt stays until it is settled"


def a_world(folder: Path, kind: str) -> World:
    """Files of a service that runs with what is live."""
    folder.mkdir()
    match kind:
        case "one":
            world = World(folder, ("a.conf",))
        case "new":
            return World(folder, ("a.conf",))
        case "link":
            (folder / "there").mkdir()
            (folder / "a.conf").symlink_to("there/b.conf")
            world = World(folder, ("a.conf",))
        case _:
            world = World(folder, ("a.conf", "b.conf", "c.conf"))
            (folder / "a.conf").write_bytes(OLD)
            (folder / "c.conf").write_bytes(OLD)
            if kind == "set with removals":
                (folder / "d.conf").write_bytes(OLD)
                world.names += ("d.conf",)
                world.removed = ("c.conf", "d.conf")
            world.tell()
            return world
    world.dests[0].write_bytes(OLD)
    world.tell()
    return world


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where fsync costs nothing, if there is one."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", ["one", "new", "link", "set", "set with removals"])
def test_a_kill_at_any_instant_leaves_old_or_new_and_the_debt(memory: Path, kind: str) -> None:
    """The whole way from staging to the settled reload; a set is whole as well."""
    number = killed = 1
    while killed:
        world = a_world(memory / str(number), kind)
        before = world.live()
        after = [None if name in world.removed else NEW for name in world.names]
        killed = killed_at(number, lambda world=world: world.change(NEW))
        recovery = world.recover()
        world.check_recovered(recovery, before, after)
        if recovery.pending:
            assert world.live() == after, "a reload is owed only for what is live"
        number += 1
    assert number > 40, "the profile hook saw the system calls"
    assert world.live() == world.told() == after
    assert not recovery.pending


def test_an_older_debt_survives_a_kill_at_any_instant_of_the_next_change(memory: Path) -> None:
    """Swapped but never told; then killed while the next version is put in place."""
    number = killed = 1
    while killed:
        world = a_world(memory / str(number), "one")
        assert in_child(lambda world=world: world.change(NEW, confirm=False)) == 0
        killed = killed_at(number, lambda world=world: world.change(NEWEST))
        world.check_recovered(world.recover(), [NEW], [NEWEST])
        number += 1


@pytest.mark.parametrize("kind", ["one", "new", "set", "set with removals"])
def test_a_kill_at_any_instant_of_taking_back_leaves_one_version_and_the_debt(
    memory: Path, kind: str
) -> None:
    """Refused and taken back: old or new, whole; where it is new, it can still be taken back."""
    number = killed = 1
    kept = 0
    while killed:
        world = a_world(memory / str(number), kind)
        before = world.live()
        after = [None if name in world.removed else NEW for name in world.names]
        killed = killed_at(number, lambda world=world: world.refused(NEW))
        recovery = world.recover()
        assert world.live() in (before, after)
        if world.live() == after:
            assert list(recovery.pending) == [RELOAD.text]
            journal = Journal(str(world.folder / "state"))
            journal.recover()
            assert swap.revert(RELOAD.text, journal=journal)
            assert world.live() == before
            kept += 1
        assert strays_in(world.folder) == []
        number += 1
    assert kept > 2
    assert not recovery.pending


@pytest.mark.slow
def test_recovery_itself_may_be_killed_at_any_instant(memory: Path) -> None:
    """From every place where a set can be cut short, at every place of its recovery."""
    number = killed = 1
    recoveries = 0
    while killed:
        at = inner = 1
        while inner:
            world = a_world(memory / f"{number}-{at}", "set with removals")
            before = world.live()
            killed = killed_at(number, lambda world=world: world.change(NEW))
            inner = killed_at(at, world.recover)
            world.check_recovered(world.recover(), before, [NEW, NEW, None, None])
            recoveries += 1
            at += 4
        number += 5
    assert recoveries > 60
