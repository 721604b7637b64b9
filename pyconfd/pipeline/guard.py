"""
Guards: is it wise to act on this? Pure.

A store that was wiped, restored empty or read through a broken prefix looks like an order to
remove every backend. A guard compares the keys of a resource with those of its last good version
and holds the change back when too much is gone at once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

from pyconfd.model.keys import join_paths
from pyconfd.model.resources import Resource
from pyconfd.model.values import dataclass
from pyconfd.pipeline.store import Child, Folder, Snapshot, keys_below


class GuardKind(enum.StrEnum):
    """The guards, by their keys in a resource file."""

    REQUIRE = "require"
    MIN_KEYS = "min_keys"
    ALLOW_EMPTY = "allow_empty"
    MAX_SHRINK = "max_shrink"


@dataclass(frozen=True, slots=True)
class Objection:
    """guard: which one objects. text: why, one line."""

    guard: GuardKind
    text: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """
    What the last good version was made of: a snapshot, or only the number of its keys when an
    earlier run of pyconfd wrote it down. Nothing is counted before a guard asks.
    """

    snapshot: Snapshot | None = None
    count: int = 0

    def keys(self, resource: Resource) -> frozenset[str] | None:
        """The names of its keys; None when only their number is known."""
        return _keys(resource, self.snapshot) if self.snapshot else None

    def number(self, resource: Resource) -> int:
        """How many keys it had."""
        keys = self.keys(resource)
        return self.count if keys is None else len(keys)

    def any(self, resource: Resource) -> bool:
        """Whether it had a key at all."""
        return _any(resource, self.snapshot) if self.snapshot else self.count > 0


def objection(resource: Resource, good: Baseline | None, snapshot: Snapshot) -> Objection | None:
    """
    Why the change should be held back; None when no guard objects.

    good: None when there was no good version yet; then only `min_keys` and `require` count.
    """
    guard = resource.guard
    for path in guard.require:
        if snapshot.find(join_paths(resource.prefix, path)) is None:
            return Objection(GuardKind.REQUIRE, f"{path} is required and does not exist")
    if guard.min_keys and (count := len(_keys(resource, snapshot))) < guard.min_keys:
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
    For a change of a live file of which no good version is known, as after the state folder was
    lost: that there is no key at all may be what emptied the store.
    """
    if resource.guard.allow_empty or not resource.keys or _any(resource, snapshot):
        return None
    return _empty("there is no key, and what the live file was made of is not known")


def all_gone(resource: Resource, made: int, snapshot: Snapshot) -> Objection | None:
    """
    For a pattern that has made files: that no name is left of which it makes them, whatever other
    keys it reads.
    """
    if resource.guard.allow_empty or not (resource.each and made):
        return None
    if snapshot.has_children(join_paths(resource.prefix, resource.each)):
        return None
    return _empty(f"all {made} files would go")


def _empty(text: str) -> Objection:
    return Objection(GuardKind.ALLOW_EMPTY, text)


def _shrunk(resource: Resource, good: Baseline, snapshot: Snapshot) -> Objection | None:
    """Too many of the keys gone at once; by number alone where their names are not known."""
    before, now = good.keys(resource), _keys(resource, snapshot)
    count = good.number(resource)
    gone = max(count - len(now), 0) if before is None else len(before - now)
    if gone > resource.guard.max_shrink * count:
        return _too_many(resource, gone, count)
    for path, had, has in _folders(resource, good, snapshot):
        gone = len(had - has)
        if len(had) > 1 and gone > resource.guard.max_shrink * len(had):  # a lone one may leave
            return _too_many(resource, gone, len(had), f" below {path}")
    return None


def _too_many(resource: Resource, gone: int, count: int, where: str = "") -> Objection:
    share = f"{resource.guard.max_shrink:.0%}"
    text = f"{gone} of {count} keys{where} are gone at once, more than max_shrink = {share}"
    return Objection(GuardKind.MAX_SHRINK, text)


def _folders(
    resource: Resource, good: Baseline, snapshot: Snapshot
) -> Iterator[tuple[str, set[str], set[str]]]:
    """
    The folders that `shrink_in` names and that have changed, with their keys before and now. What
    was removed together with other keys beside it, such as its settings, was meant.
    """
    if good.snapshot is None:
        return
    for pattern in resource.guard.shrink_in:
        path = join_paths(resource.prefix, pattern)
        names = path[1:].split("/") if path != "/" else []
        before, now = good.snapshot.root, snapshot.root
        yield from _changed("", before, now, names)


def _changed(
    path: str, before: Child, now: Child | None, names: Sequence[str]
) -> Iterator[tuple[str, set[str], set[str]]]:
    """A place that has not changed is the same object, so what is looked at is what changed."""
    if before is now:
        return
    if not names:
        yield path, {each.key for each in keys_below(before)}, {e.key for e in keys_below(now)}
        return
    if type(before) is not Folder:
        return
    if now is None and (len(before.children) > 1 or before.item is not None):
        return
    name, rest = names[0], names[1:]
    for one in before.children if name == "*" else (name,):
        child = before.children.get(one)
        if child is not None:
            after = now.children.get(one) if type(now) is Folder else None
            yield from _changed(f"{path}/{one}", child, after, rest)


def _keys(resource: Resource, snapshot: Snapshot) -> frozenset[str]:
    return frozenset(item.key for path in resource.watched for item in snapshot.subtree(path))


def _any(resource: Resource, snapshot: Snapshot) -> bool:
    return any(True for path in resource.watched for _ in snapshot.subtree(path))
