"""
The interface of backends: sources that list and watch, and registries that keep leases.

Pure: protocols and values only. The module of each store knows its protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from pyconfd.model.keys import KeyValue, Listed, SourceMessage
from pyconfd.model.source import SourceOptions
from pyconfd.model.values import dataclass

__all__ = [
    "KeptAlive",
    "LeaseLife",
    "LeaseRegistry",
    "Mine",
    "Put",
    "Source",
    "SourceOptions",
    "SourceWithPast",
    "StoreStatus",
    "Watch",
]

Put = Callable[[SourceMessage], None]


class Watch(Protocol):
    """Changes of a source, reported by a thread of its own."""

    def stop(self) -> None:
        """
        End the watch within a second, even when the server hangs, and wait for its threads.

        Nothing is put after it returns. Calling it twice is harmless.
        """


@runtime_checkable
class Source(Protocol):
    """One store. `name` is for the log and for messages: "etcd", "file", "env"."""

    name: str

    def list(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:
        """
        All prefixes at one revision.

        prefixes: key paths; a prefix means the key itself and everything below it on a path
        boundary (/app is not /apple), and "/" the whole store.
        Raises SourceUnavailable after `timeout_s`, naming every endpoint and its error, and
        SourceRefused at once for errors that a retry cannot change (credentials, permission, TLS).
        """

    def watch(self, prefixes: Sequence[str], put: Put) -> Watch:
        """
        Start following. The first message is Listed with reason "start".

        prefixes: key paths that do not cover one another (model.keys.covering).
        put: called from threads of the watch, one message after the other; it must not block.
        """

    def close(self) -> None:
        """Close connections. Watches have to be stopped before."""


@runtime_checkable
class SourceWithPast(Source, Protocol):
    """A store that keeps earlier revisions, for some time."""

    def list_at(self, prefixes: Sequence[str], revision: int, *, timeout_s: float) -> Listed:
        """
        Like `list`, at an earlier revision. Raises RevisionCompacted when the revision no longer
        exists, or not yet.
        """

    def list_oldest(self, prefixes: Sequence[str], *, timeout_s: float) -> Listed:
        """Like `list`, at the oldest revision that still exists."""


@dataclass(frozen=True, slots=True)
class LeaseLife:
    """
    The remaining life of a lease.

    lease: its id.
    ttl_s: seconds left, 0 when it is gone.
    granted_s: seconds it was granted for.
    keys: those that end with it.
    """

    lease: int
    ttl_s: int
    granted_s: int
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """
    The status of one member of a store, as it reports it.

    endpoint: as the operator wrote it.
    version: the server's.
    member: its name.
    leader: whether it is the leader.
    revision: of the store as this member has it.
    db_size: bytes on disk.
    alarms: such as NOSPACE.
    error: why it did not answer, or "".
    """

    endpoint: str
    version: str = ""
    member: str = ""
    leader: bool = False
    revision: int = 0
    db_size: int = 0
    alarms: tuple[str, ...] = ()
    error: str = ""


# etcd takes 128 operations in one transaction by default.
MAX_TOGETHER = 100

# Called with every keep-alive answer: the lease and its seconds left, 0 when it is gone.
KeptAlive = Callable[[int, int], None]
# Whether the key that stands there may be replaced by ours.
Mine = Callable[[KeyValue], bool]


class LeaseRegistry(Protocol):
    """
    A store that keeps keys alive under leases. Every call is bounded by the options' timeouts.

    Errors are SourceUnavailable and SourceRefused as for a source, LeaseLost when the lease no
    longer exists, and KeyTaken for a key of another registration. May be called from any thread.
    """

    def grant(self, ttl_s: int) -> int:
        """A new lease of `ttl_s` seconds; its id is never 0."""

    def keep_alive(self, leases: Sequence[int]) -> None:
        """Send one heartbeat for each lease on the one stream; answers go to the callback."""

    def claim(self, key: str, value: bytes, lease: int, mine: Mine) -> None:
        """
        Put the key if it is absent, or if `mine` accepts the existing one, in one transaction.

        Raises KeyTaken when it belongs to another registration, LeaseLost when the lease is gone.
        """

    def claim_absent(self, pairs: Sequence[tuple[str, bytes]], lease: int) -> bool:
        """
        Put all keys if none of them exists; False, and nothing is put, when one does.

        At most MAX_TOGETHER at once. Raises LeaseLost when the lease is gone.
        """

    def commit(
        self,
        expected: Mapping[str, int],
        puts: Sequence[tuple[str, bytes, int]],
        deletes: Sequence[str] = (),
    ) -> bool:
        """
        Several writes in one transaction, if the expected keys were last changed at these revisions
        (0 for an absent key). False, and nothing is done, when one was not. A lost answer may hide
        a success.

        puts: key, value and lease, 0 for none. Raises LeaseLost when the lease is gone.
        """

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        """Put the key, whatever its value was."""

    def delete(self, key: str) -> bool:
        """Remove the key; False when there was none."""

    def revoke(self, lease: int) -> None:
        """End the lease and all its keys; it is no error if the lease is already gone."""

    def get(self, key: str) -> KeyValue | None:
        """One key with its lease, None when there is none."""

    def list(self, prefix: str) -> tuple[KeyValue, ...]:
        """All keys at and below a key path, with their leases, in order of key."""

    def life(self, lease: int) -> LeaseLife:
        """What is left of a lease."""

    def close(self) -> None:
        """End the stream and the connection. Leases stay until they are revoked or run out."""
