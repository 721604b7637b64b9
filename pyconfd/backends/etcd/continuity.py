"""
What is known of the store at the cursor's revision, to be compared with it after a break.

A store that was wiped or restored from a backup may answer with the same cluster id and may have
passed our revision: only what it held at that revision gives it away. Of a large store that is
the last change. Of a small one it is everything, because one that is filled again by the same
script has the same last change, and other values before it. Pure over messages.
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
    """`mark`: the last change that is known, None when there was none."""

    def __init__(self) -> None:
        self.mark: LastEvent | None = None
        # Everything, while that is little: key path -> mod revision and value.
        self._held: dict[str, tuple[int, bytes]] | None = None

    def listed(self, keys: Sequence[KeyValue]) -> None:
        """Everything is known anew."""
        newest = max(keys, key=attrgetter("mod_revision"), default=None)
        self.mark = None
        if newest:
            self.mark = LastEvent(encode(newest.key), newest.mod_revision, newest.value)
        self._held = {}
        self._hold((each.key, each.mod_revision, each.value) for each in keys)
        if len(self._held or ()) < len(keys):
            self._held = None  # two spellings of one path: which of them is shown is chance

    def changed(self, mark: LastEvent, changes: Iterable[KeyChange]) -> None:
        """Whole revisions were handed on; `mark` is the last event, a stranger's maybe."""
        self.mark = mark
        self._hold((each.key, each.mod_revision, each.value) for each in changes)

    def _hold(self, news: Iterable[tuple[str, int, bytes | None]]) -> None:
        held = self._held
        if held is None:
            return
        for key, revision, value in news:
            if value is None:
                held.pop(key, None)
                continue
            held[key] = (revision, value)
            if len(held) > SMALL_KEYS or len(value) > SMALL_BYTES:
                self._held = None
                return

    def questions(self, spans: Sequence[Span], revision: int, *, whole: bool) -> Iterator[Question]:
        """
        What to ask as of `revision`; the store is another one when an answer is not as known.

        whole: compare everything, if it is little; else the last change alone.
        """
        held = self._held if whole and len(spans) <= FEW_SPANS else None
        if held is not None and sum(len(value) for _, value in held.values()) > SMALL_BYTES:
            held = None
        if self.mark is None:
            yield from (_empty(span, revision) for span in spans)
        else:
            yield from _last_change(self.mark, revision, whole=whole, alone=held is None)
        if held is not None:
            yield from (_contents(span, revision, held) for span in spans)


def _last_change(mark: LastEvent, revision: int, *, whole: bool, alone: bool) -> Iterator[Question]:
    now = message("RangeRequest")(key=mark.key, revision=revision, keys_only=not whole)
    if mark.value is not None:
        known = (mark.mod_revision, mark.value if whole else b"")
        yield now, lambda answer: [(kv.mod_revision, kv.value) for kv in answer.kvs] == [known]
        return
    yield now, lambda answer: not answer.kvs
    if whole and alone:
        # That it is not there says little. That it was there just before it was deleted does.
        before = message("RangeRequest")(
            key=mark.key, revision=mark.mod_revision - 1, keys_only=True
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
