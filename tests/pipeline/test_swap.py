"""Swapping one file, and a set of files all or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyconfd.errors import StateError, SwapReverted, SwapTorn
from pyconfd.model.steps import Checked
from pyconfd.pipeline import check, stage, swap
from pyconfd.pipeline.journal import Journal
from tests.support.steps import (
    RELOAD,
    a_resource,
    among_mounts,
    before_call,
    mount,
    rendered,
    strays_in,
)
from tests.support.work import calls


def permit(dest: Path, content: bytes = b"new", **fields: object) -> Checked:
    """A staged file that may be swapped."""
    staged = stage.stage(rendered(dest, content, **fields))
    assert staged is not None
    return check.unchecked(staged)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal in a folder of its own."""
    made = Journal(str(tmp_path / "state"))
    made.recover()
    return made


def open_lines(tmp_path: Path) -> list[str]:
    """What the journal holds."""
    path = tmp_path / "state/journal"
    return path.read_text().splitlines() if path.exists() else []


def test_the_new_version_is_live_and_the_reload_is_on_record(
    tmp_path: Path, journal: Journal
) -> None:
    """One intent stays open until the service has confirmed."""
    swap.swap(permit(tmp_path / "a"), journal=journal)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert len(open_lines(tmp_path)) == 1
    journal.settle(RELOAD.text)
    assert open_lines(tmp_path) == []
    assert strays_in(tmp_path) == []


def test_whether_a_file_is_mounted_is_not_asked_of_each(tmp_path: Path, journal: Journal) -> None:
    """The rename of a single file tells; every change would pay for the question."""
    (tmp_path / "a").write_bytes(b"old")
    made = permit(tmp_path / "a")
    assert calls(lambda: swap.swap(made, journal=journal), "is_mount_point") == 0
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_mounted_file_has_one_open_intent(tmp_path: Path) -> None:
    """The attempt to rename it is closed in the journal before it is written in place."""
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "source").write_bytes(b"old")

    def work() -> None:
        mount(str(tmp_path / "source"), tmp_path / "a", "", 0x1000)
        journal = Journal(str(tmp_path / "state"))
        journal.recover()
        assert swap.swap(permit(tmp_path / "a"), journal=journal).in_place
        assert [intent.files[0].in_place for intent in journal.unsettled(RELOAD.text)] == [True]
        journal.settle(RELOAD.text)
        assert open_lines(tmp_path) == []
        assert (tmp_path / "source").read_bytes() == b"new"

    among_mounts(work)
    assert strays_in(tmp_path) == []


def test_without_a_journal_nothing_is_recorded(tmp_path: Path) -> None:
    """--sync-only: nobody will be told, so nothing is owed."""
    swap.swap(permit(tmp_path / "a"), journal=None)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert not (tmp_path / "state").exists()


def test_a_symlinked_destination_stays_a_link(tmp_path: Path, journal: Journal) -> None:
    """The target is what is replaced; a dangling link gets its target."""
    (tmp_path / "target").write_bytes(b"old")
    for name, target in [("link", "target"), ("dangling", "fresh")]:
        (tmp_path / name).symlink_to(target)
        swap.swap(permit(tmp_path / name), journal=journal)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_bytes() == b"new"


def test_a_destination_replaced_by_hand_meanwhile_is_overwritten(
    tmp_path: Path, journal: Journal
) -> None:
    """What the store says wins over an edit made while the check ran."""
    dest = tmp_path / "a"
    dest.write_bytes(b"old")
    made = permit(dest)
    dest.unlink()
    dest.write_bytes(b"by hand")
    swap.swap(made, journal=journal)
    assert dest.read_bytes() == b"new"


def test_a_destination_that_leads_elsewhere_by_now_is_left_alone(
    tmp_path: Path, journal: Journal
) -> None:
    """The judged file goes to the judged place or nowhere."""
    dest = tmp_path / "a"
    dest.write_bytes(b"old")
    made = permit(dest)
    dest.unlink()
    dest.symlink_to("other")
    with pytest.raises(SwapReverted, match=r"leads elsewhere.*live file is unchanged"):
        swap.swap(made, journal=journal)
    assert dest.is_symlink()
    assert strays_in(tmp_path) == []
    assert open_lines(tmp_path) == []


