"""What was changed by hand while a daemon runs: what is that, and how it is kept. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, Self, TypeVar


class _RunState(Protocol):
    """A part of a daemon as it runs, or as a version of the file has it."""

    def differs(self, other: Self) -> str:
        """What is otherwise than in the other, in words; "" for nothing."""


_Key = TypeVar("_Key")
_State = TypeVar("_State", bound=_RunState)


def by_hand(
    running: Mapping[_Key, _State], versions: Sequence[Mapping[_Key, _State]]
) -> dict[_Key, _State]:
    """
    What runs otherwise than in any of these versions of the file: those since the last reload, what
    is live last. A human, or another program, has changed it.
    """
    return {
        key: state
        for key, state in running.items()
        if all(key in one and state.differs(one[key]) for one in versions)
    }


def adopted(
    hand: Mapping[_Key, _State],
    versions: Sequence[Mapping[_Key, _State]],
    settings: Callable[[_State], Iterable[tuple[str, ...]]],
) -> dict[_Key, _State]:
    """
    The last version, with what was changed by hand and the versions agree about. settings: the
    fields of a state that are changed together.
    """
    result = dict(versions[-1])
    for key, state in hand.items():
        before, now = [one[key] for one in versions], result[key]
        for fields in settings(now):
            if all(getattr(one, each) == getattr(now, each) for one in before for each in fields):
                kept = {each: getattr(state, each) for each in fields}
                result[key] = replace(result[key], **kept)  # type: ignore[type-var]
    return result
