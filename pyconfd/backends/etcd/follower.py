"""
Follows one stream, until the cursor needs something else.

Turns responses and probes into messages for the cursor, and delivers whole revisions. Runs in the
watch's thread; only events are delivered in the stream's thread, where they arrive, because each
further thread costs a tenth of a millisecond. Shell without policy.
"""

from __future__ import annotations

import threading
import time
from queue import Empty
from typing import Any

from pyconfd.backends.etcd import cursor as at
from pyconfd.backends.etcd.batches import Assembler, Fenced, RevisionBatch, Single, covering_range
from pyconfd.backends.etcd.errors import KEPT, FailedCall, Remedy, unavailable
from pyconfd.backends.etcd.fence import Fence
from pyconfd.backends.etcd.link import Link
from pyconfd.backends.etcd.probe import ANSWER_S, StreamProbe
from pyconfd.backends.etcd.protobuf import load_grpc
from pyconfd.backends.etcd.stream import ProbeResult, Stream, StreamEnded, StreamResponse
from pyconfd.backends.etcd.throttle import Advice, on_message
from pyconfd.backends.etcd.watch_session import Item, Wake, WatchSession
from pyconfd.errors import (
    PyconfdError,
    ResponseTooLarge,
    SourceCause,
    SourceError,
    SourceRefused,
    SourceUnavailable,
)
from pyconfd.model.keys import Changed

# A stream that ends sooner than this after it was opened was of no use.
EARLY_S = 1.0


