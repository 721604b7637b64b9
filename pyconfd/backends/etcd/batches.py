"""
From watch responses to whole revisions: fragments joined, strangers dropped, torn ones held.

Pure over messages. A transaction that touches two ranges reaches a stream with two watches as
two responses. Therefore one watch over everything is used where that is allowed (Single); where
it is not, what came is held until the server has said that all watches are that far (Fenced).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyconfd.backends.etcd.listing import Span, decode
from pyconfd.model.keys import KeyChange

_DELETE = 1


@dataclass(frozen=True, slots=True)
class LastEvent:
    """The last key known to have changed: raw key, when, and its value, None when deleted."""

    key: bytes
    mod_revision: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class RevisionBatch:
    """
    All that changed up to `revision`, of one or more whole revisions, in the store's order.

    revisions: how many. foreign_events: how many events were of no prefix of ours.
    """

    revision: int
    revisions: int
    changes: tuple[KeyChange, ...]
    landmark: LastEvent
    foreign_events: int


class PrefixFilter:
    """Which keys are ours: at or below one of the prefixes."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._prefixes = frozenset(prefixes)
        self._everything = "/" in self._prefixes

    def admits(self, key: str) -> bool:
        if self._everything:
            return key.startswith("/")
        prefixes = self._prefixes
        while key:
            if key in prefixes:
                return True
            key = key[: key.rfind("/")]
        return False


class Assembler(Protocol):
    """Turns responses with events into whole revisions."""

    @property
    def newest(self) -> int:
        """The newest revision that is held back, 0 when none is."""

    def take(self, response: Any) -> RevisionBatch | None:
        """A response with events, or a part of one."""

    def fenced(self, revision: int) -> RevisionBatch | None:
        """The server said that every watch is at `revision`."""

    def release(self) -> RevisionBatch | None:
        """Give out what is held: the server does not answer."""


class Single:
    """One watch: each response holds whole revisions, if need be in fragments."""

    newest = 0

    def __init__(self, door: PrefixFilter) -> None:
        self._door = door
        self._parts: list[Any] = []

    def take(self, response: Any) -> RevisionBatch | None:
        if response.fragment:
            self._parts.extend(response.events)
            return None
        events: Sequence[Any] = response.events
        if self._parts:
            events, self._parts = [*self._parts, *events], []
        return whole(events, self._door) if events else None

    def fenced(self, revision: int) -> RevisionBatch | None:  # noqa: ARG002  (nothing is ever held)
        return None

    def release(self) -> RevisionBatch | None:
        return None


class Fenced:
    """Several watches: events are held until a fence (an answer for all watches) passes them."""

    def __init__(self, door: PrefixFilter) -> None:
        self._door = door
        self._held: list[Any] = []
        self._unfinished: set[int] = set()

    @property
    def newest(self) -> int:
        return max((each.kv.mod_revision for each in self._held), default=0)

    def take(self, response: Any) -> RevisionBatch | None:
        self._held.extend(response.events)
        if response.fragment:
            self._unfinished.add(response.watch_id)
        else:
            self._unfinished.discard(response.watch_id)
        return None

    def fenced(self, revision: int) -> RevisionBatch | None:
        if self._unfinished:
            return None
        passed = [each for each in self._held if each.kv.mod_revision <= revision]
        self._held = [each for each in self._held if each.kv.mod_revision > revision]
        if not passed:
            return None
        passed.sort(key=lambda event: event.kv.mod_revision)
        return whole(passed, self._door)

    def release(self) -> RevisionBatch | None:
        return self.fenced(self.newest)


def whole(events: Sequence[Any], door: PrefixFilter) -> RevisionBatch:
    """The changes of the events that are ours, and where the history now stands."""
    changes = []
    revision = revisions = 0
    for event in events:
        kv = event.kv
        if kv.mod_revision != revision:
            revision = kv.mod_revision
            revisions += 1
        key = decode(kv.key)
        if door.admits(key):
            value = None if event.type == _DELETE else kv.value
            changes.append(KeyChange(key, value, revision, kv.lease))
    last = events[len(events) - 1]
    mark = LastEvent(last.kv.key, revision, None if last.type == _DELETE else last.kv.value)
    return RevisionBatch(revision, revisions, tuple(changes), mark, len(events) - len(changes))


def covering_range(spans: Sequence[Span]) -> tuple[bytes, bytes]:
    """The smallest single range that holds all spans."""
    return min(span.start for span in spans), max(span.end for span in spans)
