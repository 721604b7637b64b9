"""What the registrar's thread does next: calls from others, steps of its own, timers. Shell."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from queue import Empty, SimpleQueue

from pyconfd.registration.registrar.schedule import Timer, TimerQueue

Call = Callable[[], object]


class Inbox:
    """
    The queues of one thread. Other threads may only call `post`.

    clock: seconds. time_scale: seconds of the clock in a second of waiting.
    """

    def __init__(self, clock: Callable[[], float], time_scale: float) -> None:
        self.now = clock
        self._time_scale = time_scale
        self._posted: SimpleQueue[Call] = SimpleQueue()
        self._steps: deque[Call] = deque()
        self._timers = TimerQueue()

    def post(self, call: Call) -> None:
        """Have the registrar's thread call this."""
        self._posted.put(call)

    def later(self, call: Call) -> None:
        """Call this after the current step."""
        self._steps.append(call)

    def plan(self, due_at: float | None, key: Hashable, call: Call) -> None:
        """Call this at a time; see TimerQueue.plan."""
        self._timers.plan(due_at, key, call)

    def take(self) -> None:
        """Wait for a call or the next timer, and carry out every call that has arrived."""
        wait_s = self._timers.wait_s(self.now())
        try:
            self._posted.get(timeout=None if wait_s is None else wait_s / self._time_scale)()
            while True:  # many that come together are claimed together
                self._posted.get_nowait()()
        except Empty:
            return

    def take_due(self) -> list[Timer]:
        """The timers that are due."""
        return self._timers.take_due(self.now())

    def run_steps(self) -> None:
        """Carry out all steps, including those that they add."""
        while self._steps:
            self._steps.popleft()()
