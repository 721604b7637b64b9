"""The journal: what is owed survives, what is settled is forgotten, damage is said."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from pyconfd.errors import StateError
from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.journal_entries import JournalEntry
from pyconfd.pipeline.recovery import Recovery


def entry(
    tmp_path: Path, name: str = "a", *, staged: bool = False, digest: str = "new"
) -> JournalEntry:
    """A file of a swap; `staged` says whether its rename is still to come."""
    path = tmp_path / f".{name}.{digest}.pyconfd~"
    if staged:
        path.write_bytes(b"")
    return JournalEntry(str(tmp_path / name), str(tmp_path / name), str(path), "", "old", digest)


def again(tmp_path: Path) -> tuple[Journal, Recovery]:
    """The next start."""
    journal = Journal(str(tmp_path / "state"))
    return journal, journal.recover()


def test_a_first_start_owes_nothing(tmp_path: Path) -> None:
    """No folder, no file, nothing made."""
    assert again(tmp_path)[1] == Recovery()
    assert not (tmp_path / "state").exists()


def test_a_swap_that_happened_is_owed_until_settled(tmp_path: Path) -> None:
    """Over any number of starts."""
    journal, _ = again(tmp_path)
    journal.intend("svc", "reload svc", [entry(tmp_path)])
    for _ in range(2):
        journal, recovery = again(tmp_path)
        assert recovery.pending == ("svc",)
        (intent,) = journal.unsettled("svc")
        assert (intent.service, intent.reload) == ("svc", "reload svc")
        assert [(each.dest, each.digest) for each in intent.files] == [(str(tmp_path / "a"), "new")]
    journal.settle("svc")
    assert again(tmp_path)[1] == Recovery()
    assert (tmp_path / "state/journal").read_bytes() == b""


def test_a_swap_that_did_not_happen_is_not_owed_and_leaves_no_stray(tmp_path: Path) -> None:
    """Its staged file is still there; afterwards it is not."""
    journal, _ = again(tmp_path)
    waiting = entry(tmp_path, staged=True)
    journal.intend("svc", "reload svc", [waiting])
    assert again(tmp_path)[1] == Recovery(removed=(waiting.staged,))
    assert again(tmp_path)[1] == Recovery()


def test_an_undone_swap_is_not_owed(tmp_path: Path) -> None:
    """Also when its staged file has gone."""
    journal, _ = again(tmp_path)
    keep = journal.intend("other", "reload other", [entry(tmp_path, "b")])
    journal.undone(journal.intend("svc", "reload svc", [entry(tmp_path)]))
    assert list(again(tmp_path)[1].pending) == ["other"]
    assert keep == 1


def test_settling_one_service_leaves_the_others_owed(tmp_path: Path) -> None:
    """Each service confirms for itself."""
    journal, _ = again(tmp_path)
    for service, name in [("one", "a"), ("two", "b"), ("one", "c")]:
        journal.intend(service, "x", [entry(tmp_path, name)])
    journal.settle("one")
    journal.settle("nobody")
    assert list(again(tmp_path)[1].pending) == ["two"]


def test_several_swaps_of_a_service_are_one_pending_reload(tmp_path: Path) -> None:
    """The swaps it is for are all known, oldest first: the newest digest of a file counts."""
    journal, _ = again(tmp_path)
    journal.intend("svc", "reload 1", [entry(tmp_path, "a", digest="1")])
    journal.intend("svc", "reload 1", [entry(tmp_path, "b", digest="2")])
    journal.intend("svc", "reload 2", [entry(tmp_path, "a", digest="3")])
    journal, recovery = again(tmp_path)
    assert recovery.pending == ("svc",)
    assert journal.unsettled("svc")[-1].reload == "reload 2"
    digests = {one.dest: one.digest for each in journal.unsettled("svc") for one in each.files}
    assert digests == {str(tmp_path / "a"): "3", str(tmp_path / "b"): "2"}


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """An old `undone` must not hit a new swap."""
    journal, _ = again(tmp_path)
    first = journal.intend("svc", "x", [entry(tmp_path)])
    journal, _ = again(tmp_path)
    assert journal.intend("svc", "x", [entry(tmp_path, "b")]) > first


def test_a_last_line_torn_by_a_power_cut_is_ignored(tmp_path: Path) -> None:
    """Its swap had not begun, or the service starts afresh anyway."""
    journal, _ = again(tmp_path)
    journal.intend("svc", "x", [entry(tmp_path)])
    with (tmp_path / "state/journal").open("ab") as file:
        file.write(b'{"do":"sw')
    recovery = again(tmp_path)[1]
    assert recovery.damaged == 0
    assert len(recovery.pending) == 1


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"do":"dance"}', '{"do":"swap","id":1}', "{}"])
def test_lines_that_mean_nothing_are_counted(tmp_path: Path, line: str) -> None:
    """What can be read is used; the caller learns that there may have been more."""
    journal, _ = again(tmp_path)
    journal.intend("svc", "x", [entry(tmp_path)])
    path = tmp_path / "state/journal"
    path.write_text(f"{line}\n{path.read_text()}")
    recovery = again(tmp_path)[1]
    assert recovery.damaged == 1
    assert len(recovery.pending) == 1
    assert again(tmp_path)[1].damaged == 0, "the damaged line is gone now"


def test_it_does_not_grow_without_end(tmp_path: Path) -> None:
    """A service that is never settled, one that always is, one that changes and never is."""
    journal, _ = again(tmp_path)
    journal.intend("stuck", "x", [entry(tmp_path)])
    for number in range(3000):
        journal.intend("busy", "x", [entry(tmp_path, f"b{number % 5}")])
        journal.settle("busy")
    for _ in range(3000):
        journal.intend("failing", "x", [entry(tmp_path, "c")])
    assert (tmp_path / "state/journal").stat().st_size < 300_000
    journal, recovery = again(tmp_path)
    assert list(recovery.pending) == ["stuck", "failing"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """It names files and commands."""
    journal, _ = again(tmp_path)
    journal.intend("svc", "x", [entry(tmp_path)])
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state/journal").stat().st_mode) == 0o600
    again(tmp_path)
    assert stat.S_IMODE((tmp_path / "state/journal").stat().st_mode) == 0o600


def test_paths_that_are_not_utf8_survive(tmp_path: Path) -> None:
    """As Python holds them: with surrogates."""
    journal, _ = again(tmp_path)
    odd = JournalEntry("/\udcff", "/\udcff", "/\udcff~", "", None, "d")
    journal.intend("svc", "x", [odd])
    journal, recovery = again(tmp_path)
    assert recovery.pending == ("svc",)
    assert journal.unsettled("svc")[0].files[0].dest == "/\udcff"
    for line in (tmp_path / "state/journal").read_bytes().splitlines():
        json.loads(line)


def test_a_half_done_set_that_was_replaced_since_is_not_taken_back(tmp_path: Path) -> None:
    """A later swap of the same files made it history."""
    journal, _ = again(tmp_path)
    gone, waiting = entry(tmp_path, "a"), entry(tmp_path, "b", staged=True)
    journal.intend("svc", "x", [gone, waiting])
    journal.intend("svc", "x", [entry(tmp_path, n, digest="later") for n in "ab"])
    journal, recovery = again(tmp_path)
    assert recovery.rolled_back == ()
    (_, later) = journal.unsettled("svc")
    assert {one.dest: one.digest for one in later.files} == {
        str(tmp_path / n): "later" for n in "ab"
    }


def test_an_unusable_state_folder_is_named(tmp_path: Path) -> None:
    """What, where, what to do."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(StateError, match=r"state/journal: the journal cannot be read.*state_dir"):
        Journal(str(tmp_path / "state")).recover()
