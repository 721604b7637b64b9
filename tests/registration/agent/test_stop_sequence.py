"""How a command is stopped: by the clock, by further requests, and at last by a kill."""

from __future__ import annotations

import signal

import pytest

from pyconfd.registration.agent.stop_sequence import KILL_S, StopAction, StopPhase, begin, step

TERM, INT, QUIT = signal.SIGTERM, signal.SIGINT, signal.SIGQUIT
DRAIN_S, TIMEOUT_S = 3.0, 30.0
# Of each step: when, the signal of a request since the last one, what is done, the phase after it.
Step = tuple[float, int, StopAction, StopPhase]

RUNS: dict[str, tuple[float, list[Step]]] = {
    "stops after the drain": (
        DRAIN_S,
        [
            (0, 0, StopAction.WAIT, StopPhase.DRAINING),
            (2.9, 0, StopAction.WAIT, StopPhase.DRAINING),
            (3, 0, StopAction.SEND, StopPhase.STOPPING),
            (3, 0, StopAction.WAIT, StopPhase.STOPPING),
        ],
    ),
    "no key was there": (0, [(0, 0, StopAction.SEND, StopPhase.STOPPING)]),
    "a request ends the drain": (
        DRAIN_S,
        [
            (0, 0, StopAction.WAIT, StopPhase.DRAINING),
            (1, INT, StopAction.SEND, StopPhase.STOPPING),
        ],
    ),
    "a further request is passed on and gives more time": (
        0,
        [
            (0, 0, StopAction.SEND, StopPhase.STOPPING),
            (29, QUIT, StopAction.SEND, StopPhase.STOPPING),
            (58, 0, StopAction.WAIT, StopPhase.STOPPING),
            (59, 0, StopAction.KILL, StopPhase.KILLED),
        ],
    ),
    "a request in the last instant counts": (
        0,
        [
            (0, 0, StopAction.SEND, StopPhase.STOPPING),
            (30, INT, StopAction.SEND, StopPhase.STOPPING),
        ],
    ),
    "what a kill does not end is left": (
        0,
        [
            (0, 0, StopAction.SEND, StopPhase.STOPPING),
            (30, 0, StopAction.KILL, StopPhase.KILLED),
            (31, INT, StopAction.WAIT, StopPhase.KILLED),
            (30 + KILL_S, 0, StopAction.GIVE_UP, StopPhase.KILLED),
        ],
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_steps(name: str) -> None:
    """One after the other; the signal is that of the last request."""
    drain_s, steps = RUNS[name]
    number: int = TERM
    stop = begin(number, 0.0, drain_s=drain_s, timeout_s=TIMEOUT_S)
    for now_s, requested, action, phase in steps:
        number = requested if requested and stop.phase is not StopPhase.KILLED else number
        stop, done = step(stop, now_s, requested)
        assert (done, stop.phase, stop.signal) == (action, phase, number), now_s
