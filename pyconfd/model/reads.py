"""What a render has asked the store for."""

from __future__ import annotations

from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class Reads:
    """
    What a render asked the store for, as absolute key paths. Only a change to one of these can
    change the output.

    keys: single keys, whether they existed or not.
    trees: paths that a pattern or a listing was evaluated below.
    """

    keys: frozenset[str] = frozenset()
    trees: frozenset[str] = frozenset()
