"""
A few threads for slow work: probes and the operator's commands. Shell.

A thread is started when there is a task and no thread is idle. The threads are daemon threads and
are never joined: every task has a deadline of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

_Work = tuple[Callable[[], None], Callable[[str], None]]


class WorkerPool:
    """At most `limit` threads; further tasks wait."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._todo: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, task: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Run the task. failed: called with its exception, from the same thread."""
        with self._lock:
            start = self._idle <= self._todo.qsize() and self._threads < self._limit
            if start:
                self._threads += 1
        self._todo.put((task, failed))
        if start:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Accept no new task; threads end after their present one."""
        for _ in range(self._limit):
            self._todo.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            work = self._todo.get()
            with self._lock:
                self._idle -= 1
            if work is None:
                return
            task, failed = work
            try:
                task()
            except Exception as error:  # noqa: BLE001 - the top of the thread: it must be reported
                failed(f"{type(error).__name__}: {error}")
