"""
The state machine of one lease. Pure; the clock and the jitter are passed in.

    phase      message                    next       command
    idle       acquire, or retry due      granting   Grant
    granting   granted                    held       LeaseUp; heartbeats from now on
    granting   failed                     idle       retry soon, with jitter
    held       heartbeat due              held       KeepAlive
    held       kept alive, seconds left   held       -
    held       gone                       idle       LeaseDown; grant again
    held       silent for 2/3 of the TTL  suspect    keep trying
    suspect    kept alive                 held       -
    suspect    silent for the whole TTL   idle       LeaseDown; grant when reachable
    any        release                    revoking   Revoke, again until done or expired
    revoking   revoked, or TTL over       idle       LeaseDown

The server counts the TTL from the arrival of a heartbeat; here it counts from its sending. So a
lease is never assumed to live longer than on the server. The clock must go on while the machine
sleeps.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from pyconfd.model.backoff import exponential_s

FIRST_RETRY_S = 0.1
MAX_RETRY_S = 0.5  # a store that is back must see us within a second
BROKEN_PAUSE_S = 0.2  # a stream that breaks at each heartbeat must not make a tight loop
VERIFY_BEATS = 3  # once per TTL the keys under the lease are compared with ours


class LeasePhase(enum.StrEnum):
    """The states of a lease."""

    IDLE = "idle"
    GRANTING = "granting"
    HELD = "held"
    SUSPECT = "suspect"
    REVOKING = "revoking"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """
    One lease and what is known of it.

    asked_ttl_s: the requested TTL
    wanted: whether a member needs it
    lease: its id, 0 when there is none
    ttl_s: the TTL the server gave
    renewed_at: when the last answered heartbeat was sent
    beat_sent_at: when the oldest unanswered heartbeat was sent
    due_at: when to act next (beat, grant or revoke again), None when there is nothing to do
    failures: how many in a row
    beats: heartbeats sent so far
    problem: what failed last, for people; "" when nothing did
    """

    asked_ttl_s: int
    phase: LeasePhase = LeasePhase.IDLE
    wanted: bool = False
    lease: int = 0
    ttl_s: float = 0.0
    renewed_at: float = 0.0
    beat_sent_at: float | None = None
    due_at: float | None = None
    failures: int = 0
    beats: int = 0
    problem: str = ""

    @property
    def expires_at(self) -> float:
        """When the lease must be assumed gone."""
        return self.renewed_at + self.ttl_s

    @property
    def usable(self) -> bool:
        """Whether keys may be put under it."""
        return self.phase in (LeasePhase.HELD, LeasePhase.SUSPECT)


@dataclass(frozen=True, slots=True)
class Acquire:
    """A member wants to put a key under it."""


@dataclass(frozen=True, slots=True)
class Release:
    """No member needs it any more."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The server gave a lease. asked_at: when the request was sent."""

    lease: int
    ttl_s: float
    asked_at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A grant or a revocation was refused or not answered."""

    problem: str


@dataclass(frozen=True, slots=True)
class KeptAlive:
    """The answer to a heartbeat; 0 seconds left means that the lease is gone."""

    lease: int
    left_s: float


@dataclass(frozen=True, slots=True)
class Gone:
    """The server does not know the lease (a put under it was refused)."""

    lease: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """The server ended the lease on request."""

    lease: int


@dataclass(frozen=True, slots=True)
class StreamBroken:
    """
    The heartbeat stream broke: ask at once, because the store may come back with other leases.
    """


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Message = Acquire | Release | Granted | Failed | KeptAlive | Gone | Revoked | StreamBroken | Tick


@dataclass(frozen=True, slots=True)
class Grant:
    """Ask for a lease."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Send one heartbeat; verify: also compare the keys under the lease with the members' keys."""

    lease: int
    verify: bool = False


@dataclass(frozen=True, slots=True)
class Revoke:
    """End the lease."""

    lease: int


