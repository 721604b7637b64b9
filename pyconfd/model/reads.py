"""What a render has asked the store for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reads:
    """
    What a render asked the store for, as absolute key paths.

    keys: single keys, whether they existed or not. trees: paths below which a pattern or a
    listing looked. Only a change to one of these can change the output.
    """

    keys: frozenset[str] = frozenset()
    trees: frozenset[str] = frozenset()
