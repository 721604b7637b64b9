"""
Decides when a stream is closed and resumed, so that a storm of changes arrives in batches.

etcd sends one message per revision to a watch that is up to date, and each costs the receiver
about 65 us of CPU, whatever is in it. A watch that is behind gets up to 1,000 revisions in one
message, at the server's next round, which it makes every 100 ms (server/mvcc, from 3.4 to 3.6:
syncWatchersLoop, watchBatchMaxRevs). So in a storm the stream is left for a moment and resumed at
the same position, and the server gathers the changes in between. This only delays changes by a
tenth of a second, and only while the storm lasts.

Pure: `on_message(state, ...)` gives the next state and what to do. No clock is read.

    Flowing   CROWD messages came within WINDOW_S          Resting   rest
    Flowing   fewer                                        Flowing   stay
    Resting   the first message since is full: the next
              comes with the server's next round           Resting   stay
    Resting   it holds FEW revisions or more               Resting   rest again
    Resting   it holds fewer, or came late                 Flowing   stay
    any       it is full and the store is FAR ahead of it  Flowing   list: that is faster
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# Only a storm that goes on is worth it: short bursts are over before.
CROWD = 200
WINDOW_S = 0.8
# To leave a stream, to verify the store and to open another costs as much as these messages.
FEW = 20
# Long enough for the next revision of a storm to be there, so that the new watch starts behind,
# and short enough to be in time for the server's next round.
REST_S = 0.02
# A message that comes later than this after a rest began was not waiting for the stream.
LATE_S = 0.5
# The most revisions that etcd puts into one message, and so 10,000 a second at most for a watch
# that is behind: one that is this far behind would be sent old changes for seconds.
FULL = 1_000
FAR = 50_000


class Advice(Enum):
    """What to do after delivering a message."""

    STAY = "stay"
    REST = "rest"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class ThrottleState:
    """
    resting: the server may have gathered the next messages.
    since_s: when the rest or the count began, seconds monotonic.
    messages: counted while not resting.
    """

    resting: bool = False
    since_s: float = 0.0
    messages: int = 0


def on_message(
    state: ThrottleState, now_s: float, revisions: int, behind: int
) -> tuple[ThrottleState, Advice]:
    """
    The next state and the advice after a message with events.

    revisions: how many are in it. behind: by how many the store was ahead when it was sent.
    """
    if revisions >= FULL and behind >= FAR:
        return ThrottleState(since_s=now_s), Advice.LIST
    if state.resting:
        return _resumed(state, now_s, revisions)
    if now_s - state.since_s > WINDOW_S:
        return ThrottleState(since_s=now_s, messages=1), Advice.STAY
    if state.messages + 1 < CROWD:
        return ThrottleState(since_s=state.since_s, messages=state.messages + 1), Advice.STAY
    return ThrottleState(resting=True, since_s=now_s), Advice.REST


def _resumed(state: ThrottleState, now_s: float, revisions: int) -> tuple[ThrottleState, Advice]:
    if revisions < FEW or now_s - state.since_s > LATE_S:
        return ThrottleState(since_s=now_s, messages=1), Advice.STAY
    advice = Advice.REST if revisions < FULL else Advice.STAY
    return ThrottleState(resting=True, since_s=now_s), advice
