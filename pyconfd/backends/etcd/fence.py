"""
Asks the server until the events of several watches are complete up to a revision.

One transaction reaches a stream with several watches as several responses. The server answers a
progress request once all watches have reached the revision of its answer. Pure; seconds are
monotonic.
"""

from __future__ import annotations

import math

# How long to hold a revision for the server's answer that it is whole.
FENCE_S = 0.5
# Answers to wait for. etcd before 3.4.25 and 3.5.8 answers beside the events, so that one answer
# may overtake an event that was there before it (issue 15220); a second one does not.
FENCES = 2
# Watches that were just opened: one may be up to date while the next is still behind and gets its
# history with the server's next round, every 100 ms; the same releases answer for all
# nevertheless. So the first fence is asked for only when some rounds are over.
SETTLE_S = 0.35


class Fence:
    """
    target: the revision that the answers count for.

    A fence covers only what is held when it begins: an answer does not count for events that came
    after the question, whatever revision it names.
    """

    def __init__(self, watches: int) -> None:
        self.target = 0
        # 0 when fences count: always with one watch, else some time after all are confirmed.
        self._settled_at = math.inf if watches > 1 else 0.0
        self._until = 0.0  # 0 when no answer is awaited
        self._answers_left = 0

    @property
    def pending(self) -> bool:
        """Whether answers are awaited."""
        return bool(self._until)

    @property
    def deadline_s(self) -> float:
        """When `settled` or `expired` has to be called, inf when never."""
        return min(self._until or math.inf, self._settled_at or math.inf)

    def opened(self, now_s: float) -> None:
        """The server has confirmed all watches."""
        if self._settled_at:
            self._settled_at = now_s + SETTLE_S

    def settled(self, now_s: float) -> bool:
        """Whether answers count from now on; True once."""
        if not self._settled_at or now_s < self._settled_at:
            return False
        self._settled_at = 0.0
        return True

    def begin(self, newest: int, now_s: float) -> bool:
        """Whether to ask for progress. newest: the newest held revision, or 0."""
        if self._settled_at or self._until or not newest:
            return False
        self.target = newest
        self._answers_left = FENCES
        self._until = now_s + FENCE_S
        return True

    def passed(self, revision: int) -> bool:
        """Note an answer of the server. False: ask again."""
        if revision >= self.target:
            self._answers_left -= 1
        if self._answers_left:
            return False
        self._until = 0.0
        return True

    def expired(self, now_s: float) -> bool:
        """Whether the server took too long to answer; True once."""
        if not self._until or now_s < self._until:
            return False
        self._until = 0.0
        return True
