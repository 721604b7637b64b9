"""
One node's way through the versions of a service's gated keys. Pure; the clock is passed in.

    phase        message                     next          command
    settled      another version is seen     asking        Ask
    asking       the decision says begin     beginning     Begin
    beginning    begun                       applying      Use the new version
    beginning    not begun, others were      asking        Decide
    applying     the pass went well          proving       RunVerify, when there is a command
    applying     it failed, or timeout       taking back   Fail, Use the former version
    proving      pause over, all well        reporting     Report good
    proving      failed                      taking back   Fail, Use the former version
    taking back  the pass ended, or timeout  reporting     Report bad
    reporting    reported                    settled       Ask, when there is a newer one
    any          store or lease lost         the same      nothing is begun; what began ends
"""

from __future__ import annotations

import enum
from dataclasses import replace

from pyconfd.model.resources import Rollout
from pyconfd.model.values import dataclass
from pyconfd.reconcile.turns import QUEUED, Answer, TurnDecision, TurnRecords, Version

#: Between two tries of verify_cmd.
VERIFY_PAUSE_S = 1.0


class TurnPhase(enum.StrEnum):
    """The states of a node."""

    SETTLED = "settled"
    ASKING = "asking"
    BEGINNING = "beginning"
    APPLYING = "applying"
    PROVING = "proving"
    TAKING_BACK = "taking back"
    REPORTING = "reporting"


