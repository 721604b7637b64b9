"""
Which resources a change can alter: only those that have read the key. Pure.
"""

from __future__ import annotations

import builtins
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from pyconfd.model.reads import Reads

NOTHING = Reads()

Name = TypeVar("Name", bound=Hashable)


class ReadIndex(Generic[Name]):
    """
    From key paths to the names of the resources that read them.

    Before its first render a resource counts as reading everything it may: set it to
    `Reads(trees=frozenset(resource.watched))`. An answer costs the depth of the changed keys
    and the resources found, however many others there are. One thread owns it.
    """

    def __init__(self) -> None:
        self._reads: dict[Name, Reads] = {}
        self._by_key: dict[str, set[Name]] = {}
        self._by_tree: dict[str, set[Name]] = {}

    def set(self, name: Name, reads: Reads) -> None:
        """Note that `name` now reads this and nothing else."""
        before = self._reads.get(name, NOTHING)
        if reads == before:
            self._reads[name] = before
            return
        self._reads[name] = reads
        _move(self._by_key, name, before.keys, reads.keys)
        _move(self._by_tree, name, before.trees, reads.trees)

    def drop(self, name: Name) -> None:
        """Forget a resource; nothing happens when it is not known."""
        if name in self._reads:
            self.set(name, NOTHING)
            del self._reads[name]

    def reads(self, name: Name) -> Reads:
        """What `name` reads; nothing when it is not known."""
        return self._reads.get(name, NOTHING)

    def affected(self, changed: Iterable[str]) -> builtins.set[Name]:
        """Names of the resources that read any of the changed keys."""
        names: builtins.set[Name] = set()
        seen: builtins.set[str] = set()
        by_key, by_tree = self._by_key, self._by_tree
        for key in changed:
            if key in by_key:
                names |= by_key[key]
            if key in by_tree:
                names |= by_tree[key]
            folder = key.rpartition("/")[0] or "/"
            while folder not in seen:  # ten thousand members of one folder walk up once
                seen.add(folder)
                if folder in by_tree:
                    names |= by_tree[folder]
                folder = folder.rpartition("/")[0] or "/"
        return names


def _move(
    index: dict[str, set[Name]], name: Name, before: frozenset[str], after: frozenset[str]
) -> None:
    """Remove `name` where it no longer reads, and add it where it now does."""
    for path in before - after:
        readers = index[path]
        readers.discard(name)
        if not readers:
            del index[path]
    for path in after - before:
        index.setdefault(path, set()).add(name)
