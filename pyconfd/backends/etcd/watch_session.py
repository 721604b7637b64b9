"""
The state of a watch of etcd and its reports, shared by its commands and its stream.

Used by the watch's thread and, alternating with it, the stream's (follower.py). Only the inbox and
`stop` may be used from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from pyconfd.backends.backoff import Backoff
from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.etcd import cursor as at
from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.continuity import Continuity
from pyconfd.backends.etcd.errors import CallContext, permission_denied, translate
from pyconfd.backends.etcd.link import Link
from pyconfd.backends.etcd.listing import Span, decode
from pyconfd.backends.etcd.stream import ProbeResult, StreamEnded, StreamResponse
from pyconfd.backends.etcd.throttle import ThrottleState
from pyconfd.errors import SourceCause, SourceError, SourceRefused
from pyconfd.model.keys import Lost, PrefixFilter, Progressed, SourceMessage, is_under

REFUSED_FIRST_S, REFUSED_CAP_S = 2.0, 10.0
#: Between two listings that end at `listing_limit`: each of them reads so many bytes.
TOO_MUCH_S = 30.0
MOST_PATIENCE = 4


class Wake:
    """Wakes the watch's thread: it was stopped, or the stream has ended."""


Item = StreamResponse | StreamEnded | ProbeResult | Wake


class WatchSession:
    """
    cursor: the position of the watch.
    history: what is known of the store there.
    throttle: whether the stream was left for a moment, and how much it brings.
    separate: one watch for each span, because one over everything is refused or too expensive.
    refusals: how often in a row the server ended a watch that it had taken.
    relisted: whether everything was listed because of that.
    broken_streams: how many in a row broke as soon as they were opened.
    probe_at_s: when the store is to be asked beside the stream.
    members_at_s: when it is to be asked for its members.
    foreign_events: how many events of other keys came since the last probe.
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
        self.wanted = PrefixFilter(prefixes)
        self.spans: Sequence[Span] = [Span(prefix) for prefix in prefixes]
        self.separate = False
        self.refusals = 0
        self.relisted = False
        self.broken_streams = 0
        self.inbox: SimpleQueue[Item] = SimpleQueue()
        self.cursor = at.Cursor()
        self.throttle = ThrottleState()
        self.probe_at_s = 0.0
        self.members_at_s = 0.0
        self.foreign_events = 0
        self.history = Continuity()
        self._put = put
        self._stopping = threading.Event()
        self._lost = ""  # the reported cause of the outage, empty while there is none
        self._backoff = Backoff()
        self._refused_backoff = Backoff(REFUSED_FIRST_S, REFUSED_CAP_S)
        self._stream_backoff = Backoff()

    def stop(self) -> None:
        """From any thread."""
        self._stopping.set()
        self.inbox.put(Wake())

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def step(self, message: at.Message) -> at.Command | None:
        self.cursor, command = at.step(self.cursor, message)
        return command

    def probe_key(self) -> tuple[bytes, str]:
        """A watched key to read beside the stream, and the prefix that must be readable for it."""
        last = self.history.last_event
        if last:
            key = decode(last.key)
            for span in self.spans:
                if is_under(key, span.prefix):
                    return last.key, span.prefix
        return self.spans[0].start, self.spans[0].prefix

    # Reporting

    def send(self, message: SourceMessage) -> None:
        if not self._stopping.is_set():
            self._put(message)

    def report_alive(self) -> None:
        """Report that everything up to the cursor was delivered, and the store answers."""
        self.recovered()
        self.send(Progressed(self.name, self.cursor.revision))

    def report_lost(self, error: SourceError) -> None:
        """Report that the store cannot be read; once for each cause."""
        if str(error) != self._lost:
            self._lost = str(error)
            self.send(Lost(self.name, error))

    def recovered(self) -> None:
        """Note an answer: the outage, if there was one, is over."""
        self._lost = ""
        self._backoff.reset()
        self._refused_backoff.reset()

    def watch_canceled(self, link: Link, reason: str) -> bool:
        """
        Note that the server ended a watch that it had accepted. Returns whether to list everything.

        etcd 3.4 says "permission denied" also when the token has expired. So the first time leads
        to a new login, the second to one watch for each prefix (this user may not be allowed to see
        everything), the third to a listing, which names what may not be read, and the fourth is
        reported.
        """
        self.channel.login.forget()
        self.refusals += 1
        denied = permission_denied(reason)
        if denied and self.options.username and self.refusals == 1:
            return False
        if denied and not self.separate and len(self.spans) > 1:
            self.separate = True
            return False
        if denied and not self.relisted:
            self.relisted = True
            return True
        self._report_canceled(link, reason)
        return False

    def _report_canceled(self, link: Link, reason: str) -> None:
        prefixes = ", ".join(span.prefix for span in self.spans)
        asked = CallContext(str(link.endpoint), self.options.username, prefixes)
        error = translate("UNKNOWN", reason or "the server ended the watch", asked).error
        if isinstance(error, SourceError):
            self.report_lost(error)
            self.pause_after(error)

    # Waiting

    def stream_ended(self, error: SourceError | None) -> None:
        """
        Note the end of a stream. error: why, if it broke as soon as it was opened, else None.

        If that repeats, for instance behind a proxy that passes calls but no streams, reads are
        answered but no change arrives. This is reported when every endpoint has been tried, and
        tried again with a back-off of its own, which an answer to a read does not reset.
        """
        if error is None:
            self.broken_streams = 0
            self._stream_backoff.reset()
            return
        self.broken_streams += 1
        if self.broken_streams > self.channel.size:
            self.report_lost(error)
        self.pause(self._stream_backoff.next_s())

    @property
    def patience(self) -> int:
        """
        The factor for the time to wait for an answer: a store that did not answer may be distant.

        It grows slowly and has a low limit, because no other member is asked during the wait.
        """
        return min(MOST_PATIENCE, 1 << self._backoff.failures // 2)

    def pause_after(self, error: SourceError) -> None:
        """The back-off that fits the failure; slower when the store refuses."""
        if error.cause is SourceCause.TOO_MUCH:
            self.pause(TOO_MUCH_S)
            return
        refused = isinstance(error, SourceRefused)
        self.pause((self._refused_backoff if refused else self._backoff).next_s())

    def pause(self, seconds: float) -> None:
        """
        Wait this long, unless stopped. Messages that arrive meanwhile belong to no open stream.
        """
        until = time.monotonic() + seconds
        while not self.stopping:
            left_s = until - time.monotonic()
            if left_s <= 0:
                return
            try:
                self.inbox.get(timeout=left_s)
            except Empty:
                return