def test_a_destination_that_became_a_folder_is_left_alone(tmp_path: Path, journal: Journal) -> None:
    """A failed rename leaves no debt and no staged file."""
    made = permit(tmp_path / "a")
    (tmp_path / "a").mkdir()
    with pytest.raises(SwapReverted, match="has become a folder"):
        swap.swap(made, journal=journal)
    assert strays_in(tmp_path) == []
    assert open_lines(tmp_path) == []


def test_a_staged_file_that_vanished_is_said(tmp_path: Path, journal: Journal) -> None:
    """Somebody tidied up too eagerly."""
    made = permit(tmp_path / "a")
    os.unlink(made.staged.path)
    with pytest.raises(SwapReverted, match="vanished"):
        swap.swap(made, journal=journal)


def test_without_a_writable_journal_nothing_is_swapped(tmp_path: Path) -> None:
    """A reload that could be forgotten is not risked."""
    (tmp_path / "state").write_bytes(b"a file where the folder should be")
    dest = tmp_path / "a"
    dest.write_bytes(b"old")
    with pytest.raises(SwapReverted, match=r"journal cannot be written.*state_dir"):
        swap.swap(permit(dest), journal=Journal(str(tmp_path / "state")))
    assert dest.read_bytes() == b"old"
    assert strays_in(tmp_path) == []


def test_a_single_file_mount_is_written_in_place(tmp_path: Path) -> None:
    """As containers mount single files: the mounted file itself has the new content and mode."""
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "source").write_bytes(b"old")

    def work() -> None:
        mount(str(tmp_path / "source"), tmp_path / "a", "", 0x1000)
        for content in (b"new", b"much longer", b"", b"short"):
            assert swap.swap(permit(tmp_path / "a", content), journal=None).in_place
            assert (tmp_path / "source").read_bytes() == content
        assert os.path.ismount(tmp_path / "a") or (tmp_path / "a").samefile(tmp_path / "source")

    among_mounts(work)
    assert strays_in(tmp_path) == []


def test_a_mounted_file_without_room_for_the_new_version_stays_as_it_was(tmp_path: Path) -> None:
    """The disk of the mounted file is full: an error before a byte has changed."""
    dest, disk = tmp_path / "a", tmp_path / "disk"
    dest.write_bytes(b"")
    disk.mkdir()

    def work() -> None:
        mount("tmpfs", disk, "tmpfs", 0, "size=16k")
        (disk / "source").write_bytes(b"old")
        mount(str(disk / "source"), dest, "", 0x1000)
        journal = Journal(str(tmp_path / "state"))
        with pytest.raises(SwapReverted, match="no space is left for the new version"):
            swap.swap(permit(dest, b"x" * 65536, reload=RELOAD), journal=journal)
        assert dest.read_bytes() == b"old"
        assert journal.services == frozenset()
        assert strays_in(tmp_path) == []

    among_mounts(work)


def test_a_file_that_is_mounted_read_only_says_so(tmp_path: Path) -> None:
    """As a config map's; nothing is left."""
    dest, source = tmp_path / "a", tmp_path / "source"
    dest.write_bytes(b"")
    source.write_bytes(b"old")

    def work() -> None:
        mount(str(source), dest, "", 0x1000)
        mount("", dest, "", 0x1000 | 32 | 1)
        with pytest.raises(SwapReverted, match=r"is read-only.*mount it for writing"):
            swap.swap(permit(dest), journal=Journal(str(tmp_path / "state")))
        assert strays_in(tmp_path) == []

    among_mounts(work)


def test_a_mounted_file_has_the_mode_and_owner_of_the_new_version(tmp_path: Path) -> None:
    """Also when nothing else differs; a resource without a reload leaves no journal."""
    dest, source = tmp_path / "a", tmp_path / "source"
    dest.write_bytes(b"")
    source.write_bytes(b"new")

    def work() -> None:
        mount(str(source), dest, "", 0x1000)
        journal = Journal(str(tmp_path / "state"))
        swap.swap(permit(dest, reload=None, mode=0o640), journal=journal)
        assert dest.stat().st_mode & 0o7777 == 0o640
        assert dest.read_bytes() == b"new"
        assert (tmp_path / "state/journal").read_bytes() == b""

    among_mounts(work)


