"""
The state machine of one member's key. Pure.

    phase        message                next         command
    waiting      wanted, lease, due     preparing    Prepare (only with a `before` command)
    waiting      wanted, lease, due     claiming     Claim
    preparing    prepared               claiming     Claim
    preparing    not prepared           waiting      again later
    claiming     claimed                registered   -
    claiming     refused, unreachable   waiting      again soon
    claiming     taken                  taken        again later: the other may go away
    registered   value changed          claiming     Claim (the key is never deleted in between)
    registered   key gone or taken      waiting      Claim again
    registered   lease down             waiting      -
    any          unwanted               withdrawing  Withdraw, when a key may be there
    withdrawing  withdrawn, lease down  cleaning     Clean (only with an `after_withdraw` command)

The outcome of a command is always awaited, and whatever happens meanwhile is decided then. So a
withdrawal never overtakes a claim that is under way.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from pyconfd.model.backoff import exponential_s
from pyconfd.registration.reason import Reason
from pyconfd.registration.registrar.lease_session import LeaseDown, LeaseUp, Tick

CLAIM_RETRY_S = 0.25
MAX_CLAIM_RETRY_S = 0.5
TAKEN_RETRY_S = 2.0
PREPARE_RETRY_S = 1.0
MAX_PREPARE_RETRY_S = 30.0


class MemberPhase(enum.StrEnum):
    """The states of a member."""

    WAITING = "waiting"
    PREPARING = "preparing"
    CLAIMING = "claiming"
    REGISTERED = "registered"
    TAKEN = "taken"
    WITHDRAWING = "withdrawing"
    CLEANING = "cleaning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """
    One member and what is known of its key.

    before: whether it has a `before` command
    after: whether it has an `after_withdraw` command
    wanted: healthy and not in maintenance
    lease: the lease that keys can be put under now, 0 for none
    held: the lease under which its key is or may be, 0 for none
    prepared: `before` has succeeded since the key was last there
    seen: its key has existed since the start
    stale: the value has changed since it was put
    dirty: `after_withdraw` is pending
    due_at: when to try again, None for at once
    failures: how many in a row
    reason: why it is in this phase
    why: the same, for people
    """

    before: bool = False
    after: bool = False
    phase: MemberPhase = MemberPhase.WAITING
    wanted: bool = False
    lease: int = 0
    held: int = 0
    prepared: bool = False
    seen: bool = False
    stale: bool = False
    dirty: bool = False
    due_at: float | None = None
    failures: int = 0
    reason: Reason = Reason.NONE
    why: str = ""

    @property
    def busy(self) -> bool:
        """Whether the outcome of a command is still awaited."""
        return self.phase in BUSY


BUSY = frozenset(
    {MemberPhase.PREPARING, MemberPhase.CLAIMING, MemberPhase.WITHDRAWING, MemberPhase.CLEANING}
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """It is healthy and should be in rotation."""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """It should not be in rotation. why: the reason, for people."""

    why: str
    reason: Reason = Reason.UNHEALTHY


@dataclass(frozen=True, slots=True)
class Prepared:
    """`before` ended; problem is empty when it succeeded."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The key is under this lease."""

    lease: int


@dataclass(frozen=True, slots=True)
class ClaimFailed:
    """
    The key was not put, or that is not known.

    taken: another registration's key is there
    refused: the store answered, and a quick retry would hardly change the answer
    """

    problem: str
    taken: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class KeyGone:
    """The key is no longer under its lease."""

    lease: int


