"""Groups due together: what is kept was judged as a set, and one does not hold up the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyconfd.apply.group_search import Judge, ReapplyResult, by_halves, sort_out
from pyconfd.errors import CheckBroken
from pyconfd.model.steps import Checked, CommandReport, LiveFile, Refused, Staged
from tests.support.steps import rendered

REPORT = CommandReport("judge", 1, 0.0)


def a_file(name: str) -> Staged:
    """A staged file that exists on paper."""
    live = LiveFile(f"/{name}")
    return Staged(rendered(Path(f"/{name}"), b""), f"/.{name}", live, 0o644, 0, 0, ("missing",))


def a_judge(
    bad: set[str], clashes: set[frozenset[str]], named: bool, asked: list[frozenset[str]]
) -> Judge:
    """Refuses sets that hold a bad file or two that clash; names the offender, or nobody."""

    def judge(staged: Sequence[Staged]) -> tuple[Checked, ...] | Refused:
        names = [each.path[2:] for each in staged]
        asked.append(frozenset(names))
        for number, name in enumerate(names):
            earlier = {frozenset((name, other)) for other in names[:number]}
            if name in bad or earlier & clashes:
                return Refused(staged[number if named else 0], REPORT, named=named)
        return tuple(Checked(each, None) for each in staged)

    return judge


def test_what_passes_together_costs_one_judgement() -> None:
    """The usual case."""
    asked: list[frozenset[str]] = []
    groups = {"one": [a_file("a"), a_file("b")], "two": [a_file("c")]}
    result = sort_out(groups, a_judge(set(), set(), True, asked))
    assert {name: len(permits) for name, permits in result.passed.items()} == {"one": 2, "two": 1}
    assert result.refused == {}
    assert len(asked) == 1


def test_a_named_offender_costs_one_judgement_more() -> None:
    """Not one for each group."""
    asked: list[frozenset[str]] = []
    groups = {name: [a_file(name)] for name in "abcdefgh"}
    result = sort_out(groups, a_judge({"e"}, set(), True, asked))
    assert list(result.refused) == ["e"]
    assert len(asked) == 2


def test_a_checker_without_an_answer_refuses_only_the_group_it_fails_on() -> None:
    """Such as a destination that nothing leads to."""

    def judge(staged: Sequence[Staged]) -> tuple[Checked, ...] | Refused:
        if any(each.path == "/.b" for each in staged):
            raise CheckBroken("nothing leads to it")
        return tuple(Checked(each, None) for each in staged)

    result = sort_out({name: [a_file(name)] for name in "abc"}, judge)
    assert list(result.passed) == ["a", "c"]
    assert isinstance(result.refused["b"], CheckBroken)


@pytest.mark.parametrize(("fact", "count"), [({"hopeless": True}, 1), ({"about": "/g7"}, 2)])
def test_a_checker_that_says_why_it_has_no_answer_is_not_asked_in_vain(
    fact: dict[str, object], count: int
) -> None:
    """What is live is refused already: nobody passes. Nothing leads to one file: the others do."""
    asked = []

    def judge(staged: Sequence[Staged]) -> tuple[Checked, ...] | Refused:
        asked.append(len(staged))
        if "hopeless" in fact or any(each.path == "/.g7" for each in staged):
            broken = CheckBroken("no")
            for name, value in fact.items():
                setattr(broken, name, value)
            raise broken
        return tuple(Checked(each, None) for each in staged)

    groups = {f"g{number}": [a_file(f"g{number}")] for number in range(100)}
    result = sort_out(groups, judge)
    assert len(asked) == count
    assert len(result.refused) == (100 if "hopeless" in fact else 1)
    assert len(result.passed) + len(result.refused) == 100


def test_nothing_due_is_nothing_judged() -> None:
    """No call at all."""
    asked: list[frozenset[str]] = []
    assert sort_out({}, a_judge(set(), set(), True, asked)).passed == {}
    assert asked == []


@given(
    names=st.lists(st.sampled_from("abcdefg"), unique=True, min_size=1),
    bad=st.sets(st.sampled_from("abcdefg")),
    pairs=st.sets(st.frozensets(st.sampled_from("abcdefg"), min_size=2, max_size=2), max_size=4),
    named=st.booleans(),
)
def test_the_kept_set_was_judged_and_no_innocent_group_is_left_out(
    names: list[str], bad: set[str], pairs: set[frozenset[str]], named: bool
) -> None:
    """Whatever is bad, whatever clashes, and whether the checker names it or not."""
    asked: list[frozenset[str]] = []
    result = sort_out({name: [a_file(name)] for name in names}, a_judge(bad, pairs, named, asked))
    kept = set(result.passed)
    assert kept | set(result.refused) == set(names)
    assert not kept & bad
    assert not kept or frozenset(kept) in asked
    for name in set(names) - kept - bad:
        assert any(frozenset((name, other)) in pairs for other in kept), "left out for nothing"


class Service:
    """Takes what holds no bad group; `live` is what it has taken."""

    def __init__(self, bad: set[str], broken: set[str] = frozenset(), patience: int = 999) -> None:  # type: ignore[assignment]
        self.bad, self.broken, self.patience = bad, broken, patience
        self.live: set[str] = set()
        self.refusals = self.offers = 0

    def offer(self, names: Sequence[str]) -> ReapplyResult:
        self.offers += 1
        if self.offers > self.patience:
            return ReapplyResult.UNKNOWN
        good = set(names) - self.broken
        if good & self.bad:
            self.refusals += 1
            return ReapplyResult.REFUSED
        self.live |= good
        return ReapplyResult.TAKEN if len(good) == len(names) else ReapplyResult.PARTLY


NAMES = [f"g{number}" for number in range(12)]


@given(st.sets(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES)))
def test_the_offenders_of_a_refused_reload_are_found_and_the_others_are_live(
    bad: set[str], broken: set[str]
) -> None:
    """Also where some fail before the service is told; those are nobody's offence."""
    service = Service(bad, broken)
    refused = by_halves(NAMES, service.offer)
    assert service.live == set(NAMES) - bad - broken
    assert bad - broken <= set(refused) <= bad
    assert len(refused) == len(set(refused))


