"""
Reading etcd: key paths as ranges, and many ranges at one revision, in pages.

Shell over the channel; the caller decides which ranges are read, and when.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.protobuf import message
from pyconfd.errors import (
    ResponseTooLarge,
    RevisionCompacted,
    SourceError,
    SourceRefused,
    SourceUnavailable,
    StoreFull,
)
from pyconfd.model.keys import KeyValue, is_under, key_path
from pyconfd.model.source import KEY_BYTES, LISTING_LIMIT, too_much
from pyconfd.model.values import dataclass

# First pages are small even when values are at etcd's limit of some MiB; from then on the pages
# of a call hold about PAGE_BYTES, so that no message grows without bound.
FIRST_PAGE = 32
LEAST_FIRST_PAGE = 16
LARGEST_PAGE = 100_000
PAGE_BYTES = 8 << 20
# A page that is too large for one message is asked for again with as many times fewer keys.
SHRINK = 16
# Ranges asked for in one transaction (etcd's default limit of operations is 128).
TXN_RANGES = 100
PROGRESS_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Span:
    """
    One etcd range [start, end) for a prefix.

    It also covers siblings such as /app-x beside /app, which are dropped after reading.

    prefix: a key path.
    below: only the keys below the prefix, for users who may not read its own key.
    """

    prefix: str
    below: bool = False

    @property
    def start(self) -> bytes:
        raw = encode(self.prefix)
        return raw + b"/" if self.below else raw

    @property
    def end(self) -> bytes:
        # "0" follows "/", so [/app, /app0) is /app and all of /app/...
        return b"0" if self.prefix == "/" else encode(self.prefix) + b"0"


@dataclass(frozen=True, slots=True)
class _Page:
    """
    A page to request.

    span: of which span.
    start: from which key on.
    limit: how many keys at most.
    """

    span: Span
    start: bytes
    limit: int


@dataclass(frozen=True, slots=True)
class Listing:
    """
    Everything at one revision.

    cluster_id: of the store.
    keys: with their values, in order of key within each span.
    empty: prefixes without keys.
    slashless: those of them that have keys without the leading slash.
    """

    cluster_id: int
    revision: int
    keys: tuple[KeyValue, ...]
    empty: tuple[str, ...] = ()
    slashless: tuple[str, ...] = ()


def encode(key: str) -> bytes:
    """The bytes of a key in etcd; bytes that are not UTF-8 are restored as they were."""
    return key.encode("utf-8", "surrogateescape")


def decode(raw: bytes) -> str:
    """A key path from etcd's bytes: cleaned only where it is not clean already."""
    key = raw.decode("utf-8", "surrogateescape")
    if "//" in key or key[-1:] == "/":
        return key_path(key)
    return key


def list_spans(
    channel: EtcdChannel,
    spans: Sequence[Span],
    *,
    timeout_s: float,
    serializable: bool = False,
    progress: Callable[[int], None] | None = None,
    revision: int = 0,
    limit: int = LISTING_LIMIT,
) -> Listing:
    """
    Every key of the spans at one revision.

    revision: an earlier one, 0 for the newest. Raises RevisionCompacted when it does not exist.
    limit: bytes of all answers, with KEY_BYTES for each key.
    progress: called with the number of keys so far, about once a second, when it takes longer.
    Raises SourceRefused naming prefix and user when one may not be read, SourceUnavailable.
    """
    reader = _Reader(channel, time.monotonic() + timeout_s, serializable, progress, limit)
    if revision:
        reader.start_at(revision)
        return reader.read(spans)
    for _ in range(3):
        try:
            return reader.read(spans)
        except RevisionCompacted:
            reader.start_over()  # compacted between two pages: another revision, all again
    raise SourceUnavailable("the store is compacted faster than it can be read")


def slashless(channel: EtcdChannel, empty: Sequence[str]) -> tuple[str, ...]:
    """
    The prefixes with keys that do not begin with a slash. One small request asks for the first
    TXN_RANGES of them; none when it is not answered.
    """
    ranges = [_slashless_range(one) for one in empty[:TXN_RANGES]]
    operation = message("RequestOp")
    request = message("TxnRequest")(success=[operation(request_range=one) for one in ranges])
    try:
        answers = channel.unary("KV/Txn", request, timeout_s=2).responses
    except SourceError:
        return ()
    return tuple(
        one for one, answer in zip(empty, answers, strict=False) if answer.response_range.kvs
    )


def _slashless_range(prefix: str) -> Any:
    raw = encode(prefix.removeprefix("/"))
    key, end = (raw, raw + b"0") if raw else (b"\0", b"\0")
    return message("RangeRequest")(
        key=key, range_end=end, limit=1, keys_only=True, serializable=True
    )


