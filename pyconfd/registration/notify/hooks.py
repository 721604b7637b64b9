"""
The operator's hooks: every executable file of a folder is run at each event. Shell.

Each hook has a thread of its own, which runs it for one event after the other. So the order of
events is kept, and a hook that fails or hangs does not delay the others.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyconfd.observe import log
from pyconfd.system.proc import Runner

MAX_WAITING = 100


@dataclass(frozen=True, slots=True)
class Event:
    """The arguments and environment of hooks. about: for the log."""

    arguments: Sequence[str]
    environ: Mapping[str, str]
    about: Mapping[str, str]


class Hooks:
    """The hooks of a folder, "" for none. The folder is read again at each event."""

    def __init__(self, folder: str, run: Runner, timeout_s: float) -> None:
        self._folder = folder
        self._run = run
        self._timeout_s = timeout_s
        self._queues: dict[str, _HookQueue] = {}

    def run(self, event: Event) -> None:
        """Queue an event for every hook. Never blocks."""
        for name in self._names():
            if name not in self._queues:
                path = os.path.join(self._folder, name)
                self._queues[name] = _HookQueue(path, self._run, self._timeout_s)
            self._queues[name].put(event)

    def finish(self, timeout_s: float) -> bool:
        """Wait until every hook has run for every event; False when it takes too long."""
        deadline = time.monotonic() + timeout_s
        queues = self._queues.values()
        return all(each.finish(max(0.0, deadline - time.monotonic())) for each in queues)

    def _names(self) -> list[str]:
        if not self._folder:
            return []
        try:
            names = sorted(os.listdir(self._folder))
        except OSError as error:
            log.warn(f"the hooks cannot be read: {error.strerror}", folder=self._folder)
            return []
        return [name for name in names if self._is_hook(name)]

    def _is_hook(self, name: str) -> bool:
        path = os.path.join(self._folder, name)
        hidden = name.startswith(".") or name.endswith("~")
        return not hidden and os.path.isfile(path) and os.access(path, os.X_OK)


class _HookQueue:
    """One hook and its waiting events."""

    def __init__(self, path: str, run: Runner, timeout_s: float) -> None:
        self._path = path
        self._run = run
        self._timeout_s = timeout_s
        self._waiting: deque[Event] = deque()
        self._changed = threading.Condition()
        self._busy = False
        self._thread = threading.Thread(target=self._work, name="hook", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                missed = self._waiting.popleft()
                log.warn("the hook is too slow: an event is left out", **self._about(missed))
            self._waiting.append(event)
            self._changed.notify_all()

    def finish(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), timeout_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                event, self._busy = self._waiting.popleft(), True
            self._run_hook(event)

    def _run_hook(self, event: Event) -> None:
        argv = [self._path, *event.arguments]
        report = self._run(argv, timeout_s=self._timeout_s, env=event.environ)
        about = {**self._about(event), "seconds": f"{report.duration_s:.2f}"}
        if report.ok:
            log.info("the hook is done", **about)
            return
        output = report.output.strip().splitlines()[-1:]
        log.warn(f"the hook failed: {': '.join([report.reason, *output])}", **about)

    def _about(self, event: Event) -> dict[str, str]:
        return {"hook": os.path.basename(self._path), **event.about}
