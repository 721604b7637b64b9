"""
A source without a server, which can fail like real stores.

    source = FakeSource({"/app/a": "1"})
    watch = source.watch(("/app",), inbox.put)
    source.put("/app/a", "2")            # Changed
    source.put("/app/a", "3", notify=False)  # the store changed and no watch was notified
    source.lose(); source.put(...); source.recover()   # Lost, then what was missed
    source.wipe({"/app/a": "9"})         # another store answers: Listed

Messages are put by the watch's own thread, as in a real source; `settle` waits until all are put.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import SimpleQueue

from pyconfd.errors import SourceError, SourceUnavailable
from pyconfd.model.keys import (
    Changed,
    KeyChange,
    KeyValue,
    Listed,
    ListOccasion,
    Lost,
    Progressed,
    SourceMessage,
    is_under,
)

Put = Callable[[SourceMessage], None]
JOIN_S = 5.0


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


class FakeSource:
    """
    name: as the messages carry it.
    revision, cluster_id: of the fake store; tests may read them.
    refusal: an error that `list` raises and watches report.
    """

    def __init__(self, keys: Mapping[str, str | bytes] | None = None, name: str = "fake") -> None:
        self.name = name
        self.revision = 1
        self.cluster_id = 77
        self.refusal: SourceError | None = None
        self._lock = threading.RLock()
        self._keys: dict[str, KeyValue] = {}
        self._history: list[tuple[int, tuple[KeyChange, ...]]] = []
        self._watches: list[FakeWatch] = []
        self._late = False
        self._compacted = 0
        if keys:
            self.txn(keys)

    # The Source

    def list(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:  # noqa: ARG002
        with self._lock:
            if self.refusal is not None:
                raise self.refusal
            return self._listed(prefixes, "start", ListOccasion.START)

    def watch(self, prefixes: Sequence[str], put: Put) -> FakeWatch:
        with self._lock:
            watch = FakeWatch(self, tuple(prefixes), put)
            self._watches.append(watch)
            watch.begin()
        return watch

    def close(self) -> None:
        """Do nothing: watches are stopped by those who started them."""

    # What a store does

    def put(self, key: str, value: str | bytes, *, notify: bool = True, lease: int = 0) -> int:
        """One put, one revision. notify=False: the watches never receive it."""
        with self._lock:
            self.revision += 1
            change = KeyChange(key, _bytes(value), self.revision, lease)
            return self._commit((change,), notify)

    def delete(self, key: str, *, notify: bool = True) -> int:
        with self._lock:
            self.revision += 1
            return self._commit((KeyChange(key, None, self.revision),), notify)

    def txn(self, puts: Mapping[str, str | bytes], deletes: Iterable[str] = ()) -> int:
        """Many changes at one revision."""
        with self._lock:
            self.revision += 1
            changes = [KeyChange(key, _bytes(value), self.revision) for key, value in puts.items()]
            changes += [KeyChange(key, None, self.revision) for key in deletes]
            return self._commit(tuple(changes), notify=True)

    def progress(self) -> None:
        """A sign of life to every watch that is not lost."""
        with self._lock:
            for watch in self._watches:
                if watch.cause is None:
                    watch.send(Progressed(self.name, watch.position))

    # How it fails

    def late(self) -> None:
        """Changes are kept back until `catch_up`."""
        with self._lock:
            self._late = True

    def catch_up(self) -> None:
        with self._lock:
            self._late = False
            for watch in self._watches:
                self._resume(watch)

    def repeat(self) -> None:
        """Every watch gets the last whole revision that it saw a second time."""
        with self._lock:
            for watch in self._watches:
                if watch.last is not None:
                    watch.send(watch.last)

    def lose(self, cause: SourceError | None = None) -> None:
        """Make the store unreachable; changes meanwhile are seen after `recover`."""
        with self._lock:
            self.refusal = cause or SourceUnavailable("no answer (pretended)")
            for watch in self._watches:
                if str(watch.cause) != str(self.refusal):
                    watch.cause = self.refusal
                    watch.send(Lost(self.name, self.refusal))

    def recover(self) -> None:
        with self._lock:
            self.refusal = None
            for watch in self._watches:
                if watch.cause is not None:
                    watch.cause = None
                    if not watch.begun:
                        watch.begin()
                    elif not self._resume(watch):
                        watch.send(Progressed(self.name, watch.position))

    def compact(self) -> None:
        """Drop the history: watches that are behind must list again."""
        with self._lock:
            self._compacted = self.revision
            self._history.clear()

    def wipe(self, keys: Mapping[str, str | bytes] | None = None) -> None:
        """Another cluster, at a lower revision, answers from now on."""
        with self._lock:
            self.cluster_id += 1
            self.revision = 1
            self._compacted = 1  # who was away when it happened must list again
            self._keys.clear()
            self._history.clear()
            for key, value in (keys or {}).items():
                self._keys[key] = KeyValue(key, _bytes(value), 1)
            for watch in self._watches:
                if watch.cause is None:
                    watch.replace("another cluster answers")
                else:
                    watch.position = 0

    def settle(self, timeout_s: float = 5.0) -> None:
        """Wait until every watch has put everything. Raises TimeoutError."""
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.settle(timeout_s)

    # Inside

    def _commit(self, changes: tuple[KeyChange, ...], notify: bool) -> int:
        for change in changes:
            if change.value is None:
                self._keys.pop(change.key, None)
            else:
                made = KeyValue(change.key, change.value, change.mod_revision, change.lease)
                self._keys[change.key] = made
        if notify:
            self._history.append((self.revision, changes))
            if not self._late:
                for watch in self._watches:
                    self._resume(watch)
        return self.revision

    def _resume(self, watch: FakeWatch) -> bool:
        """Send the watch what it has not seen; whether there was anything."""
        if watch.cause is not None or not watch.begun:
            return False
        if watch.position < self._compacted:
            watch.replace("the history was compacted")
            return True
        found = False
        for revision, changes in self._history:
            ours = tuple(each for each in changes if watch.wants(each.key))
            if revision > watch.position and ours:
                watch.send_changed(Changed(self.name, revision, ours))
                found = True
        watch.position = max(watch.position, self.revision)
        return found

    def _listed(self, prefixes: Sequence[str], reason: str, occasion: ListOccasion) -> Listed:
        keys = tuple(
            each
            for each in self._keys.values()
            if any(is_under(each.key, prefix) for prefix in prefixes)
        )
        return Listed(self.name, self.cluster_id, self.revision, keys, reason, occasion)

    def _forget(self, watch: FakeWatch) -> None:
        with self._lock:
            if watch in self._watches:
                self._watches.remove(watch)


class FakeWatch:
    """One watch; its thread puts what the source sends."""

    def __init__(self, source: FakeSource, prefixes: tuple[str, ...], put: Put) -> None:
        self.position = 0
        self.last: Changed | None = None
        self.cause: SourceError | None = None
        self.begun = False
        self._source = source
        self._prefixes = prefixes
        self._put = put
        self._queue: SimpleQueue[SourceMessage | threading.Event | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="fake-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._source._forget(self)
        self._queue.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def begin(self) -> None:
        """The first list, or Lost when there is none."""
        if self._source.refusal is not None:
            self.cause = self._source.refusal
            self.send(Lost(self._source.name, self.cause))
        else:
            self.replace("start", ListOccasion.START)

    def replace(self, reason: str, occasion: ListOccasion = ListOccasion.RELIST) -> None:
        self.begun = True
        self.position = self._source.revision
        self.last = None  # no store repeats what was before a listing, least of all another one
        self.send(self._source._listed(self._prefixes, reason, occasion))

    def wants(self, key: str) -> bool:
        return any(is_under(key, prefix) for prefix in self._prefixes)

    def send_changed(self, changed: Changed) -> None:
        self.last = changed
        self.send(changed)

    def send(self, message: SourceMessage) -> None:
        self._queue.put(message)

    def settle(self, timeout_s: float) -> None:
        done = threading.Event()
        self._queue.put(done)
        deadline = time.monotonic() + timeout_s
        while not (done.wait(0.05) or self._stopped):  # a watch that is stopped puts nothing more
            if time.monotonic() > deadline:
                raise TimeoutError("the fake watch has not put all its messages")

    def _run(self) -> None:
        while (item := self._queue.get()) is not None and not self._stopped:
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._put(item)