def test_one_offender_among_many_costs_a_few_reloads() -> None:
    """A hundred tenants, one bad key."""
    names = [f"g{number}" for number in range(100)]
    for bad in (names[0], names[50], names[99]):
        service = Service({bad})
        assert by_halves(names, service.offer) == [bad]
        assert service.offers <= 14
        assert service.live == set(names) - {bad}


def test_of_two_the_second_is_known_without_a_try() -> None:
    """Together they were refused, and the first is fine."""
    service = Service({"b"})
    assert by_halves(["a", "b"], service.offer) == ["b"]
    assert service.refusals == 0


def test_a_search_that_cannot_go_on_names_nobody_it_has_not_found() -> None:
    """The rest is innocent until it is tried again."""
    service = Service({"g1", "g9"}, patience=6)
    refused = by_halves(NAMES, service.offer)
    assert refused == ["g1"]


def test_the_group_that_is_named_for_another_ones_fault_is_kept() -> None:
    """A name that is taken twice is met in the second file, whoever has just taken it."""
    asked: list[frozenset[str]] = []

    def judge(staged: Sequence[Staged]) -> tuple[Checked, ...] | Refused:
        names = [each.path[2:] for each in staged]
        asked.append(frozenset(names))
        if "thief" not in names:
            return tuple(Checked(each, None) for each in staged)
        owner = names.index("owner") if "owner" in names else None
        return Refused(staged[owner or 0], REPORT, named=owner is not None)

    for names in (("thief", "owner", "other"), ("thief", "owner"), ("owner", "other", "thief")):
        result = sort_out({name: [a_file(name)] for name in names}, judge)
        assert list(result.passed) == [name for name in names if name != "thief"]
        assert list(result.refused) == ["thief"]
        assert frozenset(result.passed) in asked


def test_an_offender_that_is_not_named_costs_a_few_judgements() -> None:
    """A table of names that is too small is nobody's line: of 500 groups one is found in 25."""
    groups = {f"g{number}": [a_file(f"g{number}")] for number in range(500)}
    for bad in ("g0", "g250", "g499"):
        asked: list[frozenset[str]] = []
        result = sort_out(groups, a_judge({bad}, set(), False, asked))
        assert list(result.refused) == [bad]
        assert len(result.passed) == 499
        assert len(asked) <= 25


def test_what_is_tried_with_the_groups_is_left_out_when_none_of_them_is_to_blame() -> None:
    """Such as files that disappear: with them if that is fine, without them if not."""
    groups = {name: [a_file(name)] for name in "ab"}
    asked: list[frozenset[str]] = []
    judge = a_judge(set(), set(), True, asked)

    def never(staged: Sequence[Staged]) -> tuple[Checked, ...] | Refused:
        return Refused(staged[0], REPORT, named=False)

    result = sort_out(groups, judge, more=judge)
    assert (set(result.passed), result.more, len(asked)) == ({"a", "b"}, True, 1)
    for some in (groups, {"a": groups["a"]}):
        result = sort_out(some, judge, more=never)
        assert (set(result.passed), result.refused, result.more) == (set(some), {}, False)
    bad = a_judge({"b"}, set(), True, asked)
    result = sort_out(groups, bad, more=bad)
    assert (set(result.passed), set(result.refused), result.more) == ({"a"}, {"b"}, True)