def test_a_mounted_file_is_taken_back_with_its_set(tmp_path: Path) -> None:
    """By a swap that fails half-way, and after the service has refused the new version."""
    names = ("a", "b", "c")

    def work() -> None:
        (tmp_path / "source").write_bytes(b"old a")
        for name in names:
            (tmp_path / name).write_bytes(b"old " + name.encode())
        mount(str(tmp_path / "source"), tmp_path / "a", "", 0x1000)
        journal = Journal(str(tmp_path / "state"))
        permits = [permit(tmp_path / name, reload=RELOAD) for name in names]
        os.unlink(permits[2].staged.path)
        with pytest.raises(SwapReverted, match="vanished"):
            swap.swap_all(permits, journal=journal)
        assert [(tmp_path / name).read_bytes() for name in names] == [b"old a", b"old b", b"old c"]
        permits = [permit(tmp_path / name, reload=RELOAD) for name in names]
        done = swap.swap_all(permits, journal=journal, keep_old=True)
        assert [each.in_place for each in done] == [True, False, False]
        assert (tmp_path / "source").read_bytes() == b"new"
        assert len(swap.revert(RELOAD.text, journal=journal)) == 3
        assert [(tmp_path / name).read_bytes() for name in names] == [b"old a", b"old b", b"old c"]
        assert strays_in(tmp_path) == []

    among_mounts(work)


def test_a_set_is_live_whole(tmp_path: Path, journal: Journal) -> None:
    """Old and new files together; one line stays open for the reload."""
    (tmp_path / "a").write_bytes(b"old")
    swap.swap_all([permit(tmp_path / "a"), permit(tmp_path / "b")], journal=journal)
    assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"new", b"new"]
    assert strays_in(tmp_path) == []
    journal.settle(RELOAD.text)
    assert open_lines(tmp_path) == []


def test_a_set_is_swapped_in_the_order_it_was_given(tmp_path: Path, journal: Journal) -> None:
    """Files that disappear come last."""
    for name in ("a", "b", "c", "gone"):
        (tmp_path / name).write_bytes(b"old")
    permits = [permit(tmp_path / name) for name in "bca"]
    seen: list[str] = []

    def note() -> None:
        seen.extend(name for name in "abc" if (tmp_path / name).read_bytes() == b"new")
        seen.extend(["gone"] * (tmp_path / "gone").exists())

    with before_call("rename", 3, note):
        swap.swap_all(permits, journal=journal, removals=[a_resource(tmp_path / "gone")])
    assert seen == ["b", "c", "gone"]


def test_a_set_that_fails_half_way_is_taken_back(tmp_path: Path, journal: Journal) -> None:
    """The old file is the very same inode again, the new one is gone."""
    (tmp_path / "a").write_bytes(b"old")
    inode = (tmp_path / "a").stat().st_ino
    permits = [permit(tmp_path / name) for name in "abc"]
    (tmp_path / "c").mkdir()
    with pytest.raises(SwapReverted, match=r"c: the destination has become a folder.*as before"):
        swap.swap_all(permits, journal=journal)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a").stat().st_ino == inode
    assert not (tmp_path / "b").exists()
    assert strays_in(tmp_path) == []
    assert open_lines(tmp_path) == []


def test_a_set_with_a_file_that_changed_its_place_does_not_begin(
    tmp_path: Path, journal: Journal
) -> None:
    """Found before the first rename."""
    (tmp_path / "a").write_bytes(b"old")
    permits = [permit(tmp_path / "a"), permit(tmp_path / "b")]
    (tmp_path / "b").symlink_to("elsewhere")
    with pytest.raises(SwapReverted, match="b: the destination leads elsewhere"):
        swap.swap_all(permits, journal=journal)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert strays_in(tmp_path) == []