@dataclass(frozen=True, slots=True)
class LeaseUp:
    """Keys can be put under this lease. The members are notified."""

    lease: int


@dataclass(frozen=True, slots=True)
class LeaseDown:
    """The lease and every key under it are gone. The members are notified."""

    lease: int
    why: str


Command = Grant | KeepAlive | Revoke | LeaseUp | LeaseDown
Step = tuple[Lease, tuple[Command, ...]]


def step(lease: Lease, message: Message, now: float, jitter: float) -> Step:
    """The next state of the lease, and the commands. jitter: 0 to 1, spreads many processes."""
    match message:
        case Acquire():
            return _acquire(lease, now)
        case Release():
            return _release(lease)
        case Granted():
            return _granted(lease, message, now, jitter)
        case Failed(problem):
            return _failed(lease, problem, now, jitter)
        case KeptAlive(ident, left_s):
            return _kept_alive(lease, ident, left_s, now, jitter)
        case Gone(ident):
            return _lost(lease, ident, "the store no longer knows the lease", now, jitter)
        case Revoked(ident):
            return _revoked(lease, ident)
        case StreamBroken():
            return _broken(lease, now)
        case Tick():
            return _tick(lease, now, jitter)


def next_due(lease: Lease) -> float | None:
    """When the next Tick is due; None when only a message can change the state."""
    if not lease.lease:
        return lease.due_at
    turns = [lease.expires_at]
    if lease.phase is LeasePhase.HELD:
        turns.append(_suspect_at(lease))
    if lease.due_at is not None:
        turns.append(lease.due_at)
    return min(turns)


def _suspect_at(lease: Lease) -> float:
    return lease.renewed_at + lease.ttl_s * 2 / 3


def _beat_in(lease: Lease, jitter: float) -> float:
    """
    Seconds to the next heartbeat: a third of the TTL, a tenth more or less.

    While an answer is missing, heartbeats are four times as frequent, but never a tight loop.
    """
    if lease.beat_sent_at is None:
        return lease.ttl_s / 3 * (0.9 + 0.2 * jitter)
    return max(0.2, min(MAX_RETRY_S, lease.ttl_s / 12)) * (0.9 + 0.2 * jitter)


def _retry_in(failures: int, jitter: float) -> float:
    return exponential_s(failures, FIRST_RETRY_S, MAX_RETRY_S) * (0.5 + jitter / 2)


def _empty(lease: Lease, problem: str) -> Lease:
    """The state without a lease; `wanted` is unchanged."""
    return Lease(asked_ttl_s=lease.asked_ttl_s, wanted=lease.wanted, problem=problem)


def _grant(lease: Lease) -> Step:
    return replace(lease, phase=LeasePhase.GRANTING, due_at=None), (Grant(),)


def _acquire(lease: Lease, now: float) -> Step:
    lease = replace(lease, wanted=True)
    if lease.phase is LeasePhase.IDLE and (lease.due_at is None or lease.due_at <= now):
        return _grant(lease)
    return lease, ()


def _release(lease: Lease) -> Step:
    lease = replace(lease, wanted=False)
    if lease.usable:
        return replace(lease, phase=LeasePhase.REVOKING, due_at=None, failures=0), (
            Revoke(lease.lease),
        )
    if lease.phase is LeasePhase.IDLE:
        return replace(lease, due_at=None, failures=0), ()
    return lease, ()


def _granted(lease: Lease, message: Granted, now: float, jitter: float) -> Step:
    if lease.phase is not LeasePhase.GRANTING:
        return lease, (Revoke(message.lease),)
    lease = Lease(
        asked_ttl_s=lease.asked_ttl_s,
        phase=LeasePhase.HELD,
        wanted=lease.wanted,
        lease=message.lease,
        ttl_s=message.ttl_s,
        renewed_at=message.asked_at,
    )
    # The first heartbeat goes at once: only an open stream can break and show us a store
    # that comes back without the lease.
    lease = replace(lease, due_at=now)
    if not lease.wanted:
        return _release(lease)
    if lease.expires_at <= now:  # the answer was older than the lease: the machine slept
        return _lost(lease, lease.lease, "expired before it was known", now, jitter)
    return lease, (LeaseUp(lease.lease),)