#: Between begin and verdict.
IN_TURN = (TurnPhase.APPLYING, TurnPhase.PROVING, TurnPhase.TAKING_BACK, TurnPhase.REPORTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """
    The state of one service on one node.

    rollout: the operator's numbers.
    phase: as above.
    used: the version that the service's files are made from; None for nothing yet.
    newest: the one in the store.
    turn: the version of the turn.
    former: the version to go back to when the turn fails.
    away: why the store cannot be reached, or the lease or name of this node is not held.
    pinned: an operator keeps the node at its version: why, in words.
    held: why the newest version is not in use, in words.
    halted: it goes no further until an operator says so, or the gated keys change.
    bad: why the turn failed; "" while it has not.
    deadline_s: when the step of the turn must be over.
    verify_s: when verify_cmd is tried next; None when it is not to be.
    """

    rollout: Rollout
    phase: TurnPhase = TurnPhase.SETTLED
    used: Version | None = None
    newest: Version | None = None
    turn: Version | None = None
    former: Version | None = None
    away: str = "the fleet's records are not read yet"
    pinned: str = ""
    held: str = ""
    halted: bool = False
    bad: str = ""
    deadline_s: float = 0.0
    verify_s: float | None = None

    @property
    def due_s(self) -> float | None:
        """When the next TimePassed is due."""
        if self.phase not in (TurnPhase.APPLYING, TurnPhase.PROVING, TurnPhase.TAKING_BACK):
            return None
        if self.phase is TurnPhase.PROVING and self.verify_s is not None:
            return min(self.deadline_s, self.verify_s)
        return self.deadline_s


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """
    For people.

    state: of this node.
    records: what all nodes share.
    since_at: of the state, seconds since 1970.
    """

    state: NodeState
    records: TurnRecords
    since_at: float


@dataclass(frozen=True, slots=True)
class Seen:
    """The gated keys in the store now have this version."""

    version: Version


@dataclass(frozen=True, slots=True)
class Decided:
    """The fleet's decision for the version that is asked for."""

    decision: TurnDecision


@dataclass(frozen=True, slots=True)
class Began:
    """Whether the store has noted the begin."""

    done: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """A pass with the version in use has ended. why: what failed in it, "" for nothing."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class VerifyEnded:
    """verify_cmd has ended. why: its output, "" when it succeeded."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class VerdictKept:
    """The store has the verdict."""


@dataclass(frozen=True, slots=True)
class Away:
    """
    The store, the lease or the name is lost. refused: this user may not read or write the records.
    """

    why: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Back:
    """The store answers, and lease and name of this node are held (again)."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """An operator keeps the node at its version; "" lets it continue."""

    why: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A deadline may have come."""


RolloutMessage = (
    Seen | Decided | Began | Applied | VerifyEnded | VerdictKept | Away | Back | Pinned | TimePassed
)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for a turn with this version, instead of any other."""

    version: Version


@dataclass(frozen=True, slots=True)
class WithdrawAsk:
    """Withdraw the request for a turn."""


@dataclass(frozen=True, slots=True)
class Decide:
    """Decide again on the newest records."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Record the begin in the store, unless others have begun or halted meanwhile."""

    version: Version


@dataclass(frozen=True, slots=True)
class Use:
    """
    Make the service's files from this version; None: there is none yet, and they stay as they are.
    """

    version: Version | None


@dataclass(frozen=True, slots=True)
class RunVerify:
    """Run verify_cmd."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Halt this version everywhere."""

    version: Version
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """End the turn in the store. bad: why it failed, "" when it did not."""

    version: Version
    bad: str = ""


RolloutCommand = Ask | WithdrawAsk | Decide | Begin | Use | RunVerify | Fail | Report
RolloutStep = tuple[NodeState, tuple[RolloutCommand, ...]]


def resumed(rollout: Rollout, used: Version | None, former: Version | None) -> NodeState:
    """
    The state of a node at its start. former: set if it ended during a turn, which continues with
    its pass.
    """
    if former is None or used is None:
        return NodeState(rollout=rollout, used=used)
    return NodeState(
        rollout=rollout,
        phase=TurnPhase.APPLYING,
        used=used,
        turn=used,
        former=former,
        deadline_s=float("inf"),
    )


def step(state: NodeState, message: RolloutMessage, now: float) -> RolloutStep:
    """The next state of the node, and the commands to carry out."""
    match message:
        case Seen(version):
            return _aim(replace(state, newest=version))
        case Pinned(why):
            return _aim(replace(state, pinned=why))
        case Applied(why):
            return _applied(state, why, now)
        case VerifyEnded(why):
            return _verified(state, why, now)
        case TimePassed():
            return _time_passed(state, now)
        case _:
            return _heard(state, message, now)


def _heard(
    state: NodeState, message: Decided | Began | VerdictKept | Away | Back, now: float
) -> RolloutStep:
    """The step for a message from the fleet's records."""
    match message:
        case Decided(decision):
            return _decided(state, decision)
        case Began(done):
            return _began(state, done=done, now=now)
        case VerdictKept():
            return _settled(state)
        case Away(why):
            return _away(state, why)
        case Back():
            return _back(state)


def _aim(state: NodeState) -> RolloutStep:
    """Ask for the newest version, unless something prevents it."""
    if state.phase not in (TurnPhase.SETTLED, TurnPhase.ASKING):
        return state, ()
    asking = state.phase is TurnPhase.ASKING
    if state.newest is None or state.newest == state.used:
        used = state.newest or state.used  # the same content, seen at a later revision
        held = "" if state.newest else state.pinned
        settled = replace(
            state, phase=TurnPhase.SETTLED, used=used, turn=None, held=held, halted=False
        )
        return settled, (WithdrawAsk(),) if asking else ()
    if why := state.pinned or state.away:
        settled = replace(state, phase=TurnPhase.SETTLED, turn=None, held=why, halted=False)
        return settled, (WithdrawAsk(),) if asking and state.pinned else ()
    if asking and state.turn == state.newest:
        return state, ()
    turn = state.newest
    asks = replace(state, phase=TurnPhase.ASKING, turn=turn, held=QUEUED, halted=False)
    return asks, (Ask(turn),)


def _decided(state: NodeState, decision: TurnDecision) -> RolloutStep:
    if state.phase is not TurnPhase.ASKING or state.turn is None:
        return state, ()
    if decision.answer is Answer.BEGIN:
        begins = replace(state, phase=TurnPhase.BEGINNING, held="", halted=False)
        return begins, (Begin(state.turn),)
    return replace(state, held=decision.why, halted=decision.answer is Answer.HALTED), ()


def _began(state: NodeState, *, done: bool, now: float) -> RolloutStep:
    if state.phase is not TurnPhase.BEGINNING or state.turn is None:
        return state, ()
    if not done:
        asking, commands = _aim(replace(state, phase=TurnPhase.ASKING))
        return asking, (*commands, Decide())
    applying = replace(
        state,
        phase=TurnPhase.APPLYING,
        former=state.used,
        used=state.turn,
        deadline_s=now + state.rollout.timeout_s,
        bad="",
    )
    return applying, (Use(state.turn),)


def _applied(state: NodeState, why: str, now: float) -> RolloutStep:
    match state.phase:
        case TurnPhase.TAKING_BACK:
            return _report(state)
        case TurnPhase.APPLYING | TurnPhase.PROVING if why:
            return _fail(state, why, now)
        case TurnPhase.APPLYING:
            verifies = state.rollout.verify is not None
            proving = replace(
                state,
                phase=TurnPhase.PROVING,
                deadline_s=now + state.rollout.pause_s,
                verify_s=None,
                bad="it did not succeed within the pause" if verifies else "",
            )
            return (proving, (RunVerify(),)) if verifies else _time_passed(proving, now)
    return state, ()


def _verified(state: NodeState, why: str, now: float) -> RolloutStep:
    if state.phase is not TurnPhase.PROVING:
        return state, ()
    again = now + VERIFY_PAUSE_S if why else None
    return _time_passed(replace(state, bad=why, verify_s=again), now)


def _time_passed(state: NodeState, now: float) -> RolloutStep:
    if state.phase is TurnPhase.PROVING:
        return _proved(state, now)
    if now < state.deadline_s:
        return state, ()
    if state.phase is TurnPhase.APPLYING:
        return _fail(state, f"not done within {state.rollout.timeout_s:g} s", now)
    if state.phase is TurnPhase.TAKING_BACK:
        return _report(state)
    return state, ()


def _proved(state: NodeState, now: float) -> RolloutStep:
    if now >= state.deadline_s:
        return _fail(state, f"verify_cmd: {state.bad}", now) if state.bad else _report(state)
    if state.verify_s is not None and now >= state.verify_s:
        return replace(state, verify_s=None), (RunVerify(),)
    return state, ()


def _fail(state: NodeState, why: str, now: float) -> RolloutStep:
    assert state.turn is not None  # noqa: S101 - for the type checker: it is in a turn
    failed = replace(
        state,
        phase=TurnPhase.TAKING_BACK,
        used=state.former,
        bad=why,
        deadline_s=now + state.rollout.timeout_s,
    )
    commands = (Fail(state.turn, why), Use(state.former))
    if state.former is not None:
        return failed, commands
    reporting, more = _report(failed)  # there is nothing to go back to
    return reporting, (*commands, *more)


def _report(state: NodeState) -> RolloutStep:
    assert state.turn is not None  # noqa: S101 - for the type checker: it is in a turn
    reporting = replace(state, phase=TurnPhase.REPORTING)
    return reporting, (Report(state.turn, state.bad),)


def _settled(state: NodeState) -> RolloutStep:
    if state.phase is not TurnPhase.REPORTING:
        return state, ()
    return _aim(replace(state, phase=TurnPhase.SETTLED, turn=None, former=None, bad=""))


def _away(state: NodeState, why: str) -> RolloutStep:
    away = replace(state, away=why)
    if state.phase is TurnPhase.ASKING:
        away = replace(away, phase=TurnPhase.SETTLED)
    return _aim(away)


def _back(state: NodeState) -> RolloutStep:
    back = replace(state, away="")
    if state.phase is TurnPhase.BEGINNING and state.turn is not None:
        return back, (Begin(state.turn),)  # whether it was noted is not known
    if state.phase is TurnPhase.TAKING_BACK and state.turn is not None:
        return back, (Fail(state.turn, state.bad),)
    if state.phase is TurnPhase.REPORTING and state.turn is not None:
        return back, (Report(state.turn, state.bad),)
    if state.phase is TurnPhase.ASKING:  # what was asked under another lease is gone
        back = replace(back, phase=TurnPhase.SETTLED)
    return _aim(back)
