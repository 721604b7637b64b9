"""
A lease registry in memory that can fail like etcd. May be used from any thread.

It is the same for every client that shares one FakeStore; time is the caller's clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pyconfd.backends.base import KeptAlive, LeaseLife, Mine
from pyconfd.errors import KeyTaken, LeaseLost, SourceError, SourceUnavailable
from pyconfd.model.keys import KeyValue, is_under


@dataclass(slots=True)
class _Lease:
    ttl_s: int
    expires_at: float


@dataclass(slots=True)
class FakeStore:
    """
    The contents of the server.

    failure: raised by every call while it is set (the server is away)
    silent: heartbeats are not answered
    history: (action, key) of everything that happened to keys, in order: put, delete, expire
    beats: heartbeats that were answered
    """

    clock: Callable[[], float] = time.monotonic
    failure: SourceError | None = None
    silent: bool = False
    keys: dict[str, KeyValue] = field(default_factory=dict)
    leases: dict[int, _Lease] = field(default_factory=dict)
    history: list[tuple[str, str]] = field(default_factory=list)
    beats: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    revision: int = 1
    next_lease: int = 1000

    def go_away(self) -> None:
        """No answer from now on; leases run on."""
        self.failure = SourceUnavailable("connection refused", where="fake")

    def come_back(self) -> None:
        """Answers again."""
        self.failure = None

    def wipe(self) -> None:
        """Remove everything, as if the store had been replaced by an empty one."""
        with self.lock:
            self.keys.clear()
            self.leases.clear()

    def expire(self) -> None:
        """Do what a server does when time passes."""
        with self.lock:
            now = self.clock()
            for lease in [each for each, it in self.leases.items() if it.expires_at <= now]:
                self._end(lease, "expire")

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        """As another client does."""
        with self.lock:
            self.revision += 1
            self.keys[key] = KeyValue(key, value, self.revision, lease)
            self.history.append(("put", key))

    def remove(self, key: str) -> bool:
        """As another client does."""
        with self.lock:
            self.history.append(("delete", key))
            return self.keys.pop(key, None) is not None

    def value(self, key: str) -> str | None:
        """The value that readers see now."""
        self.expire()
        there = self.keys.get(key)
        return there.value.decode() if there else None

    def _end(self, lease: int, action: str) -> None:
        self.leases.pop(lease, None)
        for key in [each.key for each in self.keys.values() if each.lease == lease]:
            del self.keys[key]
            self.history.append((action, key))


class FakeLeases:
    """One client of a FakeStore; implements the LeaseRegistry protocol."""

    def __init__(self, store: FakeStore, answered: KeptAlive) -> None:
        self._store = store
        self._answered = answered
        self.closed = False

    def grant(self, ttl_s: int) -> int:
        with self._call() as store:
            store.next_lease += 1
            store.leases[store.next_lease] = _Lease(ttl_s, store.clock() + ttl_s)
            return store.next_lease

    def keep_alive(self, leases: Sequence[int]) -> None:
        if self._store.silent or self._store.failure is not None:
            return
        with self._call() as store:
            for lease in leases:
                store.beats += 1
                held = store.leases.get(lease)
                if held is not None:
                    held.expires_at = store.clock() + held.ttl_s
                self._answered(lease, held.ttl_s if held else 0)

    def claim(self, key: str, value: bytes, lease: int, mine: Mine) -> None:
        with self._call() as store:
            there = store.keys.get(key)
            if there is not None and not mine(there):
                raise KeyTaken("the key belongs to another registration", where=key)
            self._put(store, key, value, lease)

    def claim_absent(self, pairs: Sequence[tuple[str, bytes]], lease: int) -> bool:
        with self._call() as store:
            if any(key in store.keys for key, _ in pairs):
                return False
            for key, value in pairs:
                self._put(store, key, value, lease)
            return True

    def commit(
        self,
        expected: Mapping[str, int],
        puts: Sequence[tuple[str, bytes, int]],
        deletes: Sequence[str] = (),
    ) -> bool:
        with self._call() as store:
            for key, revision in expected.items():
                there = store.keys.get(key)
                if (there.mod_revision if there else 0) != revision:
                    return False
            for key, value, lease in puts:
                self._put(store, key, value, lease)
            for key in deletes:
                store.remove(key)
            return True

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        with self._call() as store:
            self._put(store, key, value, lease)

    def delete(self, key: str) -> bool:
        with self._call() as store:
            return store.remove(key)

    def revoke(self, lease: int) -> None:
        with self._call() as store:
            store._end(lease, "delete")

    def get(self, key: str) -> KeyValue | None:
        with self._call() as store:
            return store.keys.get(key)

    def list(self, prefix: str) -> tuple[KeyValue, ...]:
        with self._call() as store:
            return tuple(each for key, each in sorted(store.keys.items()) if is_under(key, prefix))

    def life(self, lease: int) -> LeaseLife:
        with self._call() as store:
            held = store.leases.get(lease)
            if held is None:
                return LeaseLife(lease, 0, 0)
            keys = tuple(each.key for each in store.keys.values() if each.lease == lease)
            left_s = max(1, round(held.expires_at - store.clock()))
            return LeaseLife(lease, left_s, held.ttl_s, keys)

    def close(self) -> None:
        self.closed = True

    def _put(self, store: FakeStore, key: str, value: bytes, lease: int) -> None:
        if lease and lease not in store.leases:
            raise LeaseLost("the lease is gone", where=key)
        store.put(key, value, lease)

    def _call(self) -> _Call:
        return _Call(self._store)


class _Call:
    """One call: fails when the server is away, and lets due leases expire first."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store

    def __enter__(self) -> FakeStore:
        if self._store.failure is not None:
            raise self._store.failure
        self._store.lock.acquire()
        self._store.expire()
        return self._store

    def __exit__(self, *exc: object) -> None:
        self._store.lock.release()
