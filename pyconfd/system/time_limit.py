"""
A time limit for the code of templates. Shell: one thread, which exists while something runs.

An exception raised in its thread ends Python code. A call into C only ends when it returns, so slow
ones have limits of their own (pipeline/render/functions/bounds.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pyconfd.errors import RenderStopped, RenderTimeout

_Result = TypeVar("_Result")

#: How often running renders are looked at; one may take that much longer.
TICK_S = 0.1
#: The thread stays for this long without work.
_LINGER_S = 30.0
#: What a render may still take when pyconfd stops.
STOP_GRACE_S = 0.3
#: A template's code may have caught the exception: it is raised again after this long.
_AGAIN_S = 0.5


@dataclass(slots=True, eq=False)
class _Running:
    """
    thread: its identity.
    deadline_s: monotonic.
    interrupted: whether the exception was raised.
    """

    thread: int
    deadline_s: float
    reason: type[RenderTimeout] = RenderTimeout
    interrupted: bool = False


@dataclass(slots=True)
class TimeLimit:
    """
    Runs code for a limited time. Several threads may call it at once.

    stopping: whether pyconfd is about to end; running code is then ended soon.
    """

    stopping: Callable[[], bool] = lambda: False
    _running: dict[_Running, None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _work: threading.Event = field(default_factory=threading.Event)
    _watched: bool = False

    def run(self, work: Callable[[], _Result], limit_s: float) -> _Result:
        """Run `work` and return its result. Raises RenderTimeout when it takes too long."""
        running = _Running(threading.get_ident(), time.monotonic() + limit_s)
        self._begin(running)
        try:
            result = work()
            self._end(running)
        except BaseException:
            # A call into C that raised an error of its own leaves the interruption pending: it
            # comes here, before the first line of what is called.
            while True:
                try:
                    self._end(running)
                    break
                except RenderTimeout:
                    continue
            raise
        return result

    def _begin(self, running: _Running) -> None:
        with self._lock:
            self._running[running] = None
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, name="time-limit", daemon=True).start()
        if not self._work.is_set():
            self._work.set()

    def _end(self, running: _Running) -> None:
        """From here on nothing is raised in the thread."""
        while True:
            try:
                with self._lock:
                    self._running.pop(running, None)
                break
            except RenderTimeout:
                continue
        if running.interrupted:
            _absorb(running.thread)

    def _watch(self) -> None:
        while self._work.wait(_LINGER_S) or not self._is_over():
            time.sleep(TICK_S)
            with self._lock:
                self._look(time.monotonic())
                if not self._running:
                    self._work.clear()

    def _is_over(self) -> bool:
        """Whether the thread should end."""
        with self._lock:
            self._watched = bool(self._running)
            return not self._watched

    def _look(self, now: float) -> None:
        stopping = bool(self._running) and self.stopping()
        for running in self._running:
            if stopping and running.reason is RenderTimeout:
                running.reason = RenderStopped
                running.deadline_s = min(running.deadline_s, now + STOP_GRACE_S)
            if now >= running.deadline_s:
                running.interrupted = True
                running.deadline_s = now + _AGAIN_S
                _raise_in(running.thread, running.reason)


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise an exception in a thread as soon as it runs Python code, in place of a pending one."""
    import ctypes  # only for what takes too long

    pending = ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), pending)


def _absorb(thread: int) -> None:
    """
    Receive an exception that may be pending in this thread, which is `thread`. If it were only
    cleared, Python 3.11 would go on looking for it before every step, in all threads, and for ever
    in a function that is traced.
    """
    try:
        _raise_in(thread, RenderTimeout)
        while True:
            pass
    except RenderTimeout:
        return
