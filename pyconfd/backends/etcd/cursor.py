"""
The position of a watch in a store's history, and when to resume or to list again.

Pure: `step(cursor, message)` gives the next cursor and what to do. No clock is read; messages
that depend on time carry it (seconds monotonic).

    Unsynced  listed at r                 Synced(r)    follow from r + 1
    Synced    batch at r' > r             Synced(r')   deliver
    Synced    batch at r' <= r            Synced(r)    nothing: a replay
    Synced    progress notice             Synced(r)    nothing: a sign of life, never a
                                                       position: it may run ahead of events
                                                       (etcd issue 15220)
    Synced    compacted                   Unsynced     list, which replaces what is held
    Synced    stream ended                Suspect(r)   verify, then follow from r + 1
    Suspect   the same store at r         Synced(r)    follow from r + 1
    Suspect   not the same store          Unsynced     list
    Synced    probe saw more than the stream showed, for longer than the grace
                                          Suspect(r)   the first time; the second time: list
    any       another cluster, or a probe that was asked at r finds less
                                          Unsynced     list: wiped, restored, or another store
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

# How long a stream may lag behind what a probe saw; doubled at each strike so that a server
# that never answers for its progress is not listed again and again.
GRACE_S = 5.0
LONGEST_GRACE_S = 300.0


class CursorPhase(Enum):
    """The states of the position."""

    UNSYNCED = "unsynced"
    SYNCED = "synced"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    revision: everything up to it was delivered. cluster_id: of the store it counts in.

    shown: the newest revision that the stream has mentioned, >= revision.
    behind_since, behind_at: when a probe found a revision that the stream did not show, and which;
    None and 0 when the stream is not behind. strikes: how often that happened in a row.
    """

    phase: CursorPhase = CursorPhase.UNSYNCED
    revision: int = 0
    cluster_id: int = 0
    shown: int = 0
    behind_since: float | None = None
    behind_at: int = 0
    strikes: int = 0


# Messages


@dataclass(frozen=True, slots=True)
class ListedAt:
    """A listing was delivered."""

    cluster_id: int
    revision: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The stream brought whole revisions, the last being `revision`."""

    cluster_id: int
    revision: int


@dataclass(frozen=True, slots=True)
class Notice:
    """The stream sent a response without events: created, or a progress notice."""

    cluster_id: int
    revision: int


@dataclass(frozen=True, slots=True)
class Compacted:
    """The stream cannot start where it should: the history is gone."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream has ended, for any reason."""


@dataclass(frozen=True, slots=True)
class Verified:
    """
    Whether the store, asked as of the cursor's revision, still has the known history.

    reason: for the log when it has not.
    """

    same: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Probed:
    """
    A linearizable read beside the stream was answered.

    cluster_id: of the store.
    revision: the store's, at some time between question and answer.
    now_s: when the answer came.
    asked_at: the cursor's revision when the question was sent. Events may have overtaken the
        answer, so this one alone tells whether the store's revision went back.
    """

    cluster_id: int
    revision: int
    now_s: float
    asked_at: int


@dataclass(frozen=True, slots=True)
class RelistRequested:
    """The follower wants a fresh list."""

    reason: str


Message = ListedAt | Batch | Notice | Compacted | Ended | Verified | Probed | RelistRequested


# Commands


@dataclass(frozen=True, slots=True)
class List:
    """
    List everything and deliver it as a replacement.

    reason: for the log.
    first: nothing was delivered before.
    """

    reason: str
    first: bool = False


@dataclass(frozen=True, slots=True)
class Verify:
    """Drop the stream, and ask the store whether it still has the known history at `revision`."""

    revision: int


@dataclass(frozen=True, slots=True)
class Follow:
    """Open a stream that starts at revision `start`."""

    start: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """Deliver the batch: it is new."""


@dataclass(frozen=True, slots=True)
class AskProgress:
    """Ask the stream for its progress."""


Command = List | Verify | Follow | Deliver | AskProgress