def test_a_set_that_cannot_be_taken_back_is_torn_and_mended_at_the_next_start(
    tmp_path: Path, journal: Journal
) -> None:
    """Everything needed stays; once the cause is gone, recovery puts the old version back."""
    (tmp_path / "a").write_bytes(b"old")
    permits = [permit(tmp_path / "a"), permit(tmp_path / "b")]
    saved = tmp_path / "saved"

    def spoil() -> None:
        (tmp_path / "b").mkdir()
        original = next(path for path in tmp_path.glob(".a.*") if path.read_bytes() == b"old")
        original.rename(saved)
        original.mkdir()  # a folder cannot be renamed over a file
        spoiled.append(original)

    spoiled: list[Path] = []
    with (
        before_call("rename", 2, spoil),
        pytest.raises(SwapTorn, match=r"half swapped.*old version is .*because of: Is a directory"),
    ):
        swap.swap_all(permits, journal=journal)
    assert (tmp_path / "a").read_bytes() == b"new"
    with pytest.raises(StateError, match=r"cannot be undone.*put it back by hand"):
        Journal(str(tmp_path / "state")).recover()
    spoiled[0].rmdir()
    saved.rename(spoiled[0])
    recovery = Journal(str(tmp_path / "state")).recover()
    assert recovery.rolled_back == (str(tmp_path / "a"),)
    assert recovery.pending == ()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert strays_in(tmp_path) == []


def test_a_set_may_hold_files_that_disappear(tmp_path: Path, journal: Journal) -> None:
    """Together with those that change; a link goes, its target stays."""
    for name in ("a", "gone", "target"):
        (tmp_path / name).write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    removals = [a_resource(tmp_path / name) for name in ("gone", "link")]
    swap.swap_all([permit(tmp_path / "a")], journal=journal, removals=removals)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "state", "target"]
    swap.swap_all([], journal=journal, removals=[a_resource(tmp_path / "a")])
    assert not (tmp_path / "a").exists()
    assert strays_in(tmp_path) == []


def test_a_disappearing_file_comes_back_when_the_set_fails(
    tmp_path: Path, journal: Journal
) -> None:
    """Here because another one was removed by hand meanwhile."""
    for name in ("a", "one", "two"):
        (tmp_path / name).write_bytes(b"old")
    removals = [a_resource(tmp_path / name) for name in ("one", "two")]
    with (
        before_call("rename", 3, (tmp_path / "two").unlink),
        pytest.raises(SwapReverted, match=r"two: .*vanished.*as before"),
    ):
        swap.swap_all([permit(tmp_path / "a")], journal=journal, removals=removals)
    assert [(tmp_path / name).read_bytes() for name in ("a", "one")] == [b"old", b"old"]
    assert strays_in(tmp_path) == []
    with pytest.raises(SwapReverted, match=r"two: .*vanished"):
        swap.swap_all([permit(tmp_path / "a")], journal=journal, removals=removals[1:])


def test_what_was_swapped_can_be_taken_back_until_it_is_settled(
    tmp_path: Path, journal: Journal
) -> None:
    """Swaps one after the other: back to the version that runs, with files that vanished."""
    for name in ("a", "gone"):
        (tmp_path / name).write_bytes(b"old")
    removals = [a_resource(tmp_path / "gone")]
    first = [permit(tmp_path / name) for name in ("a", "fresh")]
    swap.swap_all(first, journal=journal, removals=removals, keep_old=True)
    for content in (b"2", b"3", b"4", b"5"):
        swap.swap_all([permit(tmp_path / "a", content)], journal=journal, keep_old=True)
    taken_back = swap.revert(RELOAD.text, journal=journal)
    names = [os.path.basename(each.dest) for each in taken_back]
    assert names == ["a", "gone", "fresh", "a"]
    assert [(tmp_path / name).read_bytes() for name in ("a", "gone")] == [b"old", b"old"]
    assert not (tmp_path / "fresh").exists()
    assert strays_in(tmp_path) == []
    assert swap.revert(RELOAD.text, journal=journal) == ()
    journal = Journal(str(tmp_path / "state"))
    assert journal.recover().pending, "the old versions are to be told"
    journal.settle(RELOAD.text)
    assert open_lines(tmp_path) == []


