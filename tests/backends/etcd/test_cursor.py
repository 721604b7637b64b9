"""The watch cursor as a table, and against a model of a store that compacts, wipes and lies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconfd.backends.etcd import cursor as at
from pyconfd.backends.etcd.cursor import Cursor, CursorPhase, step

UNSYNCED = Cursor()
SYNCED = Cursor(CursorPhase.SYNCED, revision=10, cluster_id=1, shown=12)
SUSPECT = Cursor(CursorPhase.SUSPECT, revision=10, cluster_id=1, shown=12)
BEHIND = replace(SYNCED, behind_since=100.0, behind_at=20)

TABLE = [
    # Unsynced: only a list helps.
    (UNSYNCED, at.ListedAt(1, 10), CursorPhase.SYNCED, 10, at.Follow(11)),
    (UNSYNCED, at.Batch(1, 5), CursorPhase.UNSYNCED, 0, None),
    (UNSYNCED, at.Notice(1, 5), CursorPhase.UNSYNCED, 0, None),
    (UNSYNCED, at.Probed(1, 5, 0, 10), CursorPhase.UNSYNCED, 0, None),
    (UNSYNCED, at.Ended(), CursorPhase.UNSYNCED, 0, None),
    (UNSYNCED, at.Verified(same=True), CursorPhase.UNSYNCED, 0, None),
    # Synced: whole revisions move it, nothing else does.
    (SYNCED, at.Batch(1, 11), CursorPhase.SYNCED, 11, at.Deliver()),
    (SYNCED, at.Batch(1, 99), CursorPhase.SYNCED, 99, at.Deliver()),
    (SYNCED, at.Batch(1, 10), CursorPhase.SYNCED, 10, None),
    (SYNCED, at.Batch(1, 3), CursorPhase.SYNCED, 10, None),
    (SYNCED, at.Notice(1, 99), CursorPhase.SYNCED, 10, None),
    (SYNCED, at.Notice(1, 3), CursorPhase.SYNCED, 10, None),
    (SYNCED, at.Compacted(), CursorPhase.UNSYNCED, 0, at.List("the history was compacted")),
    (SYNCED, at.Ended(), CursorPhase.SUSPECT, 10, at.Verify(10)),
    (SYNCED, at.ListedAt(1, 30), CursorPhase.SYNCED, 30, at.Follow(31)),
    (SYNCED, at.RelistRequested("reload"), CursorPhase.UNSYNCED, 0, at.List("reload")),
    # Another store.
    (SYNCED, at.Batch(2, 11), CursorPhase.UNSYNCED, 0, at.List("another cluster answers")),
    (SYNCED, at.Notice(2, 11), CursorPhase.UNSYNCED, 0, at.List("another cluster answers")),
    (SYNCED, at.Probed(2, 11, 0, 10), CursorPhase.UNSYNCED, 0, at.List("another cluster answers")),
    (
        SYNCED,
        at.Probed(1, 9, 0, 10),
        CursorPhase.UNSYNCED,
        0,
        at.List("the store's revision went back (wiped or restored)"),
    ),
    # The answer was overtaken by events that were delivered after the question.
    (
        replace(SYNCED, revision=12, shown=12),
        at.Probed(1, 11, 0, 10),
        CursorPhase.SYNCED,
        12,
        None,
    ),
    # Silence.
    (SYNCED, at.Probed(1, 12, 0, 10), CursorPhase.SYNCED, 10, None),
    (SYNCED, at.Probed(1, 20, 0, 10), CursorPhase.SYNCED, 10, at.AskProgress()),
    (BEHIND, at.Probed(1, 25, 101.0, 10), CursorPhase.SYNCED, 10, at.AskProgress()),
    (BEHIND, at.Probed(1, 25, 100.0 + at.GRACE_S, 10), CursorPhase.SUSPECT, 10, at.Verify(10)),
    (
        replace(BEHIND, strikes=1),
        at.Probed(1, 25, 100.0 + 2 * at.GRACE_S, 10),
        CursorPhase.UNSYNCED,
        0,
        at.List("the stream stayed silent while the store moved on"),
    ),
    (
        replace(BEHIND, strikes=1),
        at.Probed(1, 25, 100.0 + 1.5 * at.GRACE_S, 10),
        CursorPhase.SYNCED,
        10,
        at.AskProgress(),
    ),
    # Suspect: nothing is believed before the store was verified.
    (SUSPECT, at.Verified(same=True), CursorPhase.SYNCED, 10, at.Follow(11)),
    (SUSPECT, at.Verified(same=False, reason="wiped"), CursorPhase.UNSYNCED, 0, at.List("wiped")),
    (SUSPECT, at.Batch(1, 11), CursorPhase.SUSPECT, 10, None),
    (SUSPECT, at.Notice(1, 11), CursorPhase.SUSPECT, 10, None),
    (SUSPECT, at.Probed(1, 99, 0, 10), CursorPhase.SUSPECT, 10, None),
    (SUSPECT, at.Ended(), CursorPhase.SUSPECT, 10, None),
    (SUSPECT, at.Compacted(), CursorPhase.UNSYNCED, 0, at.List("the history was compacted")),
]


@pytest.mark.parametrize(
    ("before", "message", "phase", "revision", "command"),
    TABLE,
    ids=[f"{row[0].phase.value}-{type(row[1]).__name__}-{n}" for n, row in enumerate(TABLE)],
)
def test_the_table(
    before: Cursor,
    message: at.Message,
    phase: CursorPhase,
    revision: int,
    command: at.Command | None,
) -> None:
    """Each row of the module's docstring, and what is ignored."""
    after, done = step(before, message)
    assert (after.phase, after.revision, done) == (phase, revision, command)


