"""
Keeps the answers of `gets` at the last render of each resource for the next one.

When one of ten thousand keys has changed, making only its pair takes a tenth of the time of making
all pairs, which was two fifths of a pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyconfd.model.keys import KeyValue

if TYPE_CHECKING:
    from pyconfd.pipeline.render.functions.store import Pair

#: Shorter answers are not worth the memory, about 200 bytes a pair.
LEAST = 100


class PairCache:
    """
    Answers by resource and pattern. Any thread may call it.

    most: how many pairs are kept for all resources together; beyond that the cache is emptied.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], tuple[list[KeyValue], list[Pair]]] = {}
        self._count = 0

    def pairs(
        self,
        name: str,
        pattern: str,
        items: list[KeyValue],
        make: Callable[[list[KeyValue]], list[Pair]],
    ) -> list[Pair]:
        """The pairs of these items; only changed ones are made again, with `make`."""
        last = self._last.get((name, pattern))
        if last is None or len(last[0]) != len(items):
            pairs = make(items)
        else:
            were, made = last
            pairs = [
                pair if was is item else make([item])[0]
                for was, item, pair in zip(were, items, made, strict=True)
            ]
        self._keep((name, pattern), items, pairs)
        return pairs

    def _keep(self, at: tuple[str, str], items: list[KeyValue], pairs: list[Pair]) -> None:
        if len(items) < LEAST:
            return
        with self._lock:
            last = self._last.pop(at, None)
            self._count += len(items) - (len(last[0]) if last else 0)
            if self._count > self._most:
                self._last.clear()
                self._count = len(items)
            # a copy, for a template can change a list that it was given
            self._last[at] = (items, pairs.copy())
