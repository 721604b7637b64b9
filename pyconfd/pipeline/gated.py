"""
A view of two revisions: some key paths as they were earlier, everything else as it is now. Pure.

Folders are shared and never changed, so a view only costs the folders on the way to its paths,
however much is below them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pyconfd.model.keys import FLEETS, KeyValue, Listed, covering, is_under
from pyconfd.model.values import dataclass
from pyconfd.pipeline.store import Child, Folder, Snapshot, Store, item_of


@dataclass(frozen=True, slots=True)
class GatedKeys:
    """
    The keys below some key paths at one revision.

    paths: none below another.
    snapshot: has at least these keys.
    digest: of all keys below them and their values.
    """

    paths: tuple[str, ...]
    snapshot: Snapshot
    digest: str

    @classmethod
    def of(cls, snapshot: Snapshot, paths: Iterable[str]) -> GatedKeys:
        """From a snapshot; reads every key below the paths."""
        covered = covering(paths)
        return cls(covered, snapshot, _digest(snapshot, covered))

    @classmethod
    def holding(cls, revision: int, keys: Sequence[KeyValue], paths: Iterable[str]) -> GatedKeys:
        """From these keys, at a revision of the store."""
        store = Store()
        store.apply(Listed("", 0, revision, tuple(keys)))
        return cls.of(store.snapshot(), paths)

    def items(self) -> tuple[KeyValue, ...]:
        """All keys below the paths."""
        return tuple(item for path in self.paths for item in self.snapshot.subtree(path))

    def differing(self, other: GatedKeys) -> tuple[str, ...]:
        """Names of the keys that differ in another version."""
        mine, others = ({item.key: item.value for item in each.items()} for each in (self, other))
        return tuple(key for key in sorted({*mine, *others}) if mine.get(key) != others.get(key))

    def over(self, live: Snapshot) -> Snapshot:
        """The live snapshot with these keys instead of its own."""
        root = live.root
        for path in self.paths:
            names = path[1:].split("/") if path != "/" else []
            found = _grafted(root, names, self.snapshot.find(path))
            root = found if type(found) is Folder else _top(found)
        fleets = live.find(FLEETS)
        if fleets and any(is_under(FLEETS, path) for path in self.paths):  # never of the past
            root = _grafted(root, FLEETS[1:].split("/"), fleets)  # type: ignore[assignment]
        return replace(live, root=root)

    def moved(self, paths: Iterable[str], live: Snapshot) -> GatedKeys:
        """
        The same for other paths: those gated before keep their keys, new ones take the live keys.
        """
        wanted = covering(paths)
        if wanted == self.paths:
            return self
        kept = [path for path in self.paths if any(is_under(path, other) for other in wanted)]
        kept += [path for path in wanted if any(is_under(path, other) for other in self.paths)]
        known = replace(self, paths=covering(kept))
        return GatedKeys.of(known.over(live), wanted)


def _digest(snapshot: Snapshot, paths: Iterable[str]) -> str:
    """
    The digest of the keys in order, each with the lengths of its parts, so that no two sets of keys
    give the same bytes.
    """
    found = hashlib.sha256()
    for path in paths:
        for item in snapshot.subtree(path):
            key = item.key.encode("utf-8", "surrogateescape")
            found.update(b"%d:%d:" % (len(key), len(item.value)))
            found.update(key)
            found.update(item.value)
    return found.hexdigest()[:16]


def _grafted(place: Child | None, names: Sequence[str], other: Child | None) -> Child | None:
    """The place with `other` at the end of the names; None if nothing is left."""
    if not names:
        return other
    if type(place) is Folder:
        folder = place.copy(object())
    else:
        folder = Folder(object(), item_of(place), {}, ordered=True)
    child = _grafted(folder.children.get(names[0]), names[1:], other)
    if child is not None:
        folder.put(names[0], child)
    elif names[0] in folder.children:
        del folder.children[names[0]]
    return folder if folder.children else folder.item


def _top(place: Child | None) -> Folder:
    return Folder(object(), item_of(place), {}, ordered=True)