def test_a_sign_of_the_stream_lifts_the_suspicion() -> None:
    """What the probe saw has been shown: the strikes are forgotten."""
    for word in (at.Notice(1, 20), at.Batch(1, 20)):
        after, _ = step(replace(BEHIND, strikes=3), word)
        assert (after.behind_since, after.strikes) == (None, 0)


def test_a_silent_stream_is_not_listed_ever_faster() -> None:
    """The grace doubles with each strike, up to a cap."""
    cursor, now, lists = SYNCED, 0.0, 0
    for tick in range(1000):
        now += 5.0
        cursor, command = step(cursor, at.Probed(1, 1000 + tick, now, cursor.revision))
        if isinstance(command, at.List):
            lists += 1
            cursor, _ = step(cursor, at.ListedAt(1, cursor.revision or 10))
        elif isinstance(command, at.Verify):
            cursor, _ = step(cursor, at.Verified(same=True))
    assert lists < 15  # in 5000 s


@dataclass
class Store:
    """A store with a history; `kept` is what can still be watched."""

    cluster_id: int = 1
    revision: int = 1
    compacted: int = 0
    history: list[tuple[int, str, int | None]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)

    def write(self, key: str, value: int | None) -> None:
        self.revision += 1
        self.history.append((self.revision, key, value))
        if value is None:
            self.keys.pop(key, None)
        else:
            self.keys[key] = value


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 9)),
        st.tuples(st.just("delete"), st.sampled_from("abc")),
        st.tuples(st.just("deliver"), st.integers(1, 3)),
        st.tuples(st.just("replay")),
        st.tuples(st.just("break")),
        st.tuples(st.just("compact")),
        st.tuples(st.just("wipe"), st.booleans()),
        st.tuples(st.just("probe")),
        st.tuples(st.just("notice"), st.integers(0, 5)),
    ),
    max_size=40,
)


class Follower:
    """Carries out the cursor's commands against the model store; `mirror` is what is believed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.cursor = Cursor()
        self.mirror: dict[str, int] = {}
        self.next_revision: int | None = None
        self.delivered: list[int] = []
        self.landmark: tuple[int, str, int | None] | None = None
        self.do(at.List("start"))

    def say(self, message: at.Message) -> None:
        self.cursor, command = step(self.cursor, message)
        self.do(command)

    def do(self, command: at.Command | None) -> None:
        match command:
            case at.List():
                self.next_revision = None
                self.mirror = dict(self.store.keys)
                self.delivered = []
                self.landmark = self.store.history[-1] if self.store.history else None
                self.say(at.ListedAt(self.store.cluster_id, self.store.revision))
            case at.Verify(revision):
                self.next_revision = None
                known = self.landmark is None or self.landmark in self.store.history
                same = known and self.store.revision >= revision
                self.say(at.Verified(same, "wiped"))
            case at.Follow(start):
                if start <= self.store.compacted:
                    self.say(at.Compacted())
                else:
                    self.next_revision = start

    def deliver(self, count: int) -> None:
        pending = [
            e for e in self.store.history if self.next_revision and e[0] >= self.next_revision
        ]
        for entry in pending[:count]:
            self.next_revision = entry[0] + 1
            before = self.cursor.revision
            self.cursor, command = step(self.cursor, at.Batch(self.store.cluster_id, entry[0]))
            if isinstance(command, at.Deliver):
                assert entry[0] > before
                self.apply(entry)
            else:
                self.do(command)
                return

    def apply(self, entry: tuple[int, str, int | None]) -> None:
        revision, key, value = entry
        assert revision not in self.delivered, "twice"
        self.delivered.append(revision)
        self.landmark = entry
        if value is None:
            self.mirror.pop(key, None)
        else:
            self.mirror[key] = value


def _happens(action: tuple[object, ...], store: Store, follower: Follower, now: float) -> None:
    match action:
        case ("put", str(key), int(value)):
            store.write(key, value)
        case ("delete", str(key)):
            store.write(key, None)
        case ("compact",):
            store.compacted = store.revision
            if follower.next_revision and follower.next_revision <= store.compacted:
                follower.say(at.Ended())
        case ("wipe", bool(other)):
            store.revision, store.compacted = 1, 0
            store.cluster_id += int(other)
            store.history.clear()
            store.keys.clear()
            follower.say(at.Ended())
        case _:
            _is_said(action, store, follower, now)


def _is_said(action: tuple[object, ...], store: Store, follower: Follower, now: float) -> None:
    match action:
        case ("deliver", int(count)):
            follower.deliver(count)
        case ("replay",):
            if follower.delivered:
                follower.say(at.Batch(store.cluster_id, follower.delivered[-1]))
        case ("break",):
            follower.say(at.Ended())
        case ("probe",):
            follower.say(at.Probed(store.cluster_id, store.revision, now, follower.cursor.revision))
        case ("notice", int(ahead)):
            follower.say(at.Notice(store.cluster_id, store.revision + ahead))


@settings(max_examples=200, deadline=None)
@given(ACTIONS)
def test_whatever_happens_the_mirror_becomes_the_store(actions: list[tuple[object, ...]]) -> None:
    """After any story the stream only has to be drained: nothing is lost, nothing comes twice."""
    store = Store()
    follower = Follower(store)
    for now, action in enumerate(actions):
        _happens(action, store, follower, float(now))
    follower.deliver(1000)
    follower.deliver(1000)
    assert follower.mirror == store.keys
    assert follower.cursor.revision <= store.revision
