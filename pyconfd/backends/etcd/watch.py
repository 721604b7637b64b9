"""
Following etcd: carries out what the cursor decides, and reports the results.

One thread owns the session. While a stream is open, its reader delivers events, alternating with
that thread; everything else goes to the inbox. All waits are for the inbox, or for calls that end
when the channel is closed, so stopping is prompt.

Shell; decisions are in cursor.py and throttle.py, the open stream in follower.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.etcd import cursor as at
from pyconfd.backends.etcd.channel import EtcdChannel
from pyconfd.backends.etcd.follower import Follower
from pyconfd.backends.etcd.link import Link
from pyconfd.backends.etcd.listing import Listing, Span
from pyconfd.backends.etcd.probe import ANSWER_S
from pyconfd.backends.etcd.protobuf import message
from pyconfd.backends.etcd.throttle import REST_S
from pyconfd.backends.etcd.watch_session import WatchSession
from pyconfd.errors import (
    ResponseTooLarge,
    RevisionCompacted,
    SourceCause,
    SourceError,
    SourceRefused,
    SourceUnavailable,
)
from pyconfd.model.keys import Listed, ListOccasion, Lost

LIST_S = 60.0
# A thread that waits for a name server cannot be woken; it puts nothing and ends by itself.
JOIN_S = 1.0

# Reads all spans at one revision over a channel within seconds; also the spans as they may be
# read, for a user who may see only what is below a prefix.
Lister = Callable[[EtcdChannel, float], tuple[Listing, Sequence[Span]]]


class EtcdWatch:
    """
    A watch over prefixes. It owns the channel: `stop` closes it.

    Started by `start`. A failure is reported once, and the same command is tried again.
    """

    def __init__(
        self,
        name: str,
        channel: EtcdChannel,
        prefixes: Sequence[str],
        lister: Lister,
        put: Put,
        options: SourceOptions,
    ) -> None:
        self._session = WatchSession(name, channel, prefixes, put, options)
        self._lister = lister
        self._resting_link: Link | None = None  # whose stream was left for a moment
        self._thread = threading.Thread(target=self._run, name=f"{name}-watch", daemon=True)

    # From any thread

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._session.stop()
        self._session.channel.close()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    # The thread

    def _run(self) -> None:
        session = self._session
        try:
            command: at.Command | None = at.List("start", first=True)
            while command is not None and not session.stopping:
                command = self._carry_out(command)
        except Exception as error:
            if session.stopping:
                return  # a call on the channel that was closed just then
            # The top of the thread: its death must be reported.
            import logging

            logging.getLogger(__name__).exception("the watch of %s ended", session.name)
            session.send(Lost(session.name, SourceUnavailable(f"the watch ended: {error!r}")))

    def _carry_out(self, command: at.Command) -> at.Command | None:
        """Carry out one command. Returns the next one, None when stopped."""
        session = self._session
        try:
            match command:
                case at.List():
                    return self._list(command)
                case at.Verify(revision):
                    return session.step(self._verify(revision))
                case at.Follow(start):
                    return self._follow(start)
                case _:
                    raise AssertionError(command)
        except SourceError as error:
            session.report_lost(error)
            session.pause_after(error)
        return command

    def _list(self, command: at.List) -> at.Command | None:
        session = self._session
        self._find_member()
        page, session.spans = self._lister(session.channel, LIST_S)
        session.history.listed(page.keys)
        session.recovered()
        occasion = ListOccasion.START if command.first else ListOccasion.RELIST
        session.send(
            Listed(
                session.name,
                page.cluster_id,
                page.revision,
                page.keys,
                command.reason,
                occasion,
                page.slashless,
            )
        )
        return session.step(at.ListedAt(page.cluster_id, page.revision))

    def _find_member(self) -> None:
        """
        Find out within seconds whether any member answers, before a listing with its long timeout.
        """
        session = self._session
        try:
            self._ask(
                message("RangeRequest")(
                    key=session.spans[0].start,
                    keys_only=True,
                    serializable=session.options.serializable,
                )
            )
        except SourceRefused:
            return  # the listing knows better what it may read

    def _ask(self, request: Any) -> Any:
        timeout_s = ANSWER_S * self._session.patience
        return self._session.channel.unary("KV/Range", request, timeout_s=timeout_s)

    def _verify(self, revision: int) -> at.Message:
        """
        Whether the store, as of `revision`, is the known one (continuity.py).

        After a rest in a storm, over the same connection, only the last change is compared.
        """
        link, self._resting_link = self._resting_link, None
        try:
            reason = self._differs(revision, full=link is None)
            if link and not reason and self._session.channel.link() is not link:
                reason = self._differs(revision, full=True)
        except (RevisionCompacted, ResponseTooLarge) as error:
            reason = error.what
        except SourceRefused as error:
            if error.cause is not SourceCause.NO_PERMISSION:
                raise
            # The last event may be of any key. The listing finds out what may be read.
            reason = "what may be read has changed"
        return at.Verified(same=not reason, reason=reason)

    def _differs(self, revision: int, *, full: bool) -> str:
        """How it differs from the known store, or ""."""
        session = self._session
        for request, is_as_known in session.history.questions(session.spans, revision, full=full):
            answer = self._ask(request)
            if answer.header.cluster_id != session.cursor.cluster_id:
                return "another cluster answers"
            if not is_as_known(answer):
                return "the store has another history (wiped or restored)"
        return ""

    def _follow(self, start: int) -> at.Command | None:
        channel = self._session.channel
        follower = Follower(self._session, channel.link())
        try:
            return follower.run(start)
        finally:
            follower.stream.close()
            if not follower.keep_link:
                channel.drop(follower.stream.link)
            if follower.resting:
                self._resting_link = follower.stream.link
                self._session.pause(REST_S)
            else:
                self._session.stream_ended(follower.broken)