def step(cursor: Cursor, message: Message) -> tuple[Cursor, Command | None]:
    """The next cursor, and the one thing to do, if any."""
    match message:
        case ListedAt(cluster_id, revision):
            listed = Cursor(
                CursorPhase.SYNCED, revision, cluster_id, revision, strikes=cursor.strikes
            )
            return listed, Follow(revision + 1)
        case Batch():
            return _batch(cursor, message)
        case Notice():
            return _notice(cursor, message)
        case Probed():
            return _probed(cursor, message)
        case Compacted():
            return _unsynced(cursor, "the history was compacted")
        case RelistRequested(reason):
            return _unsynced(cursor, reason)
        case Ended():
            return _ended(cursor)
        case Verified():
            return _verified(cursor, message)


def _unsynced(cursor: Cursor, reason: str) -> tuple[Cursor, Command | None]:
    return Cursor(strikes=cursor.strikes), List(reason)


def _batch(cursor: Cursor, batch: Batch) -> tuple[Cursor, Command | None]:
    if cursor.phase is not CursorPhase.SYNCED:
        return cursor, None
    if batch.cluster_id != cursor.cluster_id:
        return _unsynced(cursor, "another cluster answers")
    if batch.revision <= cursor.revision:
        return cursor, None
    return replace(_show(cursor, batch.revision), revision=batch.revision), Deliver()


def _notice(cursor: Cursor, notice: Notice) -> tuple[Cursor, Command | None]:
    if cursor.phase is not CursorPhase.SYNCED:
        return cursor, None
    if notice.cluster_id != cursor.cluster_id:
        return _unsynced(cursor, "another cluster answers")
    # A revision below ours is a member that lags, not a store that went back: only a
    # linearizable read can tell that.
    return _show(cursor, notice.revision), None


def _show(cursor: Cursor, revision: int) -> Cursor:
    shown = max(cursor.shown, revision)
    if cursor.behind_since is not None and shown >= cursor.behind_at:
        return replace(cursor, shown=shown, behind_since=None, behind_at=0, strikes=0)
    return replace(cursor, shown=shown) if shown != cursor.shown else cursor


def _probed(cursor: Cursor, probed: Probed) -> tuple[Cursor, Command | None]:
    if cursor.phase is not CursorPhase.SYNCED:
        return cursor, None
    if probed.cluster_id != cursor.cluster_id:
        return _unsynced(cursor, "another cluster answers")
    if probed.revision < probed.asked_at:
        return _unsynced(cursor, "the store's revision went back (wiped or restored)")
    if probed.revision <= cursor.shown:
        return replace(cursor, behind_since=None, behind_at=0, strikes=0), None
    if cursor.behind_since is None:
        behind = replace(cursor, behind_since=probed.now_s, behind_at=probed.revision)
        return behind, AskProgress()
    grace_s = min(GRACE_S * 2**cursor.strikes, LONGEST_GRACE_S)
    if probed.now_s - cursor.behind_since < grace_s:
        return cursor, AskProgress()
    return _silent(cursor)


def _silent(cursor: Cursor) -> tuple[Cursor, Command | None]:
    """The step when the store has changes that the stream does not show."""
    strikes = cursor.strikes + 1
    if cursor.strikes % 2:
        return Cursor(strikes=strikes), List("the stream stayed silent while the store moved on")
    suspect = replace(
        cursor, phase=CursorPhase.SUSPECT, behind_since=None, behind_at=0, strikes=strikes
    )
    return suspect, Verify(cursor.revision)


def _ended(cursor: Cursor) -> tuple[Cursor, Command | None]:
    if cursor.phase is not CursorPhase.SYNCED:
        return cursor, None
    suspect = replace(cursor, phase=CursorPhase.SUSPECT, behind_since=None, behind_at=0)
    return suspect, Verify(cursor.revision)


def _verified(cursor: Cursor, verified: Verified) -> tuple[Cursor, Command | None]:
    if cursor.phase is not CursorPhase.SUSPECT:
        return cursor, None
    if not verified.same:
        return _unsynced(cursor, verified.reason)
    synced = replace(cursor, phase=CursorPhase.SYNCED, shown=cursor.revision)
    return synced, Follow(cursor.revision + 1)
