"""Full and read-only disks, checkers and reloads that hang, flood or are absent: on real ones."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from pyconfd.errors import CheckBroken, StageError, StateError, SwapReverted
from pyconfd.model.resources import Command
from pyconfd.model.steps import Checked, Refused, Reloaded, ReloadFailed, Staged
from pyconfd.pipeline import check, stage, swap
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.journal_entries import JournalEntry
from pyconfd.pipeline.reload import reload
from pyconfd.system.proc import Commands
from tests.support.steps import in_child, may_mount, mount, private_mounts, rendered, strays_in

READ_ONLY, REMOUNT = 1, 32


@pytest.fixture
def mounting() -> None:
    """Only where a child may have mounts of its own."""
    if not may_mount():
        pytest.skip("a small or read-only file system of one's own needs CAP_SYS_ADMIN")


def on_a_disk_of(size: str, folder: Path, work: Callable[[], None]) -> None:
    """Run `work` in a child for which `folder` is a file system of this size."""

    def in_private() -> None:
        private_mounts()
        mount("tmpfs", folder, "tmpfs", 0, f"size={size}")
        work()

    assert in_child(in_private) == 0


@pytest.mark.usefixtures("mounting")
def test_a_full_disk_keeps_the_live_file_and_leaves_nothing(tmp_path: Path) -> None:
    """A tmpfs of 64 KiB; the same change goes through once there is room."""
    dest = tmp_path / "a.conf"

    def work() -> None:
        dest.write_bytes(b"old")
        (tmp_path / "filler").write_bytes(b"x" * 40960)
        with pytest.raises(StageError, match=r"no space is left in .*live file is unchanged"):
            stage.stage(rendered(dest, b"y" * 65536))
        assert dest.read_bytes() == b"old"
        assert strays_in(tmp_path) == []
        os.unlink(tmp_path / "filler")
        assert stage.stage(rendered(dest, b"y" * 32768)) is not None

    on_a_disk_of("64k", tmp_path, work)


@pytest.mark.usefixtures("mounting")
def test_a_full_state_folder_keeps_the_live_file(tmp_path: Path) -> None:
    """No swap without its record, also when the record fits only in part; no half line stays."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"old")
    state = tmp_path / "state"
    state.mkdir()

    def work() -> None:
        journal = Journal(str(state))
        (state / "filler").write_bytes(b"x" * 4096)
        entry = JournalEntry("/x", "/x", "/x~", "", None, "")
        for size in (500, 1):  # what the long lines leave is filled by short ones
            number = 0
            with pytest.raises(StateError, match="No space left"):
                while number < 1000:
                    number = journal.intend("s" * size, "r", [entry])
        staged = stage.stage(rendered(dest, b"new"))
        assert staged is not None
        with pytest.raises(SwapReverted, match=r"journal cannot be written: No space.*unchanged"):
            swap.swap(check.unchecked(staged), journal=journal)
        assert dest.read_bytes() == b"old"
        assert strays_in(tmp_path) == []
        (state / "filler").unlink()
        assert Journal(str(state)).recover().damaged == 0

    on_a_disk_of("8k", state, work)


@pytest.mark.usefixtures("mounting")
def test_a_read_only_file_system_is_named(tmp_path: Path) -> None:
    """Before anything is staged, and also when it becomes so between stage and swap."""
    dest = tmp_path / "a.conf"

    def work() -> None:
        dest.write_bytes(b"old")
        staged = stage.stage(rendered(dest, b"new"))
        assert staged is not None
        mount("tmpfs", tmp_path, "tmpfs", READ_ONLY | REMOUNT, "size=64k")
        with pytest.raises(SwapReverted, match=r"is read-only.*mount it for writing"):
            swap.swap(check.unchecked(staged), journal=None)
        with pytest.raises(StageError, match=r"is read-only.*mount it for writing"):
            stage.stage(rendered(dest, b"newer"))
        assert dest.read_bytes() == b"old"

    on_a_disk_of("64k", tmp_path, work)


def test_a_limit_on_file_sizes_keeps_the_live_file(tmp_path: Path) -> None:
    """The disk that is full for us alone; needs no rights."""
    dest = tmp_path / "a.conf"
    dest.write_bytes(b"old")

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(StageError, match=r"limit on file sizes.*ulimit"):
            stage.stage(rendered(dest, b"y" * 65536))
        assert dest.read_bytes() == b"old"
        assert strays_in(tmp_path) == []

    assert in_child(work) == 0


def staged_with(dest: Path, text: str, timeout_s: float = 10.0) -> Staged:
    """A staged file with this check command."""
    dest.write_bytes(b"old")
    staged = stage.stage(rendered(dest, b"new", check=Command(text, timeout_s)))
    assert staged is not None
    return staged


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sleep 60", r"timed out after 0.3 s.*check_cmd_timeout"),
        ("exec yes", r"timed out after 0.3 s"),
        ("/no/such/checker {{ src }}", r"command not found.*/no/such/checker"),
        ("kill -KILL $$", r"killed by signal 9"),
    ],
    ids=["hangs", "floods-for-ever", "absent", "killed"],
)
def test_a_checker_without_a_verdict_keeps_the_live_file(
    tmp_path: Path, text: str, says: str
) -> None:
    """And leaves no staged file."""
    dest = tmp_path / "a.conf"
    with pytest.raises(CheckBroken, match=says):
        check.check(staged_with(dest, text, 0.3), Commands(kill_grace_s=0.3).run)
    assert dest.read_bytes() == b"old"
    assert strays_in(tmp_path) == []


def test_a_checker_that_floods_is_heard_at_both_ends(tmp_path: Path) -> None:
    """100 MB of output: bounded in memory, and the verdict counts."""
    dest = tmp_path / "a.conf"
    text = "echo first; head -c 100000000 /dev/zero; echo last; grep -q new {{ src }}"
    judged = check.check(staged_with(dest, text), Commands().run)
    assert isinstance(judged, Checked)
    assert judged.report is not None
    assert judged.report.truncated
    assert len(judged.report.output) < 100_000
    refused = check.check(staged_with(dest, "echo why; grep -q old {{ src }}"), Commands().run)
    assert isinstance(refused, Refused)
    assert refused.report.output == "why\n"
    assert dest.read_bytes() == b"old"


def test_a_reload_that_hangs_is_ended_and_stays_owed(tmp_path: Path) -> None:
    """The new file is live; the next start knows about the debt; a later success settles it."""
    dest = tmp_path / "a.conf"
    journal = Journal(str(tmp_path / "state"))
    journal.recover()
    staged = stage.stage(rendered(dest, b"new"))
    assert staged is not None
    swap.swap(check.unchecked(staged), journal=journal)
    service = staged.rendered.resource.service_name
    outcome = reload(service, Command("sleep 60", 0.3), dest=str(dest), run=Commands().run)
    assert isinstance(outcome, ReloadFailed)
    assert "timed out after 0.3 s" in str(outcome.error)
    assert dest.read_bytes() == b"new"
    later = Journal(str(tmp_path / "state"))
    assert list(later.recover().pending) == [service]
    outcome = reload(service, Command("true", 5.0), dest=str(dest), run=Commands().run)
    assert isinstance(outcome, Reloaded)
    later.settle(service)
    assert Journal(str(tmp_path / "state")).recover().pending == ()