def _failed(lease: Lease, problem: str, now: float, jitter: float) -> Step:
    lease = replace(lease, failures=lease.failures + 1, problem=problem)
    due_at = now + _retry_in(lease.failures, jitter)
    if lease.phase is LeasePhase.GRANTING:
        return replace(lease, phase=LeasePhase.IDLE, due_at=due_at if lease.wanted else None), ()
    if lease.phase is LeasePhase.REVOKING:
        return replace(lease, due_at=due_at), ()
    return lease, ()


def _kept_alive(lease: Lease, ident: int, left_s: float, now: float, jitter: float) -> Step:
    if ident != lease.lease or not lease.usable:
        return lease, ()
    if left_s <= 0:
        return _lost(lease, ident, "the store no longer knows the lease", now, jitter)
    if lease.beat_sent_at is None:  # a second answer to what was counted already
        return lease, ()
    lease = replace(
        lease, phase=LeasePhase.HELD, renewed_at=lease.beat_sent_at, beat_sent_at=None, problem=""
    )
    return replace(lease, due_at=now + _beat_in(lease, jitter)), ()


def _lost(lease: Lease, ident: int, why: str, now: float, jitter: float) -> Step:
    if not ident or ident != lease.lease:
        return lease, ()
    gone = _empty(lease, why)
    if gone.wanted:
        gone = replace(gone, due_at=now + FIRST_RETRY_S * jitter)
    return gone, (LeaseDown(ident, why),)


def _revoked(lease: Lease, ident: int) -> Step:
    if ident != lease.lease or lease.phase is not LeasePhase.REVOKING:
        return lease, ()
    gone = _empty(lease, "")
    down = LeaseDown(ident, "revoked")
    if not gone.wanted:
        return gone, (down,)
    gone, commands = _grant(gone)
    return gone, (down, *commands)


def _broken(lease: Lease, now: float) -> Step:
    if not lease.usable:
        return lease, ()
    soon = now + BROKEN_PAUSE_S
    return replace(lease, due_at=soon if lease.due_at is None else min(lease.due_at, soon)), ()


def _tick(lease: Lease, now: float, jitter: float) -> Step:
    if lease.lease and now >= lease.expires_at:
        why = "no answer for a whole TTL: the lease must be assumed gone"
        return _lost(lease, lease.lease, why, now, jitter)
    if lease.phase is LeasePhase.HELD and now >= _suspect_at(lease):
        lease = replace(lease, phase=LeasePhase.SUSPECT, problem="no answer from the store")
    if lease.due_at is None or now < lease.due_at:
        return lease, ()
    match lease.phase:
        case LeasePhase.IDLE:
            return _grant(lease) if lease.wanted else (replace(lease, due_at=None), ())
        case LeasePhase.HELD | LeasePhase.SUSPECT:
            return _beat(lease, now, jitter)
        case LeasePhase.REVOKING:
            return replace(lease, due_at=None), (Revoke(lease.lease),)
        case LeasePhase.GRANTING:
            return replace(lease, due_at=None), ()


def _beat(lease: Lease, now: float, jitter: float) -> Step:
    calm = lease.beat_sent_at is None
    sent_at = now if lease.beat_sent_at is None else lease.beat_sent_at
    lease = replace(lease, beat_sent_at=sent_at, beats=lease.beats + 1)
    verify = calm and lease.beats % VERIFY_BEATS == 0
    return replace(lease, due_at=now + _beat_in(lease, jitter)), (KeepAlive(lease.lease, verify),)
