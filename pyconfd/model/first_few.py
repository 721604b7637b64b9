"""Many names on one line: the first ones, and how many more there are. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def first_few(names: Sequence[str], most: int, count: int = 0) -> str:
    """
    The first names, at most `most`; "" for none. count: how many there are, if `names` has not
    all of them.
    """
    more = max(len(names), count) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
