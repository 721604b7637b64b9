"""
Guards: is it wise to act on this? Pure.

A store that was wiped, restored empty or read through a broken prefix looks like an order to
remove every backend. A guard compares the keys of a resource with those of its last good version
and holds the change back when too much is gone at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyconfd.model.keys import join_paths
from pyconfd.model.resources import Resource
from pyconfd.pipeline.store import Snapshot

_REQUIRED = " is required and does not exist"


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


def objection(resource: Resource, good: Baseline | None, snapshot: Snapshot) -> str:
    """
    Why the change should be held back; "" when nothing speaks against it.

    good: None when there was no good version yet; then only `min_keys` and `require` count.
    """
    guard = resource.guard
    for path in guard.require:
        if snapshot.find(join_paths(resource.prefix, path)) is None:
            return path + _REQUIRED
    if guard.min_keys and (count := len(_keys(resource, snapshot))) < guard.min_keys:
        return f"{count} keys, fewer than min_keys = {guard.min_keys}"
    if good is None or not good.any(resource):
        return ""
    if not guard.allow_empty and not _any(resource, snapshot):
        count = good.number(resource)
        return f"all {count} keys are gone (allow_empty = true lets that through)"
    return _shrunk(resource, good, snapshot) if guard.max_shrink < 1 else ""


def unknown_loss(resource: Resource, snapshot: Snapshot) -> str:
    """
    For a change of a live file of which no good version is known, as after the state folder was
    lost: that there is no key at all may be what emptied the store.
    """
    if resource.guard.allow_empty or not resource.keys or _any(resource, snapshot):
        return ""
    return (
        "there is no key, and what the live file was made of is not known"
        " (allow_empty = true lets that through)"
    )


def all_gone(resource: Resource, made: int, snapshot: Snapshot) -> str:
    """
    For a pattern that has made files: that no name is left of which it makes them, whatever other
    keys it reads.
    """
    if resource.guard.allow_empty or not (resource.each and made):
        return ""
    if snapshot.has_children(join_paths(resource.prefix, resource.each)):
        return ""
    return f"all {made} files would go (allow_empty = true lets that through)"


def guard_of(why: str) -> str:
    """Which guard has objected in these words: its key in the resource file."""
    if why.endswith(_REQUIRED):
        return "require"
    named = ("min_keys", "allow_empty", "max_shrink")
    return next((name for name in named if name in why), "require")


def _shrunk(resource: Resource, good: Baseline, snapshot: Snapshot) -> str:
    """Too many of the keys gone at once; by number alone where their names are not known."""
    before, now = good.keys(resource), _keys(resource, snapshot)
    count = good.number(resource)
    gone = max(count - len(now), 0) if before is None else len(before - now)
    if gone <= resource.guard.max_shrink * count:
        return ""
    share = f"{resource.guard.max_shrink:.0%}"
    return f"{gone} of {count} keys are gone at once, more than max_shrink = {share}"


def _keys(resource: Resource, snapshot: Snapshot) -> frozenset[str]:
    return frozenset(item.key for path in resource.watched for item in snapshot.subtree(path))


def _any(resource: Resource, snapshot: Snapshot) -> bool:
    return any(True for path in resource.watched for _ in snapshot.subtree(path))
