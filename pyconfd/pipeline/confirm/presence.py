"""
Whether a daemon that does not answer runs all the same: it may be starting, or have lost its pid
file. Shell.

Only the absence of every process of its name proves that it does not run, and that it will read the
new files when it starts. A process of another instance, recognised by the configuration file in its
command line, does not count.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from pyconfd.config.daemons import Daemon

#: A daemon reads its files before it can be asked: so long one that is starting is waited for.
STARTING_S = 2.0
_PAUSE_S = 0.02
_SCANS = 3


def candidates(daemon: Daemon, instance: str) -> Iterator[tuple[int, str]]:
    """
    The processes that may be this daemon, and their command lines.

    instance: what identifies it, as `facts["instance"]` finds it in a command line; "" if not
    known, then any process of its name counts.
    """
    import psutil

    names, pattern = daemon.facts["program"], daemon.facts["instance"]
    found: dict[int, dict[str, Any]] = {}
    for process in psutil.process_iter(["pid", "ppid", "name", "cmdline", "status"]):
        facts = process.info
        if re.fullmatch(names, facts["name"] or "") and facts["status"] != psutil.STATUS_ZOMBIE:
            found[facts["pid"]] = facts
    for pid, facts in found.items():
        if facts["ppid"] in found:
            continue  # a worker: its master is what counts
        line = " ".join(facts["cmdline"] or ())
        if re.search(daemon.facts["transient"], line):
            continue
        named = re.search(pattern, line) if pattern else None
        other = named and instance and os.path.realpath(named[1]) != os.path.realpath(instance)
        if not other:
            yield pid, line


def gone(daemon: Daemon, instance: str, answers: Callable[[], bool]) -> bool:
    """
    Whether it provably does not run. answers: whether it can be asked by now; a starting daemon is
    waited for. False also means that it runs but cannot be asked.
    """
    deadline = time.monotonic() + STARTING_S
    absent = 0
    while absent < _SCANS:
        # Once is no proof: a process that changes its title has half of one for a moment.
        running = any(candidates(daemon, instance))
        absent = 0 if running else absent + 1
        if answers() or (running and time.monotonic() >= deadline):
            return False
        time.sleep(_PAUSE_S)
    return True
