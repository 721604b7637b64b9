"""
Go's sort.Sort, which is not stable: which of two equal elements comes first is part of what a
template gives. After sort/zsortinterface.go (pattern-defeating quicksort); in place. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SHORT = 12
_SHORTEST_NINTHER = 50
_MOST_SWAPS = 12
_MOST_SHIFTS = 5
_MASK = (1 << 64) - 1


def sort(items: list[Any], key: Callable[[Any], int]) -> None:
    """Put the items in order of a number of each."""
    if len(items) <= _SHORT:
        items.sort(key=key)  # insertion sort, as which this is stable
        return
    _Sort(items, key).run(0, len(items), len(items).bit_length())


class _Sort:
    def __init__(self, items: list[Any], key: Callable[[Any], int]) -> None:
        self._items = items
        self._keys = [key(item) for item in items]

    def _less(self, i: int, j: int) -> bool:
        return self._keys[i] < self._keys[j]

    def _swap(self, i: int, j: int) -> None:
        for row in (self._items, self._keys):
            row[i], row[j] = row[j], row[i]

    def run(self, a: int, b: int, limit: int) -> None:
        """Sort items a to b; limit: how many bad pivots until it is done by heap."""
        balanced = partitioned = True
        while b - a > _SHORT:
            length = b - a
            if limit == 0:
                self._heap_sort(a, b)
                return
            if not balanced:
                self._break_patterns(a, b)
                limit -= 1
            pivot, swaps = self._choose_pivot(a, b)
            if swaps == _MOST_SWAPS:
                self._items[a:b] = self._items[a:b][::-1]
                self._keys[a:b] = self._keys[a:b][::-1]
                pivot, swaps = (b - 1) - (pivot - a), 0
            if balanced and partitioned and swaps == 0 and self._nearly_sorted(a, b):
                return
            if a > 0 and not self._less(a - 1, pivot):
                a = self._partition_equal(a, b, pivot)
                continue
            mid, partitioned = self._partition(a, b, pivot)
            balanced = min(mid - a, b - mid) >= length // 8
            if mid - a < b - mid:
                self.run(a, mid, limit)
                a = mid + 1
            else:
                self.run(mid + 1, b, limit)
                b = mid
        self._insertion_sort(a, b)

    def _insertion_sort(self, a: int, b: int) -> None:
        for i in range(a + 1, b):
            self._sink(i, a)

    def _sink(self, i: int, least: int) -> None:
        while i > least and self._less(i, i - 1):
            self._swap(i, i - 1)
            i -= 1

    def _heap_sort(self, a: int, b: int) -> None:
        length = b - a
        for root in range((length - 1) // 2, -1, -1):
            self._sift_down(root, length, a)
        for end in range(length - 1, -1, -1):
            self._swap(a, a + end)
            self._sift_down(0, end, a)

    def _sift_down(self, root: int, end: int, first: int) -> None:
        while (child := 2 * root + 1) < end:
            if child + 1 < end and self._less(first + child, first + child + 1):
                child += 1
            if not self._less(first + root, first + child):
                return
            self._swap(first + root, first + child)
            root = child

    def _partition(self, a: int, b: int, pivot: int) -> tuple[int, bool]:
        """Less than the pivot to its left; where it is then, and whether it was so before."""
        self._swap(a, pivot)
        i, j = self._inwards(a, a + 1, b - 1)
        if i > j:
            self._swap(j, a)
            return j, True
        while i <= j:
            self._swap(i, j)
            i, j = self._inwards(a, i + 1, j - 1)
        self._swap(j, a)
        return j, False

    def _inwards(self, pivot: int, i: int, j: int) -> tuple[int, int]:
        while i <= j and self._less(i, pivot):
            i += 1
        while i <= j and not self._less(j, pivot):
            j -= 1
        return i, j

    def _partition_equal(self, a: int, b: int, pivot: int) -> int:
        """What equals the pivot to the left; where the rest begins."""
        self._swap(a, pivot)
        i, j = a + 1, b - 1
        while True:
            while i <= j and not self._less(a, i):
                i += 1
            while i <= j and self._less(a, j):
                j -= 1
            if i > j:
                return i
            self._swap(i, j)
            i, j = i + 1, j - 1

    def _nearly_sorted(self, a: int, b: int) -> bool:
        """Mend a few elements that are out of order; whether that was all."""
        i = a + 1
        for _ in range(_MOST_SHIFTS):
            while i < b and not self._less(i, i - 1):
                i += 1
            if i == b:
                return True
            if b - a < _SHORTEST_NINTHER:
                return False
            self._swap(i, i - 1)
            if i - a >= 2:
                self._sink(i - 1, 0)
            if b - i >= 2:
                self._rise(i + 1, b)
        return False

    def _rise(self, i: int, end: int) -> None:
        while i < end and self._less(i, i - 1):
            self._swap(i, i - 1)
            i += 1

    def _break_patterns(self, a: int, b: int) -> None:
        length = b - a
        random = length
        middle = a + length // 4 * 2
        for place in range(middle - 1, middle + 2):
            random = (random ^ random << 13) & _MASK
            random ^= random >> 7
            random = (random ^ random << 17) & _MASK
            other = random & ((1 << length.bit_length()) - 1)
            self._swap(place, a + (other - length if other >= length else other))

    def _choose_pivot(self, a: int, b: int) -> tuple[int, int]:
        """A pivot, and how many of the elements looked at were out of order."""
        quarter = (b - a) // 4
        swaps = 0
        places = [a + quarter, a + quarter * 2, a + quarter * 3]
        if b - a >= _SHORTEST_NINTHER:
            for number, place in enumerate(places):
                places[number], more = self._median(place - 1, place, place + 1)
                swaps += more
        pivot, more = self._median(*places)
        return pivot, swaps + more

    def _median(self, a: int, b: int, c: int) -> tuple[int, int]:
        swaps = 0
        if self._less(b, a):
            a, b, swaps = b, a, swaps + 1
        if self._less(c, b):
            b, c, swaps = c, b, swaps + 1
        if self._less(b, a):
            a, b, swaps = b, a, swaps + 1
        return b, swaps