@dataclass(frozen=True, slots=True)
class ValueChanged:
    """The value to publish has changed."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The key is gone; problem is empty unless the withdrawal failed."""

    problem: str = ""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`after_withdraw` ended, successfully or not."""


Message = (
    Wanted
    | Unwanted
    | LeaseUp
    | LeaseDown
    | Prepared
    | Claimed
    | ClaimFailed
    | KeyGone
    | ValueChanged
    | Withdrawn
    | Cleaned
    | Tick
)


@dataclass(frozen=True, slots=True)
class Prepare:
    """Run `before`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """
    Put the key under the lease.

    again: the member's key was here before. So a process that has put the same address since then
    is newer, and its key must be left alone.
    """

    lease: int
    again: bool


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Remove the key."""

    lease: int


@dataclass(frozen=True, slots=True)
class Clean:
    """Run `after_withdraw`."""


Command = Prepare | Claim | Withdraw | Clean
Step = tuple[Member, Command | None]


def step(member: Member, message: Message, now: float, jitter: float) -> Step:
    """The next state of the member, and the commands. jitter: 0 to 1, spreads many processes."""
    return _settle(_noted(member, message, now, jitter), now)


def _noted(member: Member, message: Message, now: float, jitter: float) -> Member:
    """The member after noting the message, before any decision."""
    match message:
        case Wanted():
            return member if member.wanted else replace(member, wanted=True, due_at=None)
        case Unwanted(why, reason):
            return replace(member, wanted=False, prepared=False, reason=reason, why=why)
        case LeaseUp(lease):
            return replace(member, lease=lease, due_at=None)
        case LeaseDown(lease, why):
            return _lease_down(member, lease, why)
        case ValueChanged():
            return replace(member, stale=True)
        case KeyGone(lease):
            return _key_gone(member, lease)
        case Tick():
            return member
        case _:
            return _outcome(member, message, now, jitter)


def _outcome(member: Member, message: Message, now: float, jitter: float) -> Member:
    """The member after the outcome of its command; an outcome that is not awaited is ignored."""
    match message, member.phase:
        case Prepared(problem), MemberPhase.PREPARING:
            return _prepared(member, problem, now, jitter)
        case Claimed(lease), MemberPhase.CLAIMING:
            return _claimed(member, lease)
        case ClaimFailed(), MemberPhase.CLAIMING:
            return _claim_failed(member, message, now, jitter)
        case Withdrawn(problem), MemberPhase.WITHDRAWING:
            return _withdrawn(member, problem, now, jitter)
        case Cleaned(), MemberPhase.CLEANING:
            return replace(member, phase=MemberPhase.WAITING)
    return member


def _settle(member: Member, now: float) -> Step:
    """The next command, if one is due."""
    if member.busy or (member.due_at is not None and now < member.due_at):
        return member, None
    member = replace(member, due_at=None)
    if member.dirty:
        return replace(member, phase=MemberPhase.CLEANING, dirty=False), Clean()
    if not member.wanted:
        return _towards_absence(member)
    if not member.lease:
        return (replace(member, phase=MemberPhase.WAITING) if not member.held else member), None
    if member.phase is MemberPhase.REGISTERED and member.held == member.lease and not member.stale:
        return member, None
    # A key that is there is only refreshed: `before` is for coming back.
    if member.before and not member.prepared and not member.held:
        return replace(member, phase=MemberPhase.PREPARING), Prepare()
    member = replace(member, phase=MemberPhase.CLAIMING, stale=False)
    return member, Claim(member.lease, member.seen)


def _towards_absence(member: Member) -> Step:
    if member.held:
        return replace(member, phase=MemberPhase.WITHDRAWING), Withdraw(member.held)
    return replace(member, phase=MemberPhase.WAITING), None


def _lease_down(member: Member, lease: int, why: str) -> Member:
    if member.lease == lease:
        member = replace(member, lease=0)
    if member.held != lease:
        return member
    if member.wanted:
        member = replace(member, held=0, due_at=None, reason=Reason.LEASE_LOST, why=why)
    else:  # it could not be withdrawn before the lease ended: that is a withdrawal too
        dirty = member.after and member.phase is not MemberPhase.WITHDRAWING
        member = replace(member, held=0, due_at=None, dirty=dirty)
    if member.phase is MemberPhase.REGISTERED:
        return replace(member, phase=MemberPhase.WAITING)
    return member


def _key_gone(member: Member, lease: int) -> Member:
    if member.phase is not MemberPhase.REGISTERED or member.held != lease:
        return member
    # It was there a moment ago and may have been removed by hand: no `before` for that.
    member = replace(member, phase=MemberPhase.WAITING, held=0, prepared=True)
    return replace(member, reason=Reason.KEY_GONE, why="the key was removed")


def _claimed(member: Member, lease: int) -> Member:
    member = replace(member, held=lease, seen=True, prepared=False, failures=0)
    if lease != member.lease:  # the lease ended while the answer was on its way
        return replace(member, phase=MemberPhase.WAITING)
    member = replace(member, phase=MemberPhase.REGISTERED)
    return replace(member, reason=Reason.NONE, why="") if member.wanted else member


def _prepared(member: Member, problem: str, now: float, jitter: float) -> Member:
    if not problem:
        member = replace(member, prepared=member.wanted, failures=0)
        return replace(member, phase=MemberPhase.WAITING, reason=Reason.NONE, why="")
    failures = member.failures + 1
    wait_s = exponential_s(failures, PREPARE_RETRY_S, MAX_PREPARE_RETRY_S)
    return replace(
        member,
        phase=MemberPhase.WAITING,
        due_at=now + wait_s * (0.75 + jitter / 2),
        failures=failures,
        reason=Reason.NOT_PREPARED,
        why=problem,
    )


def _claim_failed(member: Member, failed: ClaimFailed, now: float, jitter: float) -> Member:
    member = replace(member, reason=Reason.NOT_CLAIMED, why=failed.problem)
    retry_at = now + TAKEN_RETRY_S * (0.75 + jitter / 2)
    if failed.taken:
        return replace(member, phase=MemberPhase.TAKEN, held=0, due_at=retry_at)
    phase = MemberPhase.REGISTERED if member.held else MemberPhase.WAITING
    if failed.refused:
        return replace(member, phase=phase, stale=True, due_at=retry_at)
    failures = member.failures + 1
    wait_s = exponential_s(failures, CLAIM_RETRY_S, MAX_CLAIM_RETRY_S)
    return replace(
        member,
        phase=phase,
        # An unanswered put may have been carried out: the key may be under the lease.
        held=member.held or member.lease,
        stale=True,
        due_at=now + wait_s * (0.5 + jitter / 2),
        failures=failures,
    )


def _withdrawn(member: Member, problem: str, now: float, jitter: float) -> Member:
    if problem and member.held:
        wait_s = CLAIM_RETRY_S * (0.5 + jitter / 2)
        member = replace(member, reason=Reason.NOT_WITHDRAWN, why=problem)
        return replace(member, phase=MemberPhase.REGISTERED, due_at=now + wait_s)
    return replace(member, phase=MemberPhase.WAITING, held=0, prepared=False, dirty=member.after)
