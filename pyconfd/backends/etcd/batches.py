"""
Turns watch responses into whole revisions: drops other keys, and holds back partial revisions.

Pure over messages. A transaction that touches two ranges reaches a stream with two watches as two
responses. So one watch over everything is used where the user may read it (Single). Otherwise
events are held until the server answers that all watches have reached their revision (Fenced).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyconfd.backends.etcd.listing import Span, decode
from pyconfd.model.keys import KeyChange, PrefixFilter

_DELETE = 1


@dataclass(frozen=True, slots=True)
class LastEvent:
    """
    The newest known event, of any key.

    key: as the store has it.
    mod_revision: its revision.
    value: None when the key was deleted.
    """

    key: bytes
    mod_revision: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class RevisionBatch:
    """
    All changes up to `revision`, in one or more whole revisions.

    revision: the last of them.
    revisions: how many.
    changes: those of the watched prefixes, in the store's order.
    last_event: of any key.
    foreign_events: how many events were of other keys.
    """

    revision: int
    revisions: int
    changes: tuple[KeyChange, ...]
    last_event: LastEvent
    foreign_events: int


class Assembler(Protocol):
    """Turns responses with events into whole revisions."""

    @property
    def newest(self) -> int:
        """The newest revision that is held back, 0 when none is."""

    def take(self, response: Any) -> RevisionBatch | None:
        """Take a response with events."""

    def fenced(self, revision: int) -> RevisionBatch | None:
        """The server has answered that every watch is at `revision`."""

    def release(self) -> RevisionBatch | None:
        """Return what is held, because the server does not answer."""


class Single:
    """One watch: each response holds whole revisions."""

    newest = 0

    def __init__(self, wanted: PrefixFilter) -> None:
        self._wanted = wanted

    def take(self, response: Any) -> RevisionBatch | None:
        events = response.events
        return revision_batch(events, self._wanted) if events else None

    def fenced(self, revision: int) -> RevisionBatch | None:  # noqa: ARG002  (nothing is ever held)
        return None

    def release(self) -> RevisionBatch | None:
        return None


class Fenced:
    """Several watches: events are held until a fence (an answer for all watches) passes them."""

    def __init__(self, wanted: PrefixFilter) -> None:
        self._wanted = wanted
        self._held: list[Any] = []

    @property
    def newest(self) -> int:
        return max((each.kv.mod_revision for each in self._held), default=0)

    def take(self, response: Any) -> RevisionBatch | None:
        self._held.extend(response.events)
        return None

    def fenced(self, revision: int) -> RevisionBatch | None:
        passed = [each for each in self._held if each.kv.mod_revision <= revision]
        self._held = [each for each in self._held if each.kv.mod_revision > revision]
        if not passed:
            return None
        passed.sort(key=lambda event: event.kv.mod_revision)
        return revision_batch(passed, self._wanted)

    def release(self) -> RevisionBatch | None:
        return self.fenced(self.newest)


def revision_batch(events: Sequence[Any], wanted: PrefixFilter) -> RevisionBatch:
    """The changes of the watched keys among the events, which are whole revisions in order."""
    changes = []
    revision = revisions = 0
    for event in events:
        kv = event.kv
        if kv.mod_revision != revision:
            revision = kv.mod_revision
            revisions += 1
        key = decode(kv.key)
        if wanted.admits(key):
            value = None if event.type == _DELETE else kv.value
            changes.append(KeyChange(key, value, revision, kv.lease))
    last = events[len(events) - 1]
    newest = LastEvent(last.kv.key, revision, None if last.type == _DELETE else last.kv.value)
    return RevisionBatch(revision, revisions, tuple(changes), newest, len(events) - len(changes))


def covering_range(spans: Sequence[Span]) -> tuple[bytes, bytes]:
    """The smallest single range that holds all spans."""
    return min(span.start for span in spans), max(span.end for span in spans)
