"""Open swaps by service and path: what may be forgotten is found without looking at all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconfd.pipeline.journal import Journal
from pyconfd.pipeline.journal_entries import Intent, JournalEntry, Progress, at
from pyconfd.pipeline.journal_index import OpenIntents
from tests.support.work import calls

PATHS = st.sets(st.sampled_from("abc"), min_size=1)
STEP = st.one_of(
    st.tuples(st.just("swap"), PATHS, st.booleans()),
    st.tuples(st.sampled_from(("undone", "reverted")), st.integers(0, 5), st.none()),
)


def entry(path: str) -> JournalEntry:
    """A file of a swap."""
    return JournalEntry(path, path, f"{path}.staged", "", "old", "new")


def needless(intents: list[Intent]) -> list[Intent]:
    """The definition, for all intents of one service, oldest first."""
    found: list[Intent] = []
    running: set[str] = set()  # paths of which an older intent has the version that runs
    for intent in intents:
        if not intent.keep:
            running -= intent.paths
        elif intent.progress is not Progress.REVERTED:
            if intent.paths <= running:
                found.append(intent)
            running |= intent.paths
    newer: set[str] = set()
    for intent in reversed(intents):
        if intent in found:
            continue
        plain = not intent.keep or intent.progress is Progress.REVERTED
        if plain and intent.paths <= newer:
            found.append(intent)
        newer |= intent.paths
    return found


@given(st.lists(STEP, max_size=25))
def test_what_may_be_forgotten_is_what_the_definition_says(
    steps: list[tuple[str, set[str] | int, bool | None]],
) -> None:
    """After any history of swaps, with old versions kept or not, undone or taken back."""
    opened, model = OpenIntents(), list[Intent]()
    for number, (what, which, keep) in enumerate(steps, 1):
        if what == "swap":
            assert opened.needless("svc") == needless(model)
            for gone in needless(model):
                model.remove(gone)
                opened.drop(gone.id)
            files = tuple(map(entry, sorted(which)))  # type: ignore[arg-type]
            model.append(Intent(number, "svc", "reload", files, bool(keep)))
            opened.add(model[-1])
        elif model:
            place = which % len(model)  # type: ignore[operator]
            if what == "undone":
                opened.drop(model.pop(place).id)
            else:
                opened.progress(model[place].id, Progress.REVERTED)
                model[place] = at(Progress.REVERTED, model[place])
        assert list(opened) == list(opened.of("svc")) == model


@pytest.mark.parametrize("keep", [False, True])
def test_one_more_swap_is_as_much_work_beside_ten_open_ones_as_beside_a_thousand(
    tmp_path: Path, keep: bool
) -> None:
    """A one-shot run swaps all files of a service before its reload settles them."""

    def work(swaps: int) -> int:
        journal = Journal(str(tmp_path / f"state{swaps}"))
        journal.recover()
        for number in range(swaps):
            journal.intend("svc", "reload", [entry(f"/{number}")], keep=keep)
        return calls(lambda: journal.intend("svc", "reload", [entry("/one more")], keep=keep))

    assert work(1000) == work(10)


def test_open_swaps_are_not_written_again(tmp_path: Path) -> None:
    """A large journal that holds nothing but them is only appended to."""
    journal = Journal(str(tmp_path))
    journal.recover()
    path = tmp_path / "journal"
    journal.intend("svc", "reload", [entry("/first")])
    first = path.stat().st_ino
    for number in range(5000):
        journal.intend("svc", "reload", [entry(f"/{number}")])
    assert path.stat().st_size > 2 * 256 * 1024
    assert path.stat().st_ino == first