class Follower:
    """
    keep_link: the stream was left for a reason other than its connection.
    resting: it was left for a moment only, because it brings too many messages.
    broken: why the stream broke within EARLY_S of its opening, None when it did not.
    """

    def __init__(self, session: WatchSession, link: Link) -> None:
        self._session = session
        self.stream = Stream(session.channel, link, self._on_stream)
        self.keep_link = False
        self.resting = False
        self.broken: SourceError | None = None
        # Held by whichever thread steps the cursor: the watch's, or the stream's with events.
        self._lock = threading.Lock()
        self._assembler, self._ranges = _plan(session)
        self._fence = Fence(len(self._ranges))
        self._unconfirmed = len(self._ranges)  # watches that the server has not confirmed yet
        self._probe = StreamProbe(session, self.stream)
        self._cluster_id = 0
        self._next: at.Command | None = None
        self._done = False
        now = time.monotonic()
        self._opened_s = now
        self._open_until = now + ANSWER_S
        if not session.throttle.resting:  # else it is the stream of before that goes on
            self._probe.start(now)

    def run(self, start: int) -> at.Command | None:
        """Follow from revision `start` on. Returns what to do next, None when stopped."""
        session = self._session
        self.stream.open(self._ranges, start)
        try:
            while not self._done and not session.stopping:
                try:
                    item = session.inbox.get(timeout=max(0.0, self._deadline() - time.monotonic()))
                except Empty:
                    item = None
                with self._lock:
                    if not self._done:  # the other thread may have left meanwhile
                        self._on_item(item)
        finally:
            with self._lock:
                self._done = True  # whatever arrives yet is not of this stream any more
        return self._next

    def _deadline(self) -> float:
        if self._unconfirmed:
            return self._open_until
        return min(self._fence.deadline_s, self._session.probe_at_s)

    def _step(self, message: at.Message) -> at.Command | None:
        """Step the cursor, and carry out its command unless that ends this stream."""
        command = self._session.step(message)
        if isinstance(command, at.AskProgress):
            self.stream.ask_progress()
        elif command is not None and not isinstance(command, at.Deliver):
            self._leave(command, keep_link=isinstance(command, at.List))
        return command

    def _leave(self, command: at.Command | None, *, keep_link: bool) -> None:
        self._done, self._next, self.keep_link = True, command, keep_link

    def _end(self, *, keep_link: bool) -> None:
        """Leave the stream, to open another one at the same position."""
        self._leave(self._session.step(at.Ended()), keep_link=keep_link)

    # The stream

    def _on_item(self, item: Item | None) -> None:
        """
        Handle an item of the inbox; None: time is up. Items of an earlier stream and wake-ups are
        ignored.
        """
        match item:
            case None:
                self._on_time()
            case StreamResponse(stream, response) if stream is self.stream:
                self._cluster_id = response.header.cluster_id
                self._on_response(response)
            case StreamEnded(stream, error) if stream is self.stream:
                self._on_ended(error)
            case ProbeResult(stream, answer, error) if stream is self.stream:
                self._on_probed(answer, error)

    def _on_stream(self, item: StreamResponse | StreamEnded) -> None:
        """
        Called in the stream's thread: delivers events at once, and leaves the rest to the watch's.
        """
        if isinstance(item, StreamEnded) or not item.response.events:
            self._session.inbox.put(item)
            return
        with self._lock:
            if not self._done:
                self._on_events(item.response)
            if self._done:
                self._session.inbox.put(Wake())

    def _on_response(self, response: Any) -> None:
        """A response without events."""
        if response.canceled:
            self._on_canceled(response)
            return
        if response.created:
            self._unconfirmed -= 1
            if not self._unconfirmed:
                self._on_opened()
        elif response.watch_id < 0 and self._fence.pending:  # a watch's own notice has its number
            self._on_fence(response.header.revision)
        self._step(at.Notice(response.header.cluster_id, response.header.revision))

    def _on_opened(self) -> None:
        """Note that the server has confirmed all watches."""
        self._fence.opened(time.monotonic())
        self.stream.link.proven = True
        self._session.refusals = 0
        self._session.relisted = False
        if not self._session.broken_streams:  # else it has to last first
            self._session.report_alive()

    def _on_canceled(self, response: Any) -> None:
        if response.compact_revision:
            self._step(at.Compacted())
        elif self._session.watch_canceled(self.stream.link, response.cancel_reason):
            self._step(at.RelistRequested("what may be read has changed"))
        else:
            self._end(keep_link=True)

    def _on_ended(self, error: Any) -> None:
        cause = self._failed_call(error).error if error is not None else None
        if isinstance(cause, ResponseTooLarge):
            # A listing comes in pages. Of many large changes it also holds the last ones alone.
            self._step(at.RelistRequested("what has changed is too large for one message"))
            return
        if time.monotonic() - self._opened_s < EARLY_S:
            self.broken = cause if isinstance(cause, SourceRefused) else self._no_stream(cause)
        self._end(keep_link=False)

    def _no_stream(self, cause: PyconfdError | None) -> SourceUnavailable:
        reason = cause.what if cause else "ended by the server"
        where = f"etcd {self.stream.link.endpoint}"
        return SourceUnavailable(f"no watch stays open: {reason}", where=where, kept=KEPT)

    def _failed_call(self, error: Any, what: str = "") -> FailedCall:
        """
        The failed call that a grpc error means; a refused token is forgotten. Raises other errors.
        """
        if not isinstance(error, load_grpc().RpcError):
            raise error
        failed = self.stream.link.translate(error, what)
        if failed.remedy is Remedy.LOG_IN:
            self._session.channel.login.forget()
        return failed

    # Events

    def _on_events(self, response: Any) -> None:
        self._cluster_id = response.header.cluster_id
        batch = self._assembler.take(response)
        if batch is None:
            self._begin_fence()
            return
        self._deliver(batch)
        if not self._done:
            self._throttle(batch, response.header.revision - batch.revision)

    def _deliver(self, batch: RevisionBatch | None) -> None:
        if batch is None or self._done:
            return
        session, held = self._session, self._session.cursor.revision
        if not isinstance(self._step(at.Batch(self._cluster_id, batch.revision)), at.Deliver):
            return
        session.foreign_events += batch.foreign_events
        changes = batch.changes
        if changes and changes[0].mod_revision <= held:
            changes = tuple(change for change in changes if change.mod_revision > held)
        session.history.changed(batch.last_event, changes)
        if changes:
            session.recovered()
            session.send(Changed(session.name, batch.revision, changes))

    def _throttle(self, batch: RevisionBatch, behind: int) -> None:
        session, now = self._session, time.monotonic()
        session.throttle, advice = on_message(session.throttle, now, batch.revisions, behind)
        if advice is Advice.LIST:
            self._step(at.RelistRequested("the stream fell far behind the store"))
        elif advice is Advice.REST:
            self.resting = True
            self._end(keep_link=True)

    def _begin_fence(self) -> None:
        """Ask whether all watches have reached what is held, unless that was already asked."""
        if self._fence.begin(self._assembler.newest, time.monotonic()):
            self.stream.ask_progress()
            self._session.inbox.put(Wake())  # its end may be before what the thread waits for

    def _on_fence(self, revision: int) -> None:
        """Handle the server's answer for all watches."""
        if not self._fence.passed(revision):
            self.stream.ask_progress()
            return
        self._deliver(self._assembler.fenced(self._fence.target))
        self._begin_fence()

    # Time and probes

    def _on_time(self) -> None:
        now = time.monotonic()
        if self._unconfirmed:
            if now >= self._open_until:  # the member takes the call and does not answer
                self.broken = self._no_stream(unavailable(SourceCause.NO_ANSWER))
                self._end(keep_link=False)
            return
        if self._fence.settled(now):
            self._begin_fence()
        if self._fence.expired(now):
            self._deliver(self._assembler.release())
        if now >= self._session.probe_at_s and not self._done:
            self._ask_revision(now)

    def _ask_revision(self, now: float) -> None:
        """
        Ask the member for the store's revision beside the stream; the answer is a ProbeResult.
        """
        if self._probe.wants_separate():
            self._end(keep_link=True)
        elif not self._probe.ask_revision(now):
            self._end(keep_link=False)

    def _on_probed(self, answer: Any, error: Any) -> None:
        self._probe.ended()
        if error is not None:
            if self._probe.failed(self._failed_call(error, self._probe.prefix)):
                self._end(keep_link=False)
            return
        now, header = time.monotonic(), answer.header
        probed = at.Probed(header.cluster_id, header.revision, now, self._probe.asked_at)
        command = self._step(probed)
        if isinstance(command, at.AskProgress):
            self._probe.repeat_soon(now)
        elif not self._done:
            self._session.report_alive()
            self._probe.refresh_members(now)


def _plan(session: WatchSession) -> tuple[Assembler, list[tuple[bytes, bytes]]]:
    """The ranges to watch, and how their responses become whole revisions."""
    spans = session.spans
    if session.separate and len(spans) > 1:
        return Fenced(session.wanted), [(span.start, span.end) for span in spans]
    return Single(session.wanted), [covering_range(spans)]
