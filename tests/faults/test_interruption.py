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

from pyconfd.model.steps import CommandReport, Staged
from pyconfd.pipeline import check, reload, stage, swap
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.recovery import Recovery
from pyconfd.system import files
from tests.support.steps import (
    RELOAD,
    a_resource,
    among_mounts,
    in_child,
    mount,
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


KILLS_S = 600.0
MOUNTED = ["mounted", "mounted in a read-only folder", "set, first mounted", "set, last mounted"]


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


@pytest.mark.parametrize("kind", MOUNTED)
def test_a_kill_while_a_mounted_file_is_written_leaves_it_whole(memory: Path, kind: str) -> None:
    """Written in place: also between two writes, what was begun is finished or taken back."""
    among_mounts(
        lambda: test_a_kill_at_any_instant_leaves_old_or_new_and_the_debt(memory, kind),
        timeout_s=KILLS_S,
    )


@pytest.mark.parametrize("kind", MOUNTED[::3])
def test_a_kill_while_a_mounted_file_is_taken_back_leaves_it_whole(memory: Path, kind: str) -> None:
    """As for files that are renamed."""
    among_mounts(
        lambda: test_a_kill_at_any_instant_of_taking_back_leaves_one_version_and_the_debt(
            memory, kind
        ),
        timeout_s=KILLS_S,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", MOUNTED[::3])
def test_the_recovery_of_a_mounted_file_may_be_killed_at_any_instant(
    memory: Path, kind: str
) -> None:
    """And done again."""
    among_mounts(lambda: _kill_recoveries(memory, kind), timeout_s=KILLS_S)


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
            journal = Journal(world.state)
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
    assert _kill_recoveries(memory, "set with removals", [NEW, NEW, None, None]) > 60


def _kill_recoveries(memory: Path, kind: str, after: list[bytes | None] | None = None) -> int:
    number = killed = 1
    recoveries = 0
    while killed:
        at = inner = 1
        while inner:
            world = a_world(memory / f"{number}-{at}", kind)
            before = world.live()
            killed = killed_at(number, lambda world=world: world.change(NEW))
            inner = killed_at(at, world.recover)
            world.check_recovered(world.recover(), before, after or [NEW] * len(before))
            recoveries += 1
            at += 4
        number += 5
    return recoveries
