"""
For a daemon that removes a file when it has read its configuration: the reload is confirmed when
the file is gone, unless the log has complaints by then. Shell.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from pyconfd.config.daemons import Daemon
from pyconfd.pipeline.confirm import presence
from pyconfd.pipeline.confirm.base import Answer, BeforeReload, ReloadVerdict, absent, unreachable
from pyconfd.pipeline.confirm.daemon_log import DaemonLog

_TEXT = b"to be removed by the reload\n"


@dataclass(frozen=True, slots=True)
class FileBefore(BeforeReload):
    """
    The daemon, and the file written before the reload.

    path: of the file.
    log: of the daemon, as it was then.
    """

    daemon: Daemon
    path: str
    log: DaemonLog

    def poll(self) -> Answer | None:
        """Whether the file is gone, and whether the log has a refusal then."""
        if os.path.lexists(self.path):
            return None
        refusal = self.log.refusal()
        if refusal:
            return ReloadVerdict.REFUTED, refusal
        return ReloadVerdict.CONFIRMED, f"{self.path} has been removed"

    def missing(self) -> str:
        """What has not been seen."""
        return f"{self.daemon.name} did not remove {self.path}"

    def close(self) -> None:
        """Remove the file, so that it cannot be mistaken for that of a later reload."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def inspect(daemon: Daemon, path: str, log: DaemonLog, pid: str = "") -> FileBefore:
    """
    Find the running daemon and write the file. Raises ReloadError when either cannot be done.

    pid: its pid file; without it any process of the daemon's name counts, those of containers too.
    """
    if not (_named(daemon, pid) if pid else _any(daemon)):
        if presence.gone(daemon, pid, lambda: bool(pid) and _named(daemon, pid)):
            raise absent(f"{daemon.name} does not run", pid or path)
        if not (pid and _named(daemon, pid)):  # else it was starting
            what = f"{daemon.name} runs, but this is not its pid file"
            raise unreachable(what, pid or path, "name its pid file in `pid`, or leave that out")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(_TEXT)
    except OSError as error:
        what = f"{daemon.name} cannot be asked: its file cannot be written ({error.strerror})"
        raise unreachable(what, path, f"name in `at` {daemon.at}") from error
    return FileBefore(daemon, path, log)


def _any(daemon: Daemon) -> bool:
    import psutil

    name = daemon.facts["process"]
    return any(one.info["name"] == name for one in psutil.process_iter(["name"]))


def _named(daemon: Daemon, pidfile: str) -> bool:
    """Whether the pid file names a process of the daemon's name."""
    import psutil

    try:
        with open(pidfile, "rb") as file:
            return psutil.Process(int(file.read(64))).name() == daemon.facts["process"]
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False
