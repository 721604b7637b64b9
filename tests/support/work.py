"""How much work something is, in calls: the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable


def calls(work: Callable[[], object], named: str = "") -> int:
    """
    How many functions `work` calls on this thread, Python's own included. named: only those of this
    name.
    """
    count = 0

    def profile(frame: object, event: str, function: object) -> None:
        nonlocal count
        if event == "call":
            count += named in ("", frame.f_code.co_name)  # type: ignore[attr-defined]
        elif event == "c_call":
            count += named in ("", getattr(function, "__name__", ""))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def lines(work: Callable[[], object]) -> int:
    """How many lines of Python `work` runs on this thread; loops count, calls in C do not."""
    count = 0

    def trace(_frame: object, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        work()
    finally:
        sys.settrace(before)
    return count
