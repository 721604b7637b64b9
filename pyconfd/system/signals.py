"""
Puts signals as numbers on a queue. Shell; the handler does nothing else, because it may interrupt
any line of the program, even one that holds a lock. `queue.SimpleQueue.put` is made for that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from types import FrameType

#: The signals that the program handles.
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """
    Puts the number of each arriving signal through `put` between `install` and `restore`.

    Main thread only. `restore` restores the former handlers.
    """

    def __init__(
        self, put: Callable[[int], object], numbers: Iterable[signal.Signals] = HANDLED
    ) -> None:
        self._put = put
        self._numbers = tuple(numbers)
        self._before: dict[signal.Signals, object] = {}

    def install(self) -> None:
        """Start handling."""
        for number in self._numbers:
            self._before[number] = signal.signal(number, self._arrived)

    def restore(self) -> None:
        """Put the former handlers back."""
        while self._before:
            number, before = self._before.popitem()
            # None: it was set by code that is not Python and cannot be put back from here.
            signal.signal(number, signal.SIG_DFL if before is None else before)  # type: ignore[arg-type]

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self._put(number)

    def __enter__(self) -> Signals:
        self.install()
        return self

    def __exit__(self, *exc: object) -> None:
        self.restore()
