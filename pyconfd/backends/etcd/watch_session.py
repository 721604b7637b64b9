"""
What a watch of etcd remembers and how it speaks: shared by its commands and its stream.

Used by the watch's thread and, in turn with it, the stream's (etcd_follow.py), but for the inbox
and the two wishes (stop, list) that any thread may put.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from pyconfd.backends.backoff import Backoff
from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.etcd import cursor as at
from pyconfd.backends.etcd.batches import PrefixFilter
from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.continuity import Continuity
from pyconfd.backends.etcd.listing import Span, decode
from pyconfd.backends.etcd.probe import ProbeResult
from pyconfd.backends.etcd.stream import StreamEnded, StreamResponse
from pyconfd.backends.etcd.throttle import ThrottleState
from pyconfd.errors import SourceError, SourceRefused
from pyconfd.model.keys import Lost, Progressed, SourceMessage, is_under

REFUSED_FIRST_S, REFUSED_CAP_S = 2.0, 10.0
MOST_PATIENCE = 4


class Wake:
    """Somebody wants attention: stop, or a fresh list."""


Item = StreamResponse | StreamEnded | ProbeResult | Wake


class WatchSession:
    """
    cursor: where the watch stands. history: what is known of the store there.
    separate: one watch for each span, because one over everything is refused or too dear.
    refusals: how often in a row the server ended a watch that it had taken, read_again: whether
    everything was listed for that. breaks: how many streams in a row broke as soon as they were
    opened. probe_at_s: when the store is to be asked beside the stream, members_at_s: when for its
    members. foreign_events: events of others since the last probe.
    """

    def __init__(
        self,
        name: str,
        channel: EtcdChannel,
        prefixes: Sequence[str],
        put: Put,
        options: SourceOptions,
    ) -> None:
        self.name = name
        self.channel = channel
        self.options = options
        self.door = PrefixFilter(prefixes)
        self.spans: Sequence[Span] = [Span(prefix) for prefix in prefixes]
        self.separate = False
        self.refusals = 0
        self.read_again = False
        self.breaks = 0
        self.inbox: SimpleQueue[Item] = SimpleQueue()
        self.cursor = at.Cursor()
        self.pace = ThrottleState()
        self.probe_at_s = 0.0
        self.members_at_s = 0.0
        self.foreign_events = 0
        self.history = Continuity()
        self._put = put
        self._stopping = threading.Event()
        self._lost = ""
        self._backoff = Backoff()
        self._slow = Backoff(REFUSED_FIRST_S, REFUSED_CAP_S)
        self._breaking = Backoff()

    def stop(self) -> None:
        """From any thread."""
        self._stopping.set()
        self.inbox.put(Wake())

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def asked_of(self) -> tuple[bytes, str]:
        """A key of ours to ask for beside the stream, and the prefix whose right that needs."""
        mark = self.history.mark
        if mark:
            key = decode(mark.key)
            for span in self.spans:
                if is_under(key, span.prefix):
                    return mark.key, span.prefix
        return self.spans[0].start, self.spans[0].prefix

    # The cursor

    def step(self, said: at.Message) -> at.Command | None:
        self.cursor, command = at.step(self.cursor, said)
        return command

    # Speaking

    def say(self, said: SourceMessage) -> None:
        if not self._stopping.is_set():
            self._put(said)

    def alive(self) -> None:
        """Everything up to the cursor was delivered, and the store answers."""
        self.well()
        self.say(Progressed(self.name, self.cursor.revision))

    def lose(self, error: SourceError) -> None:
        """Say that the store cannot be read: once for each cause."""
        if str(error) != self._lost:
            self._lost = str(error)
            self.say(Lost(self.name, error))

    def well(self) -> None:
        """An answer came: the outage, if there was one, is over."""
        self._lost = ""
        self._backoff.reset()
        self._slow.reset()

    def broke(self, error: SourceError | None) -> None:
        """
        A stream is over. error: why, if it broke as soon as it was opened, else None.

        Where that goes on, such as behind a proxy that lets calls through and no streams, reads
        answer and yet nothing is heard: that is told when every endpoint has had its turn, and
        tried again with a back-off of its own, which an answer to a read does not reset.
        """
        if error is None:
            self.breaks = 0
            self._breaking.reset()
            return
        self.breaks += 1
        if self.breaks > self.channel.size:
            self.lose(error)
        self.rest(self._breaking.next_s())

    @property
    def patience(self) -> int:
        """
        How many times the usual time to wait for an answer: a store that did not answer may be far.

        Grows slowly and not far, because whoever waits for a dead member does not ask another.
        """
        return min(MOST_PATIENCE, 1 << self._backoff.failures // 2)

    # Waiting

    def pause_after(self, error: SourceError) -> None:
        """The back-off that fits the failure; slower when the store refuses."""
        curve = self._slow if isinstance(error, SourceRefused) else self._backoff
        self.rest(curve.next_s())

    def rest(self, seconds: float) -> None:
        """So long, unless somebody wants attention."""
        until = time.monotonic() + seconds
        while not self.stopping:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return
            try:
                self.inbox.get(timeout=left_s)
            except Empty:
                return
