"""
One stream being followed, until the cursor wants something else.

Turns what the stream and the probes say into messages for the cursor, and delivers batches.
Runs in the watch's thread, but for events, which are handed on where they arrive: each thread
more on their way is a tenth of a millisecond. Shell without policy.
"""

from __future__ import annotations

import math
import threading
import time
from queue import Empty
from typing import Any

from pyconfd.backends.etcd import cursor as at
from pyconfd.backends.etcd.batches import Assembler, Fenced, RevisionBatch, Single, covering_range
from pyconfd.backends.etcd.channel import Link
from pyconfd.backends.etcd.errors import KEPT, NO_ANSWER, Remedy
from pyconfd.backends.etcd.probe import ProbeResult, ask_members, look
from pyconfd.backends.etcd.protobuf import load_grpc
from pyconfd.backends.etcd.stream import Stream, StreamEnded, StreamResponse
from pyconfd.backends.etcd.throttle import Advice, heard
from pyconfd.backends.etcd.watch_session import Item, Wake, WatchSession
from pyconfd.errors import PyconfdError, SourceError, SourceRefused, SourceUnavailable
from pyconfd.model.keys import Changed

# An answer that a healthy member gives in milliseconds is waited for this long.
ANSWER_S = 3.0
# A stream that ends sooner than this after it was opened was of no use.
EARLY_S = 1.0
# Several watches: how long to hold a revision for the server's word that it is whole.
FENCE_S = 0.5
# Answers to wait for. etcd before 3.4.25 and 3.5.8 answers beside the events, so that one answer
# may overtake an event that was there before it (issue 15220); a second one does not.
FENCES = 2
# Several watches that were just opened: one may be up to date while the next is still behind and
# gets its history with the server's next round, every 100 ms; the same releases answer for all
# nevertheless. So the first fence is asked for only when some rounds are over.
SETTLE_S = 0.35
# A probe that found the stream behind looks again after this.
LOOK_AGAIN_S = 1.0
# With --refresh-members: probes between two questions for the members.
PROBES_PER_REFRESH = 12
# Events of others between two probes that make one watch over everything too dear.
STRANGERS_PER_PROBE = 5_000


