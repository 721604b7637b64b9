"""
Carries out the machines' commands in the store, and returns the messages for them. Shell.

A store that does not answer is not asked again for a moment, so that a thousand members do not wait
for a thousand timeouts; nor is one that refuses leases. A refusal of one key concerns only its
member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pyconfd.backends.base import LeaseRegistry
from pyconfd.errors import KeyTaken, LeaseLost, SourceError, SourceRefused
from pyconfd.model.keys import KeyValue
from pyconfd.registration.declaration import Announcement
from pyconfd.registration.registrar import lease_session as session
from pyconfd.registration.registrar import member

UNAVAILABLE_PAUSE_S = 0.2
REFUSED_PAUSE_S = 5.0


class LeaseClient:
    """
    The operations of the store that the machines need. For one thread.

    open_registry: called at the first command, not before.
    """

    def __init__(
        self, open_registry: Callable[[], LeaseRegistry], clock: Callable[[], float]
    ) -> None:
        self._open = open_registry
        self._clock = clock
        self._registry: LeaseRegistry | None = None
        self._away_until = 0.0
        self._own_leases: set[int] = set()
        self.problem = ""

    def grant(self, ttl_s: int) -> session.Message:
        asked_at = self._clock()
        try:
            lease = self._store().grant(ttl_s)
        except SourceError as error:
            return session.Failed(self._failed(error, REFUSED_PAUSE_S))
        self._answered()
        self._own_leases.add(lease)
        return session.Granted(lease, float(ttl_s), asked_at)

    def commit(
        self,
        expected: Mapping[str, int],
        puts: Sequence[tuple[str, bytes, int]],
        deletes: Sequence[str] = (),
    ) -> bool:
        """As in LeaseRegistry. Raises SourceError, LeaseLost."""
        try:
            done = self._store().commit(expected, puts, deletes)
        except SourceError as error:
            self._failed(error)
            raise
        self._answered()
        return done

    def get(self, key: str) -> KeyValue | None:
        """One key. Raises SourceError."""
        try:
            there = self._store().get(key)
        except SourceError as error:
            self._failed(error)
            raise
        self._answered()
        return there

    def keep_alive(self, lease: int) -> None:
        """
        Send a heartbeat; the answer comes through the callback of the registry. The call does not
        wait, so it is made even after an earlier failure.
        """
        if self._registry is None:
            return
        try:
            self._registry.keep_alive([lease])
        except SourceError as error:
            self._failed(error)

    def revoke(self, lease: int) -> session.Message:
        try:
            self._store().revoke(lease)
        except LeaseLost:
            pass
        except SourceError as error:
            return session.Failed(self._failed(error))
        self._answered()
        return session.Revoked(lease)

    def claim(
        self, announced: Announcement, value: bytes, lease: int, again: bool
    ) -> member.Message | session.Gone:
        """Put the key, unless another registration has it. again: as in member.Claim."""

        def mine(there: KeyValue) -> bool:
            if there.lease in self._own_leases:
                return True
            if again:
                return False
            return announced.declared.takeover or announced.is_same_member(there)

        try:
            self._store().claim(announced.key, value, lease, mine)
        except KeyTaken as error:
            self._answered()
            return member.ClaimFailed(str(error), taken=True)
        except LeaseLost:
            self._answered()
            return session.Gone(lease)
        except SourceRefused as error:
            return member.ClaimFailed(str(error), refused=True)
        except SourceError as error:
            return member.ClaimFailed(self._failed(error))
        self._answered()
        return member.Claimed(lease)

    def claim_absent(self, several: Sequence[tuple[Announcement, bytes]], lease: int) -> bool:
        """
        Put all keys at once if none of them exists. False when they have to be claimed one by one,
        which also finds the reason.
        """
        pairs = [(announced.key, value) for announced, value in several]
        try:
            done = self._store().claim_absent(pairs, lease)
        except LeaseLost:
            return False
        except SourceError as error:
            self._failed(error)
            return False
        self._answered()
        return done

    def withdraw(self, key: str) -> member.Message:
        """Delete the key if it is still under one of this process's leases."""
        try:
            there = self._store().get(key)
            if there is not None and there.lease in self._own_leases:
                self._store().delete(key)
        except SourceError as error:
            return member.Withdrawn(self._failed(error))
        self._answered()
        return member.Withdrawn()

    def keys_under(self, lease: int) -> frozenset[str] | None:
        """The keys under a lease; None when they are not known or the lease is gone."""
        try:
            life = self._store().life(lease)
        except (SourceError, LeaseLost):
            return None
        return frozenset(life.keys) if life.ttl_s > 0 else None

    def answers(self, key: str) -> bool:
        """Whether the store answers a question about this key now."""
        try:
            self._store().get(key)
        except SourceError as error:
            self._failed(error, REFUSED_PAUSE_S)
            return False
        self._answered()
        return True

    def close(self) -> None:
        if self._registry is not None:
            self._registry.close()

    def _store(self) -> LeaseRegistry:
        if self._clock() < self._away_until:
            raise _StillAway(self.problem)
        if self._registry is None:
            self._registry = self._open()
        return self._registry

    def _failed(self, error: SourceError, refused_pause_s: float = 0.0) -> str:
        """The text of the error. refused_pause_s: how long not to ask a store that has refused."""
        if isinstance(error, _StillAway):
            return self.problem
        refused = isinstance(error, SourceRefused)
        if refused and not refused_pause_s:
            return str(error)
        self._away_until = self._clock() + (refused_pause_s if refused else UNAVAILABLE_PAUSE_S)
        self.problem = str(error)
        return self.problem

    def _answered(self) -> None:
        self.problem = ""


class _StillAway(SourceError):
    """The store did not answer a moment ago and is not asked again yet."""
