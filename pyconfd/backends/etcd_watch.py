"""
Following etcd: carries out what the cursor decides, and says what came of it.

One thread owns the session. While a stream is open, its reader hands on events, in turn with that
thread; everything else comes to the inbox. All waits are for the inbox or for calls that closing
the channel ends, so stopping is prompt.

Shell; decisions are in cursor.py and pace.py, the open stream in etcd_follow.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from pyconfd.backends import cursor as at
from pyconfd.backends.base import Put, SourceOptions
from pyconfd.backends.etcd_batches import Landmark
from pyconfd.backends.etcd_channel import EtcdChannel
from pyconfd.backends.etcd_follow import ANSWER_S, Follower
from pyconfd.backends.etcd_read import Page, Span, encode
from pyconfd.backends.etcd_session import Session
from pyconfd.backends.etcd_stubs import message
from pyconfd.backends.pace import REST_S
from pyconfd.errors import RevisionCompacted, SourceError, SourceRefused, SourceUnavailable
from pyconfd.model.keys import Listed, Lost

LIST_S = 60.0
JOIN_S = 5.0

# Reads all spans at one revision over a channel within seconds; also the spans as they may be
# read, for a user who may see only what is below a prefix.
Lister = Callable[[EtcdChannel, float], tuple[Page, Sequence[Span]]]


class EtcdWatch:
    """
    A watch over prefixes. The channel is its own: `stop` closes it.

    Started by `start`. A failure is told once and the same command tried again.
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
        self._session = Session(name, channel, prefixes, put, options)
        self._lister = lister
        self._thread = threading.Thread(target=self._run, name=f"{name}-watch", daemon=True)

    # From any thread

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._session.wish_stop()
        self._session.channel.close()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def relist(self) -> None:
        self._session.wish_list("asked for")

    # The thread

    def _run(self) -> None:
        session = self._session
        try:
            command: at.Command | None = at.List("start")
            while command is not None and not session.stopping:
                command = self._carry_out(command)
        except Exception as error:
            # The top of the thread: its death must be heard.
            import logging

            logging.getLogger(__name__).exception("the watch of %s ended", session.name)
            session.say(Lost(session.name, SourceUnavailable(f"the watch ended: {error!r}")))

    def _carry_out(self, command: at.Command) -> at.Command | None:
        """One command; gives the next one, None when stopped."""
        session = self._session
        try:
            match command:
                case at.List(reason):
                    return self._list(reason)
                case at.Verify(revision):
                    return session.step(self._verify(revision))
                case at.Follow(start):
                    return self._follow(start)
                case _:
                    raise AssertionError(command)
        except SourceError as error:
            session.lose(error)
            session.pause_after(error)
        if session.wished:
            return session.step(at.Asked(session.take_wish()))
        return command

    def _list(self, reason: str) -> at.Command | None:
        session = self._session
        session.take_wish()
        self._reach()
        page, session.spans = self._lister(session.channel, LIST_S)
        newest = max(page.keys, key=attrgetter("mod_revision"), default=None)
        session.landmark = Landmark(encode(newest.key), newest.mod_revision) if newest else None
        session.well()
        session.say(Listed(session.name, page.cluster_id, page.revision, page.keys, reason))
        return session.step(at.ListedAt(page.cluster_id, page.revision))

    def _reach(self) -> None:
        """Find out within seconds whether any member answers, before the long time of a list."""
        try:
            self._ask(message("RangeRequest")(key=self._session.spans[0].start, keys_only=True))
        except SourceRefused:
            return  # the listing knows better what it may read

    def _ask(self, request: Any) -> Any:
        return self._session.channel.unary("KV/Range", request, timeout_s=ANSWER_S)

    def _verify(self, revision: int) -> at.Message:
        """
        Whether the store, as of `revision`, still has the last change that we know of.

        A store that was wiped or restored from a backup answers with the same cluster id and may
        have passed our revision already; only its history gives it away.
        """
        session, mark = self._session, self._session.landmark
        if mark is None:  # nothing was there
            span = session.spans[0]
            wanted = message("RangeRequest")(
                key=span.start, range_end=span.end, revision=revision, count_only=True
            )
        else:
            wanted = message("RangeRequest")(key=mark.key, revision=revision, keys_only=True)
        try:
            answer = self._ask(wanted)
        except RevisionCompacted as error:
            return at.Verified(same=False, reason=error.what)
        if answer.header.cluster_id != session.cursor.cluster_id:
            return at.Verified(same=False, reason="another cluster answers")
        found = answer.kvs[0].mod_revision if answer.kvs else 0
        same = found == mark.mod_revision if mark else answer.count == 0
        return at.Verified(same=same, reason="the store has another history (wiped or restored)")

    def _follow(self, start: int) -> at.Command | None:
        channel = self._session.channel
        follower = Follower(self._session, channel.link())
        try:
            return follower.run(start)
        finally:
            follower.stream.close()
            if not follower.clean:
                channel.drop(follower.stream.link)
            if follower.tired:
                self._session.rest(REST_S)