class Follower:
    """
    `clean`: the stream was left for a reason that says nothing against its connection.

    `tired`: it was left for a moment only, because it brings too many messages. `broken`: why the
    stream broke within EARLY_S of its opening, None when it did not.
    """

    def __init__(self, session: WatchSession, link: Link) -> None:
        self._session = session
        self.stream = Stream(session.channel, link, self._hear)
        self.clean = False
        self.tired = False
        self.broken: SourceError | None = None
        # Held by whichever thread steps the cursor: the watch's, or the stream's with events.
        self._turn = threading.Lock()
        self._assembler, self._ranges = _plan(session)
        self._missing = len(self._ranges)  # watches that the server has not confirmed yet
        self._cluster_id = 0
        self._next: at.Command | None = None
        self._done = False
        now = time.monotonic()
        self._opened_s = now
        self._open_until = now + ANSWER_S
        if not session.pace.resting:  # else it is the stream of before that goes on
            session.probe_at_s = now + session.options.probe_interval_s
            session.foreign_events = 0
        self._probing = False
        self._probe_what = ""  # the key path whose reading is refused when the probe is
        self._refused = ""  # what a probe was refused for was told; the stream may go on
        # 0 when fences count: always with one watch, else some time after all of them stand.
        self._settled_at = math.inf if len(self._ranges) > 1 else 0.0
        self._fence_until = 0.0  # 0 when no fence is under way
        self._fence_target = 0
        self._fences_left = 0

    def run(self, start: int) -> at.Command | None:
        """Follow from revision `start` on; what to do next, None when stopped."""
        session = self._session
        self.stream.open(self._ranges, start)
        try:
            while not self._done and not session.stopping:
                try:
                    item = session.inbox.get(timeout=max(0.0, self._deadline() - time.monotonic()))
                except Empty:
                    item = None
                with self._turn:
                    if not self._done:  # the other thread may have left meanwhile
                        self._take_turn(item)
        finally:
            with self._turn:
                self._done = True  # whatever arrives yet is not of this stream any more
        return self._next

    def _take_turn(self, item: Item | None) -> None:
        if item is None:
            self._on_time()
        else:
            self._on_item(item)

    def _deadline(self) -> float:
        if self._missing:
            return self._open_until
        return min(
            self._fence_until or math.inf,
            self._settled_at or math.inf,
            self._session.probe_at_s,
        )

    def _leave(self, command: at.Command | None, *, clean: bool) -> None:
        self._done, self._next, self.clean = True, command, clean

    def _tell(self, said: at.Message) -> at.Command | None:
        """Step the cursor; a command that ends this stream does so."""
        command = self._session.step(said)
        if isinstance(command, at.AskProgress):
            self.stream.ask_progress()
        elif command is not None and not isinstance(command, at.Deliver):
            self._leave(command, clean=isinstance(command, at.List))
        return command

    # Items

    def _on_item(self, item: Item) -> None:
        """Words of an earlier stream and wake-ups fall through."""
        match item:
            case StreamResponse(stream, response) if stream is self.stream:
                self._cluster_id = response.header.cluster_id
                self._on_word(response)
            case StreamEnded(stream, error) if stream is self.stream:
                self._on_over(error)
            case ProbeResult(stream, answer, error) if stream is self.stream:
                self._probing = False
                if error is not None:
                    self._on_probe_failed(error)
                else:
                    self._on_seen(answer.header)

    def _on_over(self, error: Any) -> None:
        cause = self._fault_of(error).error if error is not None else None
        if time.monotonic() - self._opened_s < EARLY_S:
            self.broken = cause if isinstance(cause, SourceRefused) else self._no_stream(cause)
        self._leave(self._session.step(at.Ended()), clean=False)

    def _no_stream(self, cause: PyconfdError | None) -> SourceUnavailable:
        said = cause.what if cause else "ended by the server"
        where = f"etcd {self.stream.link.endpoint}"
        return SourceUnavailable(f"no watch stays open: {said}", where=where, kept=KEPT)

    def _fault_of(self, error: Any, what: str = "") -> Any:
        """What a grpc error means; a refused token is forgotten on the way. Raises all others."""
        if not isinstance(error, load_grpc().RpcError):
            raise error
        channel = self._session.channel
        fault = channel.translate(self.stream.link, error, what)
        if fault.remedy is Remedy.LOG_IN:
            channel.forget_token()
        return fault

    def _hear(self, item: StreamResponse | StreamEnded) -> None:
        """From the stream's thread: events at once, everything else in the watch's thread."""
        if isinstance(item, StreamEnded) or not item.response.events:
            self._session.inbox.put(item)
            return
        with self._turn:
            if not self._done:
                self._on_events(item.response)
            if self._done:
                self._session.inbox.put(Wake())

    def _on_events(self, response: Any) -> None:
        self._cluster_id = response.header.cluster_id
        whole = self._assembler.take(response)
        if whole is None:
            self._fence()
            return
        self._deliver(whole)
        if not self._done:
            self._keep_pace(whole, response.header.revision - whole.revision)

    def _keep_pace(self, whole: RevisionBatch, behind: int) -> None:
        session = self._session
        session.pace, advice = heard(session.pace, time.monotonic(), whole.revisions, behind)
        if advice is Advice.LIST:
            self._tell(at.RelistRequested("the stream fell far behind the store"))
        elif advice is Advice.REST:
            self.tired = True
            self._leave(session.step(at.Ended()), clean=True)

    def _fence(self) -> None:
        """Ask whether all watches are as far as what is held, unless that was asked already."""
        if self._settled_at or self._fence_until or not self._assembler.newest:
            return
        # Only what is held now is fenced: an answer counts for nothing that came after the
        # question, whatever revision it names.
        self._fence_target = self._assembler.newest
        self._fences_left = FENCES
        self._fence_until = time.monotonic() + FENCE_S
        self.stream.ask_progress()
        self._session.inbox.put(Wake())  # its end may be before what the watch's thread awaits

    def _on_word(self, response: Any) -> None:
        """A response without events."""
        if response.canceled:
            self._on_canceled(response)
            return
        if response.created:
            self._missing -= 1
            if not self._missing:
                self._opened()
        elif response.watch_id < 0 and self._fence_until:
            self._on_fence(response.header.revision)
        self._tell(at.Notice(response.header.cluster_id, response.header.revision))

    def _on_fence(self, revision: int) -> None:
        """The server has answered for all watches (a watch's own notice has its number)."""
        if revision >= self._fence_target:
            self._fences_left -= 1
        if self._fences_left:
            self.stream.ask_progress()
            return
        self._fence_until = 0.0
        self._deliver(self._assembler.fenced(self._fence_target))
        self._fence()

    def _opened(self) -> None:
        """All watches stand."""
        if self._settled_at:
            self._settled_at = time.monotonic() + SETTLE_S
        self.stream.link.proven = True
        self._session.refusals = 0
        self._session.read_again = False
        if not self._session.breaks:  # else it has to last first
            self._session.alive()

    def _deliver(self, whole: RevisionBatch | None) -> None:
        if whole is None or self._done:
            return
        session, held = self._session, self._session.cursor.revision
        if not isinstance(self._tell(at.Batch(self._cluster_id, whole.revision)), at.Deliver):
            return
        session.foreign_events += whole.foreign_events
        changes = whole.changes
        if changes and changes[0].mod_revision <= held:
            changes = tuple(change for change in changes if change.mod_revision > held)
        session.history.changed(whole.landmark, changes)
        if changes:
            session.well()
            session.say(Changed(session.name, whole.revision, changes))

    def _on_canceled(self, response: Any) -> None:
        """
        The server ended a watch that it had taken.

        etcd 3.4 says "permission denied" also when the token is too old, so the first time is
        answered with a new login, the second with one watch for each prefix (one over
        everything may be more than this user may see), the third with a listing, which names what
        may not be read, and the fourth is told.
        """
        if response.compact_revision:
            self._tell(at.Compacted())
            return
        session = self._session
        session.channel.forget_token()
        session.refusals += 1
        denied = "permission denied" in response.cancel_reason
        if denied and session.options.username and session.refusals == 1:
            pass
        elif denied and not session.separate and len(session.spans) > 1:
            session.separate = True
        elif denied and not session.read_again:
            session.read_again = True
            self._tell(at.RelistRequested("what may be read has changed"))
            return
        else:
            self._complain(response.cancel_reason)
        self._leave(session.step(at.Ended()), clean=True)

    def _complain(self, reason: str) -> None:
        from pyconfd.backends.etcd.errors import CallContext, translate

        session = self._session
        prefixes = ", ".join(span.prefix for span in session.spans)
        asked = CallContext(str(self.stream.link.endpoint), session.options.username, prefixes)
        error = translate("UNKNOWN", reason or "the server ended the watch", asked).error
        if isinstance(error, SourceError):
            session.lose(error)
            session.pause_after(error)

    # Time

    def _on_time(self) -> None:
        now = time.monotonic()
        if self._missing:
            if now >= self._open_until:  # the member takes the call and does not answer
                self.broken = self._no_stream(SourceUnavailable(NO_ANSWER))
                self._leave(self._session.step(at.Ended()), clean=False)
            return
        if self._settled_at and now >= self._settled_at:
            self._settled_at = 0.0
            self._fence()
        if self._fence_until and now >= self._fence_until:
            self._fence_until = 0.0
            self._deliver(self._assembler.release())
        session = self._session
        if now >= session.probe_at_s and not self._done:
            session.probe_at_s = now + session.options.probe_interval_s
            self._probe()

    def _probe(self) -> None:
        """Ask the member for the store's revision, beside the stream; the answer comes as Seen."""
        if self._too_many_strangers() or self._probing:
            return
        session = self._session
        key, self._probe_what = session.asked_of()
        self._probing = look(session.channel, self.stream, key, ANSWER_S, session.inbox.put)
        if not self._probing:
            self._leave(session.step(at.Ended()), clean=False)

    def _too_many_strangers(self) -> bool:
        """Leave the one watch over everything when most of what it brings is not ours."""
        session = self._session
        foreign_events, session.foreign_events = session.foreign_events, 0
        if foreign_events < STRANGERS_PER_PROBE or session.separate or len(session.spans) == 1:
            return False
        session.separate = True
        self._leave(session.step(at.Ended()), clean=True)
        return True

    def _on_seen(self, header: Any) -> None:
        now = time.monotonic()
        command = self._tell(at.Probed(header.cluster_id, header.revision, now))
        if self._done:
            return
        if isinstance(command, at.AskProgress):
            self._session.probe_at_s = min(self._session.probe_at_s, now + LOOK_AGAIN_S)
        else:
            self._session.alive()
            self._refresh_members(now)

    def _refresh_members(self, now: float) -> None:
        """Now and then: members are replaced one by one, and the last one known would be gone."""
        session = self._session
        if session.options.refresh_members and now >= session.members_at_s:
            session.members_at_s = now + PROBES_PER_REFRESH * session.options.probe_interval_s
            ask_members(session.channel, self.stream.link, ANSWER_S)

    def _on_probe_failed(self, error: Any) -> None:
        fault = self._fault_of(error, self._probe_what)
        if fault.remedy is Remedy.ELSEWHERE:
            self._leave(self._session.step(at.Ended()), clean=False)
        elif fault.remedy is Remedy.LOG_IN and self._session.options.username:
            return  # the next one comes with a new token
        elif isinstance(fault.error, SourceError) and fault.error.what != self._refused:
            # Such as a right that was taken away, or authentication that was switched on. Told,
            # but the stream may bring changes for as long as it lives.
            self._refused = fault.error.what
            self._session.lose(fault.error)


def _plan(session: WatchSession) -> tuple[Assembler, list[tuple[bytes, bytes]]]:
    """The ranges to watch, and how their responses become whole revisions."""
    spans = session.spans
    if session.separate and len(spans) > 1:
        return Fenced(session.door), [(span.start, span.end) for span in spans]
    return Single(session.door), [covering_range(spans)]
