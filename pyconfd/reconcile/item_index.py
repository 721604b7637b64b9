"""
Which names of a resource with `each` a change can alter. Pure.

A change below a name alters the file of that name alone, even if it is the first key of a new name
or the last key of a name. What a file reads elsewhere counts as for any resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyconfd.model.reads import Reads
from pyconfd.reconcile.read_index import NOTHING, ReadIndex


class ItemIndex:
    """
    From key paths to the names below the folders of patterns. An answer costs the depth of the
    changed keys and the names found. One thread owns it.
    """

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._patterns: dict[str, set[str]] = {}
        self._reads: dict[str, dict[str, Reads]] = {}
        self._elsewhere: ReadIndex[tuple[str, str]] = ReadIndex()

    def declare(self, pattern: str, folder: str) -> None:
        """A resource makes a file for each name directly below this key path."""
        self.drop(pattern)
        self._folders[pattern] = folder
        self._patterns.setdefault(folder, set()).add(pattern)
        self._reads[pattern] = {}

    def drop(self, pattern: str) -> None:
        """Forget a pattern; nothing happens when it is not known."""
        folder = self._folders.pop(pattern, None)
        if folder is None:
            return
        self._patterns[folder].discard(pattern)
        if not self._patterns[folder]:
            del self._patterns[folder]
        for name in self._reads.pop(pattern):
            self._elsewhere.drop((pattern, name))

    def note(self, pattern: str, reads: Mapping[str, Reads]) -> None:
        """From now on these names of a pattern read this and nothing else."""
        own = f"{self._folders[pattern].rstrip('/')}/"
        known = self._reads[pattern]
        for name, found in reads.items():
            if found == NOTHING:
                self._forget(pattern, name)
                continue
            known[name] = found
            elsewhere = _but(own + name, found)
            if elsewhere == NOTHING:
                self._elsewhere.drop((pattern, name))
            else:
                self._elsewhere.set((pattern, name), elsewhere)

    def replace(self, pattern: str, reads: Mapping[str, Reads]) -> None:
        """Like `note`, but these are all names of the pattern."""
        for name in self._reads[pattern].keys() - reads.keys():
            self._forget(pattern, name)
        self.note(pattern, reads)

    def _forget(self, pattern: str, name: str) -> None:
        self._reads[pattern].pop(name, None)
        self._elsewhere.drop((pattern, name))

    def reads(self, pattern: str) -> Mapping[str, Reads]:
        """What the names of a pattern have read; nothing for any other resource."""
        return self._reads.get(pattern, {})

    def affected(self, changed: Iterable[str]) -> dict[str, set[str]]:
        """Pattern -> its names, known and new, that a change may concern."""
        found: dict[str, set[str]] = {}
        if not self._folders:
            return found
        seen: set[str] = set()
        keys = tuple(changed)
        for key in keys:
            path = key
            while path not in seen and path != "/":
                seen.add(path)
                folder, _, name = path.rpartition("/")
                for pattern in self._patterns.get(folder or "/", ()):
                    found.setdefault(pattern, set()).add(name)
                path = folder or "/"
        for pattern, name in self._elsewhere.affected(keys):
            found.setdefault(pattern, set()).add(name)
        return found


def _but(path: str, reads: Reads) -> Reads:
    """The reads that are not at or below a path."""
    below = f"{path}/"

    def outside(paths: frozenset[str]) -> frozenset[str]:
        return frozenset(each for each in paths if each != path and not each.startswith(below))

    return Reads(outside(reads.keys), outside(reads.trees))
