"""
Asks a member beside its stream: for the store's revision, because silence on the stream does not
prove health, and for the other members.

cursor.py decides what an answer means. Shell.
"""

from __future__ import annotations

import contextlib
from typing import Any

from pyconfd.backends.etcd.errors import FailedCall, Remedy
from pyconfd.backends.etcd.protobuf import load_grpc, message
from pyconfd.backends.etcd.stream import ProbeResult, Stream
from pyconfd.backends.etcd.watch_session import WatchSession
from pyconfd.errors import PyconfdError, SourceError

# A healthy member answers in milliseconds; this is how long an answer is waited for.
ANSWER_S = 3.0
# A probe that found the stream behind is repeated after this.
AGAIN_S = 1.0
# With --refresh-members: probes between two questions for the members.
PROBES_PER_REFRESH = 12
# Events of other keys between two probes that make one watch over everything too expensive.
FOREIGN_PER_PROBE = 5_000


class StreamProbe:
    """
    The probes beside one stream; their results go to the session's inbox.

    prefix: the one that the probe needs the right to read.
    asked_at: the cursor's revision when it was sent.
    """

    def __init__(self, session: WatchSession, stream: Stream) -> None:
        self._session = session
        self._stream = stream
        self._pending = False
        self._refused = ""  # the reported refusal; the stream may go on
        self.prefix = ""
        self.asked_at = 0

    def start(self, now_s: float) -> None:
        """The stream begins."""
        self._session.probe_at_s = now_s + self._session.options.probe_interval_s
        self._session.foreign_events = 0

    def wants_separate(self) -> bool:
        """
        Whether most events of the one watch over everything are of other keys. Starts a count.
        """
        session = self._session
        foreign_events, session.foreign_events = session.foreign_events, 0
        if foreign_events < FOREIGN_PER_PROBE or session.separate or len(session.spans) == 1:
            return False
        session.separate = True
        return True

    def ask_revision(self, now_s: float) -> bool:
        """
        Read a key over the stream's connection, unless an answer is already awaited.

        False when the request cannot even be sent.
        """
        session, stream = self._session, self._stream
        session.probe_at_s = now_s + session.options.probe_interval_s
        if self._pending:
            return True
        key, self.prefix = session.probe_key()
        self.asked_at = session.cursor.revision

        def done(future: Any) -> None:
            error = future if future.cancelled() else future.exception()
            session.inbox.put(ProbeResult(stream, None if error else future.result(), error))

        try:
            future = self._call("KV/Range", message("RangeRequest")(key=key, keys_only=True))
        except (load_grpc().RpcError, ValueError, PyconfdError):
            return False
        self._pending = True
        future.add_done_callback(done)
        return True

    def ended(self) -> None:
        """The answer is there, or an error."""
        self._pending = False

    def repeat_soon(self, now_s: float) -> None:
        """The store is ahead of the stream."""
        self._session.probe_at_s = min(self._session.probe_at_s, now_s + AGAIN_S)

    def failed(self, call: FailedCall) -> bool:
        """Whether the stream has to be left, too; a refusal is reported once."""
        if call.remedy is Remedy.ELSEWHERE:
            return True
        if call.remedy is Remedy.LOG_IN and self._session.options.username:
            return False  # the next one comes with a new token
        if isinstance(call.error, SourceError) and call.error.what != self._refused:
            # Such as a right that was taken away, or authentication that was switched on. The
            # stream may bring changes for as long as it lives.
            self._refused = call.error.what
            self._session.report_lost(call.error)
        return False

    def refresh_members(self, now_s: float) -> None:
        """
        Ask for the members from time to time: if all are replaced one by one, no known one would be
        left.
        """
        session = self._session
        if not session.options.refresh_members or now_s < session.members_at_s:
            return
        session.members_at_s = now_s + PROBES_PER_REFRESH * session.options.probe_interval_s

        def done(future: Any) -> None:
            if not future.cancelled() and not future.exception():
                members = future.result().members
                urls = (url for member in members for url in member.clientURLs)
                session.channel.learn_members(urls)

        with contextlib.suppress(load_grpc().RpcError, ValueError, PyconfdError):
            future = self._call("Cluster/MemberList", message("MemberListRequest")())
            future.add_done_callback(done)

    def _call(self, name: str, request: Any) -> Any:
        """
        A call over the stream's connection, as grpc's future. Its callbacks run on other threads.
        """
        link = self._stream.link
        metadata = self._session.channel.login.metadata(link)
        return link.unary(name).future(request, timeout=ANSWER_S, metadata=metadata)
