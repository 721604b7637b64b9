"""
What one resource sees of a snapshot, and what it has read. Pure.

Templates use paths below the resource's prefix; everything outside the resource's `keys` does not
exist for them. Each read is recorded as an absolute path, so that only a change that can alter the
result makes the resource render again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from pyconfd.model.keys import KeyValue, covering, is_under, key_path
from pyconfd.model.reads import Reads
from pyconfd.pipeline.render.key_glob import KeyPattern, key_pattern
from pyconfd.pipeline.store import Child, Folder, Snapshot, item_of, keys_below

# Which names may be entered, as a trie of the resource's keys; None is "everything from here".
Scope: TypeAlias = "dict[str, Scope] | None"
_Place = tuple[Child, Scope]


class View:
    """
    One resource's window on a snapshot, for one render.

    prefix and keys: as in Resource. Paths given and returned are the template's, below prefix.
    Not to be shared between threads, because it records.
    """

    __slots__ = (
        "_below",
        "_cut",
        "_folder",
        "_keys",
        "_parent",
        "_paths",
        "_prefix",
        "_scope",
        "_trees",
        "snapshot",
    )

    def __init__(self, snapshot: Snapshot, prefix: str, keys: Iterable[str]) -> None:
        self.snapshot = snapshot
        self._prefix = prefix
        self._cut = 0 if prefix == "/" else len(prefix)
        paths = covering(map(key_path, keys))
        self._scope = _scope(paths)
        self._paths = frozenset(paths)
        self._below = tuple(path if path == "/" else path + "/" for path in paths)
        # Where the last single key was looked for: loops ask for neighbours.
        self._parent = ""
        self._folder: Child | None = snapshot.root
        self._keys: set[str] = set()
        self._trees: set[str] = set()

    @property
    def reads(self) -> Reads:
        """What was read so far."""
        return Reads(keys=frozenset(self._keys), trees=frozenset(self._trees))

    def read(self) -> Iterator[KeyValue]:
        """The keys that were read so far, with their values, in order of key and tree."""
        for key in sorted(self._keys):
            if item := self.snapshot.get(key):
                yield item
        for tree in sorted(self._trees):
            yield from self.snapshot.subtree(tree)

    def local(self, item: KeyValue) -> str:
        """The key as the template knows it."""
        return item.key[self._cut :] or "/"

    @property
    def cut(self) -> int:
        """How many characters of a key belong to the prefix."""
        return self._cut

    def absolute(self, path: str) -> str:
        """The absolute path of a template's path."""
        if not self._cut:
            return path
        return self._prefix if path == "/" else self._prefix + path

    def slashless(self, path: str) -> str:
        """The path without its leading slash if the store has such keys below it; else ""."""
        absolute = key_path(self.absolute(path))
        if any(is_under(absolute, one) for one in self.snapshot.slashless):
            return absolute.removeprefix("/") or "keys"
        return ""

    def allows(self, key: str) -> bool:
        """Whether the resource may read this key, existing or not."""
        return key.startswith(self._below) or key in self._paths

    def covers(self, path: str) -> bool:
        """Whether the resource may read something at or below this path, or on the way to it."""
        return path.startswith("/") and _scope_at(self._scope, _steps(key_path(path))) != {}

    def get(self, key: str) -> KeyValue | None:
        """
        The key of exactly this spelling, None when it does not exist or may not be read.

        As in confd, "app/x" and "/app//x" are not spellings of "/app/x".
        """
        if not self.allows(key):
            return None
        absolute = self.absolute(key)
        self._keys.add(absolute)
        parent, _, name = absolute.rpartition("/")
        if not name:
            return self.snapshot.get(absolute) if absolute == "/" else None
        if parent != self._parent:
            self._folder = self.snapshot.find(parent or "/")
            self._parent = parent
        folder = self._folder
        return item_of(folder.children.get(name)) if type(folder) is Folder else None

    def matching(self, pattern: str) -> list[KeyValue]:
        """Keys that match a pattern as Go's path.Match has it, sorted by key. Raises BadPattern."""
        compiled = key_pattern(pattern)
        if compiled is None:
            return []
        if compiled.exact:
            item = self.get(pattern if not compiled.literal else "/" + "/".join(compiled.literal))
            return [item] if item else []
        self._read_tree("/" + "/".join(compiled.literal))
        place = self._find(compiled.literal)
        if place is None:
            return []
        if compiled.crossing:
            return self._crossing(place, compiled)
        return _walk(place, compiled.rest)

    def names(self, path: str, *, folders: bool = False) -> list[str]:
        """
        Names directly below `path`, sorted: all, or only those that have something below them.

        Any spelling of the path will do. As in confd, a path that is itself a key lists its own
        last name too; unlike confd, "/" lists the folders at the top.
        """
        path = key_path(path)
        self._read_tree(path)
        steps = _steps(path)
        place = self._find(steps)
        if place is None:
            return []
        found = [name for name, child in _children(place) if not folders or _deep(child)]
        if not folders and steps and place[1] is None and item_of(place[0]) is not None:
            return sorted({*found, steps[-1]})
        return found

    def _find(self, steps: Iterable[str]) -> _Place | None:
        """The place below the prefix, None when nothing is there that may be read."""
        top = self.snapshot.find(self._prefix)
        if top is None or self._scope == {}:
            return None
        place: _Place = (top, self._scope)
        for step in steps:
            child = _enter(place, step)
            if child is None:
                return None
            place = child
        return place

    def _read_tree(self, path: str) -> None:
        """Record a look below `path`, narrowed to what may be read there."""
        scope = _scope_at(self._scope, _steps(path))
        self._trees.update(map(self.absolute, _paths(scope, path)))

    def _crossing(self, place: _Place, pattern: KeyPattern) -> list[KeyValue]:
        match = pattern.whole.fullmatch
        found = [item for item in _visible(place) if match(self.local(item))]
        return sorted(found, key=_by_key)


