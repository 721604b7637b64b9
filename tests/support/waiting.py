"""
Waiting for something, and how long something took as far as the machine had room for it.

    wait_until(lambda: path.exists(), what="the file")

    took = Stopwatch()
    ...
    assert took.within(1.0), took

A promise such as "within a second" is one about a machine that is not busy with other things.
Tests run side by side, on small machines and beside other work, so time in which processes waited
for a processor does not count against the promise; it counts against `at_most_s`, which nothing
excuses.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

# Of a wait for what ought to come soon: it ends as soon as that is there, so it may be far more
# than a slow and busy machine needs.
PATIENCE_S = 60.0


def wait_until(
    true: Callable[[], Any],
    timeout_s: float = PATIENCE_S,
    what: str | Callable[[], object] = "",
) -> Any:
    """
    The first truthy answer of `true`, asked until the deadline; AssertionError after it, which
    says `what` was waited for, or what `what` returns then.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        late = time.monotonic() > deadline  # it is asked once more after a long pause
        answer = true()
        if answer:
            return answer
        if late:
            said = what() if callable(what) else what or true
            raise AssertionError(f"not within {timeout_s} s: {said}")
        time.sleep(0.005)


class Stopwatch:
    """Runs from its creation; `restart` begins anew."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """From now on."""
        self._begun_s, self._work, self._waited_s = time.monotonic(), _processors(), _waited_s()

    @property
    def wall_s(self) -> float:
        """By the clock."""
        return time.monotonic() - self._begun_s

    @property
    def idle(self) -> float:
        """The share of that time, 0 to 1, in which there was a processor for whoever wanted one."""
        total, idle = (now - before for now, before in zip(_processors(), self._work, strict=True))
        # Some hundredths of a second are less than the kernel counts in.
        share = min(1.0, idle / total) if total > 0.02 * _COUNT else 1.0
        waited_s = _waited_s() - self._waited_s
        return max(0.0, min(share, 1.0 - waited_s / max(self.wall_s, 0.001)))

    def within(self, promised_s: float, at_most_s: float = 0.0) -> bool:
        """Whether it took less than promised, and less than `at_most_s` (default 20 s more)."""
        wall_s = self.wall_s
        return wall_s < (at_most_s or promised_s + 20.0) and wall_s * self.idle < promised_s

    def __repr__(self) -> str:
        return f"{self.wall_s:.2f} s, processors idle {self.idle:.0%}"


_COUNT = os.cpu_count() or 1


def _processors() -> tuple[float, float]:
    """Seconds of all processors since the boot: all, and those with nothing to do (no I/O)."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    return sum(ticks) / hertz, ticks[3] / hertz


def _waited_s() -> float:
    """
    Seconds in which somebody waited for a processor, as the kernel tells (pressure stall
    information); 0 where it does not. A container that may use a part of a large machine has
    idle processors that are not for it: there the group's own number counts.
    """
    for path in ("/sys/fs/cgroup/cpu.pressure", "/proc/pressure/cpu"):
        with contextlib.suppress(OSError, IndexError, ValueError), open(path) as pressure:
            return int(pressure.readline().rsplit("total=", 1)[1]) / 1e6
    return 0.0
