"""
What is known of the store at the cursor's revision, to compare with the store after a break.

A store that was wiped or restored from a backup may have the same cluster id, and its revision may
have passed the cursor's: only its contents at that revision show the difference. For a large store
the last change is compared. For a small one everything is, because a store that the same script
fills again may have the same last change but other values before it. Pure over messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from pyconfd.backends.etcd.batches import LastEvent
from pyconfd.backends.etcd.listing import Span, encode, key_values
from pyconfd.backends.etcd.protobuf import message
from pyconfd.model.keys import KeyChange, KeyValue, is_under

# Small enough to be read again after every break: less than a message of etcd's usual size.
SMALL_KEYS = 500
SMALL_BYTES = 256 << 10
FEW_SPANS = 20

# A request for one range, and whether the answer to it is that of the store we know.
Question = tuple[Any, Callable[[Any], bool]]


class Continuity:
    """last_event: the newest known one, None when there was none."""

    def __init__(self) -> None:
        self.last_event: LastEvent | None = None
        # Everything, while that is little: key path -> mod revision and value.
        self._held: dict[str, tuple[int, bytes]] | None = None

    def listed(self, keys: Sequence[KeyValue]) -> None:
        """Start over from a listing."""
        newest = max(keys, key=attrgetter("mod_revision"), default=None)
        self.last_event = None
        if newest:
            self.last_event = LastEvent(encode(newest.key), newest.mod_revision, newest.value)
        self._held = {}
        self._hold((each.key, each.mod_revision, each.value) for each in keys)
        if len(self._held or ()) < len(keys):
            self._held = None  # two spellings of one path: which of them is shown is chance

    def changed(self, last_event: LastEvent, changes: Iterable[KeyChange]) -> None:
        """Whole revisions were delivered; `last_event` may be of any key."""
        self.last_event = last_event
        self._hold((each.key, each.mod_revision, each.value) for each in changes)

    def _hold(self, changes: Iterable[tuple[str, int, bytes | None]]) -> None:
        held = self._held
        if held is None:
            return
        for key, revision, value in changes:
            if value is None:
                held.pop(key, None)
                continue
            held[key] = (revision, value)
            if len(held) > SMALL_KEYS or len(value) > SMALL_BYTES:
                self._held = None
                return

    def questions(self, spans: Sequence[Span], revision: int, *, full: bool) -> Iterator[Question]:
        """
        What to ask the store as of `revision`; if an answer differs, it is another store.

        full: compare everything if the store is small; otherwise only the last change.
        """
        held = self._held if full and len(spans) <= FEW_SPANS else None
        if held is not None and sum(len(value) for _, value in held.values()) > SMALL_BYTES:
            held = None
        if self.last_event is None:
            yield from (_empty(span, revision) for span in spans)
        else:
            yield from _last_change(self.last_event, revision, full=full, alone=held is None)
        if held is not None:
            yield from (_contents(span, revision, held) for span in spans)


def _last_change(
    last_event: LastEvent, revision: int, *, full: bool, alone: bool
) -> Iterator[Question]:
    now = message("RangeRequest")(key=last_event.key, revision=revision, keys_only=not full)
    if last_event.value is not None:
        known = (last_event.mod_revision, last_event.value if full else b"")
        yield now, lambda answer: [(kv.mod_revision, kv.value) for kv in answer.kvs] == [known]
        return
    yield now, lambda answer: not answer.kvs
    if full and alone:
        # That it is not there says little. That it was there just before it was deleted does.
        before = message("RangeRequest")(
            key=last_event.key, revision=last_event.mod_revision - 1, keys_only=True
        )
        yield before, lambda answer: bool(answer.kvs)


def _empty(span: Span, revision: int) -> Question:
    request = message("RangeRequest")(
        key=span.start, range_end=span.end, revision=revision, count_only=True
    )
    return request, lambda answer: answer.count == 0


def _contents(span: Span, revision: int, held: dict[str, tuple[int, bytes]]) -> Question:
    request = message("RangeRequest")(
        key=span.start, range_end=span.end, revision=revision, limit=SMALL_KEYS + 1
    )
    known = {key: what for key, what in held.items() if is_under(key, span.prefix)}

    def same(answer: Any) -> bool:
        # More than that are siblings in the range, such as /app-x beside /app: nothing is proven.
        found = key_values(span, answer.kvs)
        return answer.more or {kv.key: (kv.mod_revision, kv.value) for kv in found} == known

    return request, same
