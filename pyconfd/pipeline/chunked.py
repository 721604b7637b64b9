"""
The children of a large folder in chunks, so that the next snapshot copies only one chunk. Pure.

A dictionary of 400,000 children takes 40 ms to copy; a list of 800 chunks and one chunk of 500
take 0.02 ms. Chunks are in the order of their names, so a walk needs no sorting, and bisection
finds a child. `immutables.Map` has the order of its hashes: each walk would sort.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TypeVar

V = TypeVar("V")

#: Children of one chunk when it is made; one that has twice as many is split.
CHUNK = 512


class _Chunk(dict[str, V]):
    """Children whose names are next to each other. in_order: whether they are sorted."""

    __slots__ = ("in_order",)

    def __init__(self, children: Mapping[str, V], *, in_order: bool) -> None:
        super().__init__(children)
        self.in_order = in_order

    def sorted(self) -> _Chunk[V]:
        """The same children sorted by name."""
        return self if self.in_order else _Chunk(dict(sorted(self.items())), in_order=True)


class ChunkedMap(MutableMapping[str, V]):
    """
    A mapping that iterates sorted by name, bytewise, and whose `copy` is cheap.

    After `copy` the original must not be changed. Any thread may read it; if two sort a chunk at
    once, both store the same result.
    """

    __slots__ = ("_chunks", "_firsts", "_own", "_size")

    def __init__(self, children: Mapping[str, V]) -> None:
        """children: sorted by name."""
        items = list(children.items())
        parts = [items[at : at + CHUNK] for at in range(0, len(items), CHUNK)]
        self._chunks = [_Chunk(dict(part), in_order=True) for part in parts]
        #: A name for each chunk that is not above any of its own; the first is below all names.
        self._firsts = ["", *(part[0][0] for part in parts[1:])] if parts else []
        self._own = set(map(id, self._chunks))
        self._size = len(items)

    def copy(self) -> ChunkedMap[V]:
        """A map of the same children; chunks are copied when they are changed."""
        other: ChunkedMap[V] = object.__new__(ChunkedMap)
        other._chunks = self._chunks.copy()
        other._firsts = self._firsts.copy()
        other._own = set()
        other._size = self._size
        return other

    def get(self, name: str, default: V | None = None) -> V | None:  # type: ignore[override]
        """The child of this name."""
        chunks = self._chunks
        return (
            chunks[bisect_right(self._firsts, name) - 1].get(name, default) if chunks else default
        )

    def __getitem__(self, name: str) -> V:
        if not self._chunks:
            raise KeyError(name)
        return self._chunks[bisect_right(self._firsts, name) - 1][name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[str]:
        for at in range(len(self._chunks)):
            yield from self._sorted_chunk(at)

    def values(self) -> Iterator[V]:  # type: ignore[override]
        """All children in the order of their names."""
        for at in range(len(self._chunks)):
            yield from self._sorted_chunk(at).values()

    def items(self) -> Iterator[tuple[str, V]]:  # type: ignore[override]
        """All names and children in the order of the names."""
        for at in range(len(self._chunks)):
            yield from self._sorted_chunk(at).items()

    def __setitem__(self, name: str, child: V) -> None:
        if not self._chunks:
            self._chunks, self._firsts = [_Chunk({}, in_order=True)], [""]
        at = bisect_right(self._firsts, name) - 1
        chunk = self._own_chunk(at)
        if name not in chunk:
            self._size += 1
            chunk.in_order = chunk.in_order and (not chunk or name > next(reversed(chunk)))
        chunk[name] = child
        if len(chunk) > 2 * CHUNK:
            self._split(at)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        at = bisect_right(self._firsts, name) - 1
        chunk = self._own_chunk(at)
        del chunk[name]
        self._size -= 1
        if not chunk:
            self._own.discard(id(chunk))
            del self._chunks[at], self._firsts[at]
            if self._firsts:
                self._firsts[0] = ""

    def apart(self, other: ChunkedMap[V]) -> tuple[dict[str, V], dict[str, V]]:
        """
        The children of both maps without the chunks that they share. A shared chunk has every name
        between two others, so only the remaining children have to be compared.
        """
        mine, theirs = self._by_id(), other._by_id()
        return (
            _together(mine[each] for each in mine.keys() - theirs.keys()),
            _together(theirs[each] for each in theirs.keys() - mine.keys()),
        )

    def _by_id(self) -> dict[int, _Chunk[V]]:
        return dict(zip(map(id, self._chunks), self._chunks, strict=True))

    def _sorted_chunk(self, at: int) -> _Chunk[V]:
        chunk = self._chunks[at]
        if not chunk.in_order:
            owned = id(chunk) in self._own
            chunk = self._chunks[at] = chunk.sorted()
            if owned:
                self._own.add(id(chunk))
        return chunk

    def _own_chunk(self, at: int) -> _Chunk[V]:
        chunk = self._chunks[at]
        if id(chunk) not in self._own:
            chunk = self._chunks[at] = _Chunk(chunk, in_order=chunk.in_order)
            self._own.add(id(chunk))
        return chunk

    def _split(self, at: int) -> None:
        """Split a chunk into two of half its size."""
        chunk = self._chunks[at].sorted()
        items = list(chunk.items())
        halves = [dict(items[: len(items) // 2]), dict(items[len(items) // 2 :])]
        self._own.discard(id(self._chunks[at]))
        self._chunks[at : at + 1] = [_Chunk(half, in_order=True) for half in halves]
        self._firsts.insert(at + 1, next(iter(halves[1])))
        self._own.update(map(id, self._chunks[at : at + 2]))


def _together(chunks: Iterable[_Chunk[V]]) -> dict[str, V]:
    found: dict[str, V] = {}
    for chunk in chunks:
        found.update(chunk)
    return found