def _by_key(item: KeyValue) -> str:
    return item.key


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path[1:].split("/")) if path != "/" else ()


def _scope(paths: tuple[str, ...]) -> Scope:
    """Key paths, none below another, as a trie that ends in None."""
    top: dict[str, Scope] = {}
    for path in paths:
        steps = _steps(path)
        if not steps:
            return None
        level = top
        for step in steps[:-1]:
            below = level.setdefault(step, {})
            assert below is not None, "no path lies below another"  # noqa: S101
            level = below
        level[steps[-1]] = None
    return top


def _scope_at(scope: Scope, steps: Iterable[str]) -> Scope:
    """The part of a scope at and below a place; {} if nothing may be read there."""
    for step in steps:
        if scope is None:
            return None
        scope = scope.get(step, {})
    return scope


def _paths(scope: Scope, path: str) -> Iterator[str]:
    """The trees of a scope at `path`."""
    if scope is None:
        yield path
        return
    for name, below in scope.items():
        yield from _paths(below, f"{path}/{name}" if path != "/" else f"/{name}")


def _enter(place: _Place, name: str) -> _Place | None:
    """The child `name` of a place, None when it is not there or may not be entered."""
    here, scope = place
    if type(here) is not Folder or (scope is not None and name not in scope):
        return None
    child = here.children.get(name)
    return None if child is None else (child, None if scope is None else scope[name])


def _children(place: _Place) -> Iterable[tuple[str, _Place]]:
    """The children with visible keys, sorted by name."""
    here, scope = place
    if type(here) is not Folder:
        return
    if scope is None:
        for name, child in here.ordered().items():
            yield name, (child, None)
        return
    for name in sorted(scope.keys() & here.children.keys()):
        below = (here.children[name], scope[name])
        if next(_visible(below), None) is not None:
            yield name, below


def _deep(place: _Place) -> bool:
    return next(iter(_children(place)), None) is not None


def _visible(place: _Place) -> Iterator[KeyValue]:
    """Every key at and below a place that may be read."""
    here, scope = place
    if scope is None:
        yield from keys_below(here)
        return
    for _, child in _children(place):
        yield from _visible(child)


def _walk(place: _Place, rest: tuple[str | re.Pattern[str], ...]) -> list[KeyValue]:
    """The keys `rest` levels below a place whose names match, level by level."""
    places = [place]
    for step in rest[:-1]:
        places = [child for here in places for child in _matching(here, step)]
    found: list[KeyValue] = []
    for here in places:
        found.extend(_items(here, rest[-1]))
    if len(places) > 1:  # "/a-b" sorts before "/a/b" as a key but not level by level
        found.sort(key=_by_key)
    return found


def _matching(place: _Place, step: str | re.Pattern[str]) -> list[_Place]:
    if isinstance(step, str):
        child = _enter(place, step)
        return [child] if child else []
    match = step.fullmatch
    return [child for name, child in _children(place) if match(name)]


def _items(place: _Place, step: str | re.Pattern[str]) -> Iterator[KeyValue]:
    """The keys, not the folders, directly below a place whose names match."""
    here, scope = place
    if type(here) is not Folder or scope is not None or isinstance(step, str):
        yield from _scoped_items(place, step)
        return
    children = here.ordered()
    match = step.fullmatch
    every = step.pattern == "[^/]*"
    for name, child in children.items():
        if every or match(name):
            if type(child) is KeyValue:
                yield child
            elif child.item is not None:  # type: ignore[union-attr]
                yield child.item  # type: ignore[union-attr]


def _scoped_items(place: _Place, step: str | re.Pattern[str]) -> Iterator[KeyValue]:
    for child, scope in _matching(place, step):
        item = item_of(child)
        if item is not None and scope is None:
            yield item