class _Reader:
    """One listing: the revision shared by all pages, and what was read so far."""

    def __init__(
        self,
        channel: EtcdChannel,
        deadline: float,
        serializable: bool,
        progress: Callable[[int], None] | None,
        limit: int,
    ) -> None:
        self._limit = limit
        self._channel = channel
        self._deadline = deadline
        self._serializable = serializable
        self._progress = progress
        self._reported_s = time.monotonic()
        self.start_over()

    def start_at(self, revision: int) -> None:
        """Read at this revision only."""
        self._revision = revision

    def start_over(self) -> None:
        self._revision = 0
        self._cluster = 0
        self._bytes = 0
        self._keys: list[KeyValue] = []
        self._found: set[str] = set()

    def read(self, spans: Sequence[Span]) -> Listing:
        for first in range(0, len(spans), TXN_RANGES):
            part = spans[first : first + TXN_RANGES]
            size = max(LEAST_FIRST_PAGE, FIRST_PAGE // len(part))
            pages = [_Page(span, span.start, size) for span in part]
            while pages:
                found = self._read_pages(pages)
                for page, answer in found:
                    self._bound(page, answer)
                    if values := key_values(page.span, answer.kvs):
                        self._found.add(page.span.prefix)
                        self._keys += values
                pages = _next_pages(found)
                self._report()
        empty = tuple(span.prefix for span in spans if span.prefix not in self._found)
        return Listing(self._cluster, self._revision, tuple(self._keys), empty)

    def _bound(self, page: _Page, answer: Any) -> None:
        """
        Raises SourceRefused as soon as a listing has more than it may, before the next page is
        requested.
        """
        self._bytes += answer.ByteSize() + KEY_BYTES * len(answer.kvs)
        if self._bytes > self._limit:
            raise too_much(page.span.prefix, self._limit)

    def _read_pages(self, pages: Sequence[_Page]) -> Sequence[tuple[_Page, Any]]:
        """Read a page of each span in one call, and so at one revision."""
        if len(pages) == 1:
            return [self._read_page(pages[0])]
        operation = message("RequestOp")
        transaction = message("TxnRequest")(
            success=[operation(request_range=self._request(page)) for page in pages]
        )
        try:
            answer = self._call("KV/Txn", transaction, "")
        except (SourceRefused, StoreFull, ResponseTooLarge):
            # The store does not say which one it refused: ask for each. And etcd before 3.6 takes
            # any transaction for a write when it is full (its CHANGELOG-3.6, #13435).
            return [self._read_page(page) for page in pages]
        answers = (each.response_range for each in answer.responses)
        return list(zip(pages, answers, strict=True))

    def _read_page(self, page: _Page) -> tuple[_Page, Any]:
        """Read one page, at the revision of the first call, with fewer keys if they are large."""
        while True:
            try:
                return page, self._call("KV/Range", self._request(page), page.span.prefix)
            except ResponseTooLarge:
                if page.limit == 1:
                    raise
                page = replace(page, limit=max(1, page.limit // SHRINK))

    def _request(self, page: _Page) -> Any:
        return message("RangeRequest")(
            key=page.start,
            range_end=page.span.end,
            limit=page.limit,
            revision=self._revision,
            serializable=self._serializable,
        )

    def _call(self, name: str, request: Any, what: str) -> Any:
        left_s = self._deadline - time.monotonic()
        answer = self._channel.unary(name, request, timeout_s=left_s, what=what)
        header = answer.header
        if not self._revision:
            self._revision = header.revision
            self._cluster = header.cluster_id
        elif not self._cluster:
            self._cluster = header.cluster_id
        elif header.cluster_id != self._cluster:
            raise RevisionCompacted("another cluster answered between two pages", revision=0)
        return answer

    def _report(self) -> None:
        now = time.monotonic()
        if self._progress is not None and now - self._reported_s >= PROGRESS_AFTER_S:
            self._reported_s = now
            self._progress(len(self._keys))


def _next_pages(found: Sequence[tuple[_Page, Any]]) -> list[_Page]:
    """
    The next page of each span; together they have about PAGE_BYTES, by the size of the keys so far.
    """
    left = [pair for pair in found if pair[1].more and len(pair[1].kvs)]
    return [
        _Page(
            page.span,
            answer.kvs[len(answer.kvs) - 1].key + b"\0",
            _next_limit(page.limit, answer.ByteSize(), PAGE_BYTES // len(left)),
        )
        for page, answer in left
    ]


def _next_limit(limit: int, size_bytes: int, room_bytes: int) -> int:
    """How many keys the next page may have, given the last page's limit and size."""
    per_key = max(1, size_bytes // limit)
    return max(1, min(LARGEST_PAGE, room_bytes // per_key))


def key_values(span: Span, kvs: Any) -> list[KeyValue]:
    """The page's keys that are under the span's prefix."""
    found = _made(kvs)
    if not found:
        return found
    below = span.prefix.rstrip("/") + "/"
    # Keys come sorted: if the first and the last are below the prefix, all between them are.
    if found[0].key.startswith(below) and found[-1].key.startswith(below):
        return found
    prefix = span.prefix
    return [each for each in found if is_under(each.key, prefix)]


class _Plain:
    """The slots of KeyValue with an __init__ that Python runs fast."""

    __slots__ = ("key", "lease", "mod_revision", "value")

    def __init__(self, key: str, value: bytes, mod_revision: int, lease: int) -> None:
        self.key = key
        self.value = value
        self.mod_revision = mod_revision
        self.lease = lease


def _made(kvs: Any) -> list[KeyValue]:
    """
    One KeyValue for each key of etcd.

    The hot loop of a large listing. A frozen class sets its fields through object.__setattr__,
    which is most of the time; so plain objects of the same layout are filled and become
    KeyValues afterwards. The collector is off meanwhile: it would scan the new objects many times.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        try:
            made: list[Any] = [
                _Plain(kv.key.decode(), kv.value, kv.mod_revision, kv.lease) for kv in kvs
            ]
        except UnicodeDecodeError:
            made = [_Plain(decode(kv.key), kv.value, kv.mod_revision, kv.lease) for kv in kvs]
        _clean(made)
        for each in made:
            each.__class__ = KeyValue
    finally:
        if collecting:
            gc.enable()
    return made


def _clean(made: list[_Plain]) -> None:
    """Make key paths of the keys, unless all of them are."""
    joined = "\n".join([each.key for each in made]) + "\n"
    if "//" in joined or "/\n" in joined:
        for each in made:
            each.key = decode(encode(each.key))
