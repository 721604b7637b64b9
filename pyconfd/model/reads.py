"""Which keys a render has read, and which keys made a version."""

from __future__ import annotations

from collections.abc import Sequence

from pyconfd.model.first_few import first_few
from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class Reads:
    """
    The keys that a render has read, as absolute key paths. Only a change of one of these can change
    the output.

    keys: single keys, whether they existed or not.
    trees: paths that a pattern or a listing was evaluated below.
    """

    keys: frozenset[str] = frozenset()
    trees: frozenset[str] = frozenset()


#: Keys that are named with a version; the others are counted.
MOST_KEYS = 20
#: The same in a line.
_IN_A_LINE = 5


@dataclass(frozen=True, slots=True)
class ChangedKeys:
    """
    The keys that differ between two versions, as far as known. Never their values.

    names: at most MOST_KEYS.
    more: how many are not named.
    """

    names: tuple[str, ...] = ()
    more: int = 0

    @classmethod
    def of(cls, names: Sequence[str]) -> ChangedKeys:
        """The first of these keys by name, and the number of the others."""
        return cls(tuple(names[:MOST_KEYS]), max(0, len(names) - MOST_KEYS))

    def line(self) -> str:
        """The first few, and how many more; "" for none."""
        return first_few(self.names, _IN_A_LINE, len(self.names) + self.more)


NO_KEYS = ChangedKeys()
