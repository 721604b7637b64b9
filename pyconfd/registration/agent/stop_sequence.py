"""
How a command is stopped once its members are withdrawn. Pure; times are in seconds of one clock.

    DRAINING    nginx may not know yet that the key is gone: the command keeps serving
    STOPPING    the signal was sent; a further request to stop is passed on and gives it more time
    KILLED      the command did not stop in time
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from pyconfd.model.values import dataclass

#: For the kernel to end a killed process: one that hangs in the kernel is left.
KILL_S = 5.0


class StopPhase(Enum):
    """The phases of stopping."""

    DRAINING = "draining"
    STOPPING = "stopping"
    KILLED = "killed"


class StopAction(Enum):
    """What to do now. WAIT: until `until_s`, the end of the command or another request."""

    WAIT = "wait"
    SEND = "send"
    KILL = "kill"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Stopping:
    """
    signal: what the command is sent
    until_s: when the phase ends
    timeout_s: for the command to stop
    """

    phase: StopPhase
    signal: int
    until_s: float
    timeout_s: float


def begin(signal: int, now_s: float, *, drain_s: float, timeout_s: float) -> Stopping:
    """drain_s: 0 when no key was there, so that no client knew of the member."""
    return Stopping(StopPhase.DRAINING, signal, now_s + drain_s, timeout_s)


def step(stop: Stopping, now_s: float, requested: int) -> tuple[Stopping, StopAction]:
    """
    The next step after a wait. requested: the signal of a request since the last step, 0 for none;
    a request ends the drain.
    """
    over = now_s >= stop.until_s
    if stop.phase is StopPhase.KILLED:
        return stop, StopAction.GIVE_UP if over else StopAction.WAIT
    if requested or (over and stop.phase is StopPhase.DRAINING):
        until_s = now_s + stop.timeout_s
        return Stopping(
            StopPhase.STOPPING, requested or stop.signal, until_s, stop.timeout_s
        ), StopAction.SEND
    if over:
        return replace(stop, phase=StopPhase.KILLED, until_s=now_s + KILL_S), StopAction.KILL
    return stop, StopAction.WAIT
