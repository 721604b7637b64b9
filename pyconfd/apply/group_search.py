"""
Finds, among groups that were refused together, those that pass without the faulty ones. Pure.

The caller passes the check in. What is kept was always checked as one set.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyconfd.errors import CheckBroken
from pyconfd.model.steps import Checked, Refused, Staged

#: Judges a set of staged files; may raise CheckBroken.
Judge = Callable[[Sequence[Staged]], tuple[Checked, ...] | Refused]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """
    The result of each group, by name. passed: the permits of those that pass together, checked as
    one set; refused: why each of the others is left out. Both in declared order. more: whether
    those that passed were checked together with the `more` of `sort_out`.
    """

    passed: Mapping[str, tuple[Checked, ...]]
    refused: Mapping[str, Refused | CheckBroken]
    more: bool = False


def sort_out(
    groups: Mapping[str, Sequence[Staged]], judge: Judge, *, more: Judge | None = None
) -> SearchResult:
    """
    Find the groups that pass together. groups: name -> its staged files, in declared order. more:
    checks them together with something else; if that is refused and no group is to blame, they are
    checked without it.

    The usual case costs one check. After a refusal the group that the checker named is left out,
    and the rest is checked again. A checker names the file in which it meets the fault; of a name
    used twice that is the second file, whichever of the two is new. So the groups left out are
    tried again on top of what passes. When the checker names none of them, the set is built up by
    halves, which is slower but always finds the faulty groups.
    """
    ask = more or judge
    left = dict(groups)
    refused: dict[str, Refused | CheckBroken] = {}
    while left:
        verdict = _judged(left, ask)
        if isinstance(verdict, tuple):
            # the one that was left out last has been judged with all that is kept
            again = [(name,) for name in groups if name in list(refused)[:-1]]
            return _build_up(groups, _Kept(left, verdict, refused), again, ask, more is not None)
        if isinstance(verdict, CheckBroken) and verdict.hopeless:
            return SearchResult({}, _in_order(groups, {**dict.fromkeys(left, verdict), **refused}))
        name = _group_of(left, verdict, alone=len(left) == 1 and more is None)
        if name is None and more:
            return sort_out(groups, judge)
        if name is None:
            parts = _halved(tuple(left)) + [(name,) for name in _in_order(groups, refused)]
            return _build_up(groups, _Kept({}, (), refused), parts, judge, False)
        refused[name] = verdict
        del left[name]
    again = [(name,) for name in groups if name in list(refused)[:-1]]
    return _build_up(groups, _Kept({}, (), refused), again, ask, more is not None)


def _halved(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [names[: len(names) // 2], names[len(names) // 2 :]]


@dataclass(slots=True)
class _Kept:
    """groups: those that pass together; permits: of the check that they passed."""

    groups: dict[str, Sequence[Staged]]
    permits: tuple[Checked, ...]
    refused: dict[str, Refused | CheckBroken]


def _build_up(
    groups: Mapping[str, Sequence[Staged]],
    kept: _Kept,
    todo: Sequence[tuple[str, ...]],
    judge: Judge,
    more: bool,
) -> SearchResult:
    """
    Try these groups, in this order, on top of what is kept; a set that does not pass is halved.
    """
    stack = list(reversed(todo))
    while stack:
        names = stack.pop()
        larger = {**kept.groups, **{name: groups[name] for name in names}}
        verdict = _judged(larger, judge)
        if isinstance(verdict, tuple):
            kept.groups, kept.permits = larger, verdict
            for name in names:
                kept.refused.pop(name, None)
        elif len(names) == 1:
            kept.refused[names[0]] = verdict
        else:
            stack += reversed(_halved(names))
    passed = _by_group(kept.groups, kept.permits)
    return SearchResult(
        {name: passed[name] for name in groups if name in passed},
        _in_order(groups, kept.refused),
        more and bool(passed),
    )


def _judged(
    groups: Mapping[str, Sequence[Staged]], judge: Judge
) -> tuple[Checked, ...] | Refused | CheckBroken:
    try:
        return judge([staged for group in groups.values() for staged in group])
    except CheckBroken as broken:
        return broken


def _group_of(
    groups: Mapping[str, Sequence[Staged]], verdict: Refused | CheckBroken, *, alone: bool
) -> str | None:
    """The group that the verdict names; if it names none, the only one there is (`alone`)."""
    if isinstance(verdict, CheckBroken):
        about = (n for n, files in groups.items() if any(_dest(f) == verdict.about for f in files))
        return next(about, next(iter(groups)) if alone else None)
    if not (verdict.named or alone):
        return None
    return next(
        name for name, staged in groups.items() if any(each is verdict.staged for each in staged)
    )


def _dest(staged: Staged) -> str:
    return staged.rendered.resource.dest


def _by_group(
    groups: Mapping[str, Sequence[Staged]], permits: tuple[Checked, ...]
) -> dict[str, tuple[Checked, ...]]:
    permit_of = {id(permit.staged): permit for permit in permits}
    return {
        name: tuple(permit_of[id(each)] for each in staged if id(each) in permit_of)
        for name, staged in groups.items()
    }


def _in_order(
    groups: Mapping[str, Sequence[Staged]], refused: Mapping[str, Refused | CheckBroken]
) -> dict[str, Refused | CheckBroken]:
    return {name: refused[name] for name in groups if name in refused}


class ReapplyResult(enum.Enum):
    """
    What became of groups that were put live together: the service accepted all; or some, because
    others had failed before; or refused them, and all is as before; or it is unknown.
    """

    TAKEN = enum.auto()
    PARTLY = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN = enum.auto()


def by_halves(names: Sequence[str], offer: Callable[[Sequence[str]], ReapplyResult]) -> list[str]:
    """
    Which of these groups, refused together by the service and rolled back, it refuses on their own.
    offer: puts some of them live beside the live ones, and keeps those that are accepted.

    One faulty group among n costs about two offers for each doubling of n. The search ends early,
    with the groups found so far, when an offer has no result.
    """
    refused: list[str] = []
    todo = [(tuple(names), True)]
    while todo:
        some, known = todo.pop()
        if not known:
            answer = offer(some)
            if answer is ReapplyResult.UNKNOWN:
                return refused
            if answer is not ReapplyResult.REFUSED:
                continue
        if len(some) == 1:
            refused.append(some[0])
            continue
        first, rest = some[: len(some) // 2], some[len(some) // 2 :]
        answer = offer(first)
        if answer is ReapplyResult.UNKNOWN:
            return refused
        # All of them were refused on top of the same: where the first are fine, the rest is not.
        todo.append((rest, answer is ReapplyResult.TAKEN))
        if answer is ReapplyResult.REFUSED:
            todo.append((first, True))
    return refused
