"""
Kills at every system call, as the loops of tests/faults/test_interruption.py: run alone by
`python -m tests.faults.kills LOOP FOLDER KIND`, since a fork costs what its process holds.

Each run happens in a forked child that kills itself with SIGKILL right before or right after its
n-th call into the operating system (seen by the interpreter's profile hook, so that the product
needs no seam for it), for n = 1, 2, ... until a run gets through.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyconfd.model.steps import CommandReport, Staged
from pyconfd.pipeline import check, reload, stage, swap
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.recovery import Recovery
from pyconfd.system import files
from tests.support.steps import (
    RELOAD,
    a_resource,
    in_child,
    mount,
    private_mounts,
    rendered,
    strays_in,
)

OLD, NEW, NEWEST = b"the old one\n", b"new\n", b"newest\n"
READ_ONLY, REMOUNT, BIND = 1, 32, 0x1000


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
    """
    A service, the files it reads, and what it has read: `told` is its copy of each.

    mounted: those that are mount points; read_only: the folder of all of them cannot be written.
    """

    folder: Path
    names: tuple[str, ...]
    removed: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()
    read_only: bool = False

    def __post_init__(self) -> None:
        self.own = self.folder / "own"
        self.own.mkdir()

    @property
    def state(self) -> str:
        return str(self.own / "state")

    @property
    def elsewhere(self) -> str:
        return str(self.own / "work")

    @property
    def dests(self) -> list[Path]:
        return [self.folder / name for name in self.names]

    def live(self) -> list[bytes | None]:
        return [dest.read_bytes() if dest.exists() else None for dest in self.dests]

    def told(self) -> list[bytes | None]:
        paths = [self.own / f"told-{name}" for name in self.names]
        return [path.read_bytes() if path.exists() else None for path in paths]

    def tell(self, text: str = "", *, timeout_s: float = 0.0, env: object = None) -> CommandReport:
        """The reload: the service reads its files. Its own doing is one boundary, not many."""
        profile = sys.getprofile()
        sys.setprofile(None)
        for name, content in zip(self.names, self.live(), strict=True):
            told = self.own / f"told-{name}"
            if content is None:
                told.unlink(missing_ok=True)
            else:
                told.write_bytes(content)
        sys.setprofile(profile)
        os.getpid()  # a boundary after the reload
        return CommandReport(text, 0, 0.0)

    def staged(self, dest: Path, content: bytes) -> Staged | None:
        return stage.stage(rendered(dest, content, reload=RELOAD), elsewhere=self.elsewhere)

    def change(self, content: bytes, *, confirm: bool = True) -> None:
        """A whole pass: stage, swap, reload, settle."""
        journal = Journal(self.state)
        journal.recover()
        permits = []
        removals = [a_resource(self.folder / name) for name in self.removed]
        for dest in self.dests:
            if dest.name not in self.removed:
                staged = self.staged(dest, content)
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
        journal = Journal(self.state)
        journal.recover()
        permits = []
        for dest in self.dests:
            if dest.name not in self.removed:
                staged = self.staged(dest, content)
                assert staged is not None
                permits.append(check.unchecked(staged))
        removals = [a_resource(self.folder / name) for name in self.removed]
        swap.swap_all(permits, journal=journal, removals=removals, keep_old=True)
        swap.revert(RELOAD.text, journal=journal)
        reload.reload(RELOAD.text, RELOAD, dest=str(self.dests[-1]), run=self.tell)
        journal.settle(RELOAD.text)

    def recover(self) -> Recovery:
        journal = Journal(self.state)
        recovery = journal.recover()
        beside = (self.folder, self.elsewhere)
        for path in files.strays(f"{folder}/{name}" for folder in beside for name in self.names):
            if path not in journal.kept:
                os.unlink(path)
        return recovery

    def mount(self) -> None:
        """Mount what is to be mounted, for this process and its children."""
        if self.read_only:
            mount(str(self.folder), self.folder, "", BIND)
            mount(str(self.own), self.own, "", BIND)
        for name in self.mounted:
            source = self.own / f"mounted-{name}"
            source.write_bytes((self.folder / name).read_bytes())
            mount(str(source), self.folder / name, "", BIND)
        if self.read_only:
            mount("", self.folder, "", BIND | REMOUNT | READ_ONLY)

    def check_recovered(self, recovery: Recovery, *allowed: list[bytes | None]) -> None:
        assert self.live() in allowed
        assert strays_in(self.folder) == []
        assert not recovery.damaged
        if self.told() != self.live():
            assert list(recovery.pending) == [RELOAD.text], "a forgotten reload"
        if self.live() == allowed[0] == self.told():
            assert not recovery.pending, "nothing has changed, so nothing is owed"
        journal = Journal(self.state)
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
        case "mounted" | "mounted in a read-only folder":
            world = World(folder, ("a.conf",), (), ("a.conf",), kind != "mounted")
        case _:
            world = World(folder, ("a.conf", "b.conf", "c.conf"))
            world.mounted = {
                "set, first mounted": ("a.conf",),
                "set, last mounted": ("c.conf",),
            }.get(kind, ())
            (folder / "a.conf").write_bytes(OLD)
            (folder / "c.conf").write_bytes(OLD)
            if kind == "set with removals":
                (folder / "d.conf").write_bytes(OLD)
                world.names += ("d.conf",)
                world.removed = ("c.conf", "d.conf")
            world.tell()
            world.mount()
            return world
    world.dests[0].write_bytes(OLD)
    world.tell()
    world.mount()
    return world


class States:
    """
    What kills left behind, each kept once: most system calls change nothing on the disk, and one
    recovery tells about all that leave the same.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()

    def is_new(self, world: World) -> bool:
        """Whether no kill before has left these files, but for process ids, inodes and times."""
        state = tuple(
            re.sub(rf"{re.escape(str(world.folder))}|\d{{4,}}", "", f"{path} {_contents(path)}")
            for path in sorted(world.folder.rglob("*"))
        )
        known = state in self._seen
        self._seen.add(state)
        return not known


