"""
What a store holds: keys, changes, and the messages a source can send. Pure.

A key path starts with "/", has no empty segment and no trailing slash; "/" is the root.
Values are bytes as the store holds them; they become text only where a template reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from pyconfd.errors import SourceError
from pyconfd.model.values import dataclass

#: Levels of a key path. A key with more is not taken: a name of a megabyte has half a million.
DEEPEST = 200


def too_deep(path: str) -> bool:
    """Whether a key path has more levels than DEEPEST."""
    return len(path) > 2 * DEEPEST and path.count("/") > DEEPEST


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key. `key` is a key path; `lease` is 0 when the key has none."""

    key: str
    value: bytes
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key that changed at `mod_revision`; `value` is None when it was deleted."""

    key: str
    value: bytes | None
    mod_revision: int
    lease: int = 0


class ListOccasion(Enum):
    """When a store is listed."""

    START = auto()
    #: The next reading of a store that is not watched.
    INTERVAL = auto()
    #: The watch could not go on from where it was.
    RELIST = auto()


@dataclass(frozen=True, slots=True)
class Listed:
    """
    Everything below the watched prefixes at one revision. It replaces what was held before.

    source: its name.
    cluster_id: identity of the store, 0 where a source has none.
    revision: of the store.
    keys: in no particular order.
    reason: why it was listed, for the log ("start", "another cluster answers", ...).
    occasion: the same as a value.
    slashless: watched paths below which the store has no keys, but has keys of the same name
    without the leading slash, which are not read.
    """

    source: str
    cluster_id: int
    revision: int
    keys: tuple[KeyValue, ...]
    reason: str = "start"
    occasion: ListOccasion = ListOccasion.START
    slashless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """
    All watched changes of one or more whole revisions, the last being `revision`.

    Order is the store's. A transaction is never split over two messages. Replays (revisions
    at or below what is held) have been dropped by the source.
    """

    source: str
    revision: int
    changes: tuple[KeyChange, ...]


@dataclass(frozen=True, slots=True)
class Progressed:
    """A sign of life: the source is reachable, and all changes up to `revision` were delivered."""

    source: str
    revision: int


@dataclass(frozen=True, slots=True)
class Lost:
    """
    The source cannot be read now and keeps trying. The last snapshot stays valid.

    Sent once per outage and again when the cause changes; Listed, Changed or Progressed end it.
    """

    source: str
    cause: SourceError


SourceMessage = Listed | Changed | Progressed | Lost


#: Where fleets keep their records, in the store that they share.
FLEETS = "/pyconfd/fleets"


def key_path(text: str) -> str:
    """Any spelling of a path as a key path: `a//b/` is `/a/b`, the empty string is `/`."""
    return "/" + "/".join(part for part in text.split("/") if part)


def join_paths(*parts: str) -> str:
    """Key paths one below the other: ("/prod", "/app") is `/prod/app`."""
    return key_path("/".join(parts))


def is_under(key: str, prefix: str) -> bool:
    """Whether `key` is `prefix` or below it, on a path boundary: /apple is not under /app."""
    return prefix == "/" or key == prefix or key.startswith(prefix + "/")


def covering(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The fewest prefixes that cover all given ones, sorted: one below another is dropped."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes), key=lambda path: path.split("/")):
        if not kept or not is_under(prefix, kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def names_fleets(paths: Iterable[str]) -> bool:
    """
    Whether one of these key paths is at or below the fleets' records. "/" is not: it is above them.
    """
    return any(is_under(path, FLEETS) for path in paths)


class PrefixFilter:
    """Which keys are at or below one of the prefixes, however many there are."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._prefixes = frozenset(prefixes)
        self._everything = "/" in self._prefixes
        self._longest = max(map(len, self._prefixes), default=0)

    def admits(self, key: str) -> bool:
        """Whether it is one of them."""
        if self._everything:
            return key.startswith("/")
        prefixes = self._prefixes
        if len(key) > self._longest:  # names of what no prefix can be
            key = key[: max(0, key.rfind("/", 0, self._longest + 1))]
        while key:
            if key in prefixes:
                return True
            key = key[: max(0, key.rfind("/"))]
        return False
