"""
etcd as a source: one list at one revision, one stream from the next.

Shell; the parts are in the files beside it: channel (members), listing, watch (following).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.listing import Listing, Span, list_spans, slashless
from pyconfd.backends.etcd.protobuf import message
from pyconfd.errors import (
    RevisionCompacted,
    SourceCause,
    SourceError,
    SourceRefused,
    SourceUnavailable,
)
from pyconfd.model.keys import Listed

if TYPE_CHECKING:
    from pyconfd.backends.etcd.watch import EtcdWatch


class EtcdSource:
    """A Source over etcd's v3 API."""

    def __init__(self, options: SourceOptions, name: str = "etcd") -> None:
        self.name = name
        self._options = options
        self._channel = EtcdChannel(options)
        # Prefixes whose own key this user may not read, only what is below.
        self._narrowed: set[str] = set()

    def list(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:
        page, _ = self._read(self._channel, prefixes, timeout_s)
        return Listed(
            self.name, page.cluster_id, page.revision, page.keys, slashless=page.slashless
        )

    def list_at(self, prefixes: Sequence[str], revision: int, *, timeout_s: float) -> Listed:
        try:
            page, _ = self._read(self._channel, prefixes, timeout_s, revision)
        except RevisionCompacted as error:
            what, hint = "was compacted: etcd no longer has it", "a later revision may be there"
            if error.future:
                what, hint = "is not there: the store has not come to it yet", ""
            raise RevisionCompacted(
                what, revision=revision, where=f"revision {revision}", hint=hint
            ) from error
        return Listed(self.name, page.cluster_id, revision, page.keys)

    def list_oldest(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:
        deadline = time.monotonic() + timeout_s
        for _ in range(3):
            found = self.list(prefixes, timeout_s=deadline - time.monotonic())
            try:
                oldest = self._oldest(prefixes[0], found.revision, deadline)
                return self.list_at(prefixes, oldest, timeout_s=deadline - time.monotonic())
            except RevisionCompacted:  # since it was found
                continue
        raise SourceUnavailable("the store is compacted faster than it can be read")

    def _oldest(self, prefix: str, newest: int, deadline: float) -> int:
        """
        The oldest revision of the store, found by halving: etcd only names it to a watch that
        starts from a compacted revision.
        """
        span = Span(prefix, prefix in self._narrowed)
        gone, there = 0, newest
        while there - gone > 1:
            middle = (gone + there) // 2
            request = message("RangeRequest")(
                key=span.start, range_end=span.end, limit=1, keys_only=True, revision=middle
            )
            left_s = deadline - time.monotonic()
            try:
                self._channel.unary("KV/Range", request, timeout_s=left_s, what=prefix)
                there = middle
            except RevisionCompacted:
                gone = middle
        return there

    def watch(self, prefixes: Sequence[str], put: Put) -> EtcdWatch:
        from pyconfd.backends.etcd.watch import EtcdWatch

        def lister(channel: EtcdChannel, timeout_s: float) -> tuple[Listing, Sequence[Span]]:
            found = self._read(channel, prefixes, timeout_s)
            self._refresh_members(channel)
            return found

        if not prefixes:
            raise SourceRefused("nothing to follow: no prefix was given")
        # A channel of its own, so that stopping a watch cannot end another one's call.
        channel = EtcdChannel(self._options)
        made = EtcdWatch(self.name, channel, prefixes, lister, put, self._options)
        made.start()
        return made

    def close(self) -> None:
        self._channel.close()

    def _read(
        self,
        channel: EtcdChannel,
        prefixes: Sequence[str],
        timeout_s: float,
        revision: int = 0,
    ) -> tuple[Listing, Sequence[Span]]:
        if not prefixes:
            raise SourceRefused("nothing to read: no prefix was given")
        deadline = time.monotonic() + timeout_s
        spans = [Span(prefix, prefix in self._narrowed) for prefix in prefixes]
        serializable = self._options.serializable
        try:
            page = list_spans(
                channel,
                spans,
                timeout_s=timeout_s,
                serializable=serializable,
                progress=_progress,
                revision=revision,
                limit=self._options.listing_limit,
            )
        except SourceRefused as error:
            if error.cause is not SourceCause.NO_PERMISSION or not self._narrow(channel, spans):
                raise
            return self._read(channel, prefixes, deadline - time.monotonic(), revision)
        if page.empty:
            page = replace(page, slashless=slashless(channel, page.empty))
        return page, spans

    def _narrow(self, channel: EtcdChannel, spans: Sequence[Span]) -> bool:
        """
        Find prefixes whose own key may not be read. Returns whether there are new ones.

        Permissions are often given for "/app/", which does not include the key "/app".
        """
        found = False
        for span in spans:
            if span.below or span.prefix == "/" or _may_read(channel, span):
                continue
            if not _may_read(channel, Span(span.prefix, below=True)):
                return False
            self._narrowed.add(span.prefix)
            found = True
        return found

    def _refresh_members(self, channel: EtcdChannel) -> None:
        """Also use the members that the cluster names; if it refuses, only the known ones."""
        if not self._options.refresh_members:
            return
        try:
            answer = channel.unary(
                "Cluster/MemberList", message("MemberListRequest")(), timeout_s=2
            )
            channel.learn_members(url for member in answer.members for url in member.clientURLs)
        except SourceError:
            return


def _may_read(channel: EtcdChannel, span: Span) -> bool:
    request = message("RangeRequest")(
        key=span.start, range_end=span.end, limit=1, keys_only=True, serializable=True
    )
    try:
        channel.unary("KV/Range", request, timeout_s=2, what=span.prefix)
    except SourceRefused:
        return False
    return True


def _progress(count: int) -> None:
    import logging

    logging.getLogger(__name__).info("reading etcd: %d keys so far", count)