def _contents(path: Path) -> str | bytes:
    if path.is_symlink():
        return os.readlink(path)
    return path.read_bytes() if path.is_file() else "folder"


def change(memory: Path, kind: str) -> None:
    """The whole way from staging to the settled reload."""
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


def next_change(memory: Path, kind: str) -> None:
    """Swapped without its reload; then killed while the next version is put in place."""
    number = killed = 1
    while killed:
        world = a_world(memory / str(number), kind)
        assert in_child(lambda world=world: world.change(NEW, confirm=False)) == 0
        killed = killed_at(number, lambda world=world: world.change(NEWEST))
        world.check_recovered(world.recover(), [NEW], [NEWEST])
        number += 1


def taking_back(memory: Path, kind: str) -> None:
    """Refused by the service, and put back."""
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
            journal = Journal(world.state)
            journal.recover()
            assert swap.revert(RELOAD.text, journal=journal)
            assert world.live() == before
            kept += 1
        assert strays_in(world.folder) == []
        number += 1
    assert kept > 2
    assert not recovery.pending


def recovering(memory: Path, kind: str) -> None:
    """From every state in which a set can be cut short, at every place of its recovery."""
    number = killed = 1
    recoveries = 0
    states = States()
    while killed:
        at = inner = 1
        while inner:
            world = a_world(memory / f"{number}-{at}", kind)
            before = world.live()
            after = [None if name in world.removed else NEW for name in world.names]
            killed = killed_at(number, lambda world=world: world.change(NEW))
            if at == 1 and not states.is_new(world):
                break
            inner = killed_at(at, world.recover)
            world.check_recovered(world.recover(), before, after)
            recoveries += 1
            at += 3
        number += 1
    assert recoveries > 60


LOOPS = {loop.__name__: loop for loop in (change, next_change, taking_back, recovering)}


def main(loop: str, folder: str, kind: str) -> None:
    """One loop; with mounts of its own where there are mounted files."""
    if "mounted" in kind:
        private_mounts()
    LOOPS[loop](Path(folder), kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