def test_old_versions_outlive_the_run_that_kept_them(tmp_path: Path, journal: Journal) -> None:
    """Killed before the verdict: the next run finds them named in its journal, and the debt."""
    for name in ("a", "gone"):
        (tmp_path / name).write_bytes(b"old")
    first = [permit(tmp_path / name) for name in ("a", "fresh")]
    removals = [a_resource(tmp_path / "gone")]
    swap.swap_all(first, journal=journal, removals=removals, keep_old=True)
    for content in (b"2", b"3"):
        swap.swap_all([permit(tmp_path / "a", content)], journal=journal, keep_old=True)
    for _ in range(2):
        journal = Journal(str(tmp_path / "state"))
        assert list(journal.recover().pending) == [RELOAD.text]
        assert journal.kept == {str(tmp_path / name) for name in strays_in(tmp_path)}
    swap.swap_all([permit(tmp_path / "a", b"4")], journal=journal, keep_old=True)
    swap.revert(RELOAD.text, journal=journal)
    assert [(tmp_path / name).read_bytes() for name in ("a", "gone")] == [b"old", b"old"]
    assert not (tmp_path / "fresh").exists()
    assert strays_in(tmp_path) == []


def test_after_the_verdict_a_new_run_has_no_old_versions(tmp_path: Path, journal: Journal) -> None:
    """Taken: they are gone. Taken back: they are live."""
    (tmp_path / "a").write_bytes(b"old")
    swap.swap_all([permit(tmp_path / "a")], journal=journal, keep_old=True)
    journal.settle(RELOAD.text)
    swap.swap_all([permit(tmp_path / "a", b"2")], journal=journal, keep_old=True)
    swap.revert(RELOAD.text, journal=journal)
    journal = Journal(str(tmp_path / "state"))
    assert journal.recover().pending
    assert journal.kept == frozenset()
    assert swap.revert(RELOAD.text, journal=journal) == ()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_without_anybody_to_tell_no_old_versions_are_kept(tmp_path: Path, journal: Journal) -> None:
    """As with --sync-only: nobody could refuse the new ones."""
    (tmp_path / "a").write_bytes(b"old")
    swap.swap_all([permit(tmp_path / "a", reload=None)], journal=journal, keep_old=True)
    assert strays_in(tmp_path) == []
    assert open_lines(tmp_path) == []


def test_what_is_settled_is_not_taken_back(tmp_path: Path, journal: Journal) -> None:
    """The old versions go when the service has confirmed."""
    (tmp_path / "a").write_bytes(b"old")
    swap.swap_all([permit(tmp_path / "a")], journal=journal, keep_old=True)
    assert len(strays_in(tmp_path)) == 1
    journal.settle(RELOAD.text)
    assert strays_in(tmp_path) == []
    assert swap.revert(RELOAD.text, journal=journal) == ()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_without_old_versions_nothing_is_taken_back(tmp_path: Path, journal: Journal) -> None:
    """A swap without keep_old: the new version stays live, the reload stays owed."""
    (tmp_path / "a").write_bytes(b"old")
    swap.swap_all([permit(tmp_path / "a")], journal=journal)
    assert swap.revert(RELOAD.text, journal=journal) == ()
    assert (tmp_path / "a").read_bytes() == b"new"
    assert len(journal.unsettled(RELOAD.text)) == 1


def test_what_was_not_kept_does_not_keep_others_from_being_taken_back(
    tmp_path: Path, journal: Journal
) -> None:
    """Of two files of a service only one was swapped with its old version kept."""
    for name in "ab":
        (tmp_path / name).write_bytes(b"old")
    swap.swap_all([permit(tmp_path / "a")], journal=journal, keep_old=True)
    swap.swap_all([permit(tmp_path / "b")], journal=journal)
    taken_back = swap.revert(RELOAD.text, journal=journal)
    assert [os.path.basename(each.dest) for each in taken_back] == ["a"]
    assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"old", b"new"]


def test_journal_errors_keep_a_set_from_beginning(tmp_path: Path) -> None:
    """As for one file."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(SwapReverted, match="journal cannot be written"):
        swap.swap_all([permit(tmp_path / "a")], journal=Journal(str(tmp_path / "state")))
    assert strays_in(tmp_path) == []
    with pytest.raises(StateError):
        Journal(str(tmp_path / "state")).recover()
