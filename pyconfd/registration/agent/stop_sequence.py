"""
How a command is stopped once its members are withdrawn. Pure; times are in seconds of one clock.

    DRAINING    nginx may not know yet that the key has gone: the command serves on
    STOPPING    it has its signal; a further request to stop is passed on and gives it more time
    KILLED      it did not stop in time
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from pyconfd.model.values import dataclass

#: For the kernel to end a killed process: one that hangs in the kernel is left.
KILL_S = 5.0


class StopPhase(Enum):
    """How far it is."""

    DRAINING = "draining"
    STOPPING = "stopping"
    KILLED = "killed"


class StopAction(Enum):
    """What is to be done now. WAIT: until `until_s`, the command's end or another request."""

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
    """drain_s: 0 when no key was there to be seen."""
    return Stopping(StopPhase.DRAINING, signal, now_s + drain_s, timeout_s)


def step(stop: Stopping, now_s: float, requested: int) -> tuple[Stopping, StopAction]:
    """
    Once more, after a wait. requested: the signal of a request since the last step, 0 for none; it
    ends the drain.
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
