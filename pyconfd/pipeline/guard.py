"""
Guards: whether a change is too suspicious to act on. Pure.

A store that was wiped, restored empty or read with a wrong prefix looks like an order to remove
every backend. A guard compares the keys of a resource with those of its last good version, and
holds the change back when too many are gone at once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from itertools import islice

from pyconfd.model.keys import covering, join_paths
from pyconfd.model.resources import Resource
from pyconfd.model.values import dataclass
from pyconfd.pipeline.store import (
    Child,
    Folder,
    Snapshot,
    different_children,
    gone_and_new,
    keys_below,
)


class GuardKind(enum.StrEnum):
    """The guards, by their keys in a resource file."""

    REQUIRE = "require"
    MIN_KEYS = "min_keys"
    ALLOW_EMPTY = "allow_empty"
    MAX_SHRINK = "max_shrink"


@dataclass(frozen=True, slots=True)
class Objection:
    """guard: the one that objects. text: why, one line."""

    guard: GuardKind
    text: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """
    What the last good version was made from.

    snapshot: None when only the number of keys is known, which an earlier run has stored.
    count: how many keys it had; None: not counted yet.
    """

    snapshot: Snapshot | None = None
    count: int | None = None

    def counted(self, resource: Resource) -> Baseline:
        """The same baseline with its number of keys."""
        if self.snapshot is None or self.count is not None:
            return self
        return Baseline(self.snapshot, _number(resource, self.snapshot))

    def number(self, resource: Resource) -> int:
        """How many keys it had."""
        return self.counted(resource).count or 0

    def followed_by(self, resource: Resource, snapshot: Snapshot) -> Baseline:
        """
        The baseline of this snapshot; its number follows from the difference, if one is known.
        """
        if self.snapshot is None or self.count is None:
            return Baseline(snapshot)
        gone, new = _difference(resource, self.snapshot, snapshot)
        return Baseline(snapshot, self.count - gone + new)

    def any(self, resource: Resource) -> bool:
        """Whether it had any key."""
        return _any(resource, self.snapshot) if self.snapshot else bool(self.count)


def objection(resource: Resource, good: Baseline | None, snapshot: Snapshot) -> Objection | None:
    """
    Why the change should be held back; None when no guard objects.

    good: None when there was no good version yet; then only `min_keys` and `require` count.
    """
    guard = resource.guard
    for path in guard.require:
        if snapshot.find(join_paths(resource.prefix, path)) is None:
            return Objection(GuardKind.REQUIRE, f"{path} is required and does not exist")
    if guard.min_keys and (count := _number(resource, snapshot, good)) < guard.min_keys:
        text = f"{count} key{'s' * (count != 1)}, fewer than min_keys = {guard.min_keys}"
        return Objection(GuardKind.MIN_KEYS, text)
    if good is None or not good.any(resource):
        return None
    if not guard.allow_empty and not _any(resource, snapshot):
        count = good.number(resource)
        return _empty(f"all {count} keys are gone" if count != 1 else "the only key is gone")
    return _shrunk(resource, good, snapshot) if guard.max_shrink < 1 else None


def unknown_loss(resource: Resource, snapshot: Snapshot) -> Objection | None:
    """
    The objection to a change of a live file without a known good version, for instance after a loss
    of
    the state folder: if there is no key at all, the store may have been emptied.
    """
    if resource.guard.allow_empty or not resource.keys or _any(resource, snapshot):
        return None
    return _empty("there is no key, and what the live file was made of is not known")


def all_gone(resource: Resource, made: int, snapshot: Snapshot) -> Objection | None:
    """
    The objection for a pattern that has made files: no name is left, whatever other keys it reads.
    """
    if resource.guard.allow_empty or not (resource.each and made):
        return None
    if snapshot.has_children(join_paths(resource.prefix, resource.each)):
        return None
    return _empty(f"all {made} files would go")


def _empty(text: str) -> Objection:
    return Objection(GuardKind.ALLOW_EMPTY, text)


def _shrunk(resource: Resource, good: Baseline, snapshot: Snapshot) -> Objection | None:
    """
    The objection when too many keys are gone at once; by number alone if their names are not known.
    """
    share = resource.guard.max_shrink
    if good.snapshot is None:
        count = good.number(resource)
        gone = max(count - _number(resource, snapshot), 0)
        return _too_many(resource, gone, count) if gone > share * count else None
    gone, _ = _difference(resource, good.snapshot, snapshot)
    if gone and gone > share * (count := good.number(resource)):
        return _too_many(resource, gone, count)
    for path, had, has in _folders(resource, good.snapshot, snapshot):
        gone, _ = gone_and_new(had, has)
        most = int(gone / share) + 1 if share else None  # with so many it is no objection
        if gone and gone > share * (count := _keys_in(had, most)) and count > 1:  # one may leave
            return _too_many(resource, gone, count, f" below {path}")
    return None


def _too_many(resource: Resource, gone: int, count: int, where: str = "") -> Objection:
    share = f"{resource.guard.max_shrink:.0%}"
    text = f"{gone} of {count} keys{where} are gone at once, more than max_shrink = {share}"
    return Objection(GuardKind.MAX_SHRINK, text)


def _folders(
    resource: Resource, before: Snapshot, now: Snapshot
) -> Iterator[tuple[str, Child, Child | None]]:
    """
    The changed folders of `shrink_in`, as they were and as they are. A folder that was removed
    together with keys beside it, such as its settings, was removed on purpose.
    """
    for pattern in resource.guard.shrink_in:
        path = join_paths(resource.prefix, pattern)
        names = path[1:].split("/") if path != "/" else []
        yield from _changed("", before.root, now.root, names)


def _changed(
    path: str, before: Child, now: Child | None, names: Sequence[str]
) -> Iterator[tuple[str, Child, Child | None]]:
    """The changed places. An unchanged place is the same object, so only changes are looked at."""
    if before is now:
        return
    if not names:
        yield path, before, now
        return
    if type(before) is not Folder:
        return
    if now is None and (len(before.children) > 1 or before.item is not None):
        return
    name, rest = names[0], names[1:]
    if name == "*":
        different = different_children(before, now)
    else:
        after = now.children.get(name) if type(now) is Folder else None
        different = iter([(name, before.children.get(name), after)])
    for one, child, after in different:
        if child is not None:
            yield from _changed(f"{path}/{one}", child, after, rest)


def _difference(resource: Resource, before: Snapshot, now: Snapshot) -> tuple[int, int]:
    """How many of the keys are gone, and how many are new."""
    found = [gone_and_new(before.find(one), now.find(one)) for one in covering(resource.watched)]
    return sum(gone for gone, _ in found), sum(new for _, new in found)


def _number(resource: Resource, snapshot: Snapshot, good: Baseline | None = None) -> int:
    """How many keys a snapshot has, by the difference from a good version whose number is known."""
    if good and good.snapshot and good.count is not None:
        gone, new = _difference(resource, good.snapshot, snapshot)
        return good.count - gone + new
    return sum(_keys_in(snapshot.find(path)) for path in covering(resource.watched))


def _keys_in(place: Child | None, most: int | None = None) -> int:
    """How many keys there are, counted up to `most`."""
    return sum(1 for _ in islice(keys_below(place), most))


def _any(resource: Resource, snapshot: Snapshot) -> bool:
    return any(True for path in resource.watched for _ in snapshot.subtree(path))
