"""What the nodes of a fleet decide on their shared records, as tables."""

from __future__ import annotations

import pytest

from pyconfd.model.resources import Rollout
from pyconfd.reconcile.turns import (
    MOST_HALTS,
    QUEUED,
    Answer,
    Halt,
    Turn,
    TurnRecords,
    Version,
    approved,
    decide,
    forgotten_halts,
    waits_for,
)

OLD, NEW, BAD = Version("old", 10), Version("new", 20), Version("bad", 30)


def records(*proved: Version | None, **more: object) -> TurnRecords:
    """Of nodes a, b, c ... that have proved these."""
    return TurnRecords(nodes=dict(zip("abcdef", proved, strict=False)), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (records(), []),
        (records(None, None), []),
        (records(OLD, OLD, NEW), [OLD, NEW]),
        (records(OLD, NEW), [NEW, OLD]),
        (records(OLD, Version("old", 15)), [Version("old", 15)]),
        (records(OLD, OLD, BAD, halts={"bad": Halt(why="refused")}), [OLD]),
        (records(OLD, OLD, BAD, begun={"f": Turn("f", BAD, 31)}), [OLD]),
        (records(BAD, BAD, OLD, halts={"bad": Halt(why="refused")}), [BAD, OLD]),
        (records(OLD, OLD, NEW, stopped=Halt(why="halted by me")), [OLD, NEW]),
    ],
)
def test_a_new_node_starts_with_what_most_have_proved(
    given: TurnRecords, wanted: list[Version]
) -> None:
    """Then with what others have proved and none has refused; as of the last time it was seen."""
    found = approved(given)
    assert [(one.digest, one.revision) for one in found] == [
        (one.digest, one.revision) for one in wanted
    ]


def test_the_oldest_halts_of_versions_that_are_over_are_forgotten() -> None:
    """Those that a node still asks for are kept, however old."""
    halts = {f"v{number:03}": Halt(why="refused", at=number) for number in range(MOST_HALTS + 3)}
    asked = {"a": Turn("a", Version("v001"))}
    assert forgotten_halts(TurnRecords(halts=halts, asked=asked)) == ["v000", "v002"]
    assert forgotten_halts(TurnRecords(halts={})) == []


def test_the_words_of_a_queued_node_are_the_same_while_others_take_their_turns() -> None:
    """For a node publishes them; who is before it is seen from the records."""
    asked = {name: Turn(name, NEW, order) for order, name in enumerate("bcdef", 40)}
    given = records(OLD, OLD, OLD, OLD, OLD, OLD, asked=asked, begun={"a": Turn("a", NEW, 39)})
    found = decide(given, Rollout(), "f", NEW)
    assert (found.answer, found.why) == (Answer.WAIT, QUEUED)
    assert waits_for(given, "f") == "waits for a, b, c and 2 more"
    assert waits_for(given, "b") == "waits for a"
    assert waits_for(records(OLD, asked={"b": Turn("b", NEW, 40)}), "b") == QUEUED
