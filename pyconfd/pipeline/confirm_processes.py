"""
A daemon of a master and workers: a worker that was not there before is a yes, a refusal of that
very master in its log is a no. Shell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyconfd.config.daemons import Daemon
from pyconfd.pipeline.confirm import Answer, Verdict, not_running
from pyconfd.pipeline.confirm_log import DaemonLog

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, slots=True)
class Processes:
    """master: pid and start time; workers: pid and start time of each."""

    daemon: Daemon
    master: tuple[int, float]
    workers: frozenset[tuple[int, float]]
    log: DaemonLog

    def answer(self) -> Answer | None:
        """A new worker, a refusal, or a master that has gone."""
        import psutil

        pid, started = self.master
        try:
            master = psutil.Process(pid)
            if master.create_time() != started or master.status() == psutil.STATUS_ZOMBIE:
                raise psutil.NoSuchProcess(pid)
            new = set(_workers(master, self.daemon)) - self.workers
        except psutil.NoSuchProcess:
            return Verdict.SILENT, f"the {self.daemon.name} master has gone"
        if new:
            return Verdict.CONFIRMED, f"new worker {min(new)[0]} of master {pid}"
        refusal = self.log.refusal(pid)
        return (Verdict.REFUTED, refusal) if refusal else None

    def missed(self) -> str:
        """What has not been seen."""
        return f"no new {self.daemon.name} worker"

    def over(self) -> None:
        """Nothing was left anywhere."""


def look(daemon: Daemon, pidfile: str, log: DaemonLog) -> Processes:
    """
    The daemon whose master the pid file names.

    Raises ReloadError when that is no running master of this daemon.
    """
    import psutil  # only a confirmed reload needs it

    pid = _pid_in(pidfile, daemon)
    try:
        master = psutil.Process(pid)
        title = " ".join(master.cmdline())
        if not re.search(daemon.facts["master"], title):
            what = f"process {pid} is no {daemon.name} master but {title!r}"
            raise not_running(what, pidfile)
        workers = frozenset(_workers(master, daemon))
        return Processes(daemon, (pid, master.create_time()), workers, log)
    except psutil.NoSuchProcess:
        what = f"{daemon.name} does not run: no process {pid}"
        raise not_running(what, pidfile) from None


def _workers(master: psutil.Process, daemon: Daemon) -> Iterator[tuple[int, float]]:
    """Workers of this master that are not on their way out."""
    import psutil

    worker, retiring = daemon.facts["worker"], daemon.facts["retiring"]
    for child in master.children():
        try:
            title = " ".join(child.cmdline())
            if re.search(worker, title) and not re.search(retiring, title):
                yield child.pid, child.create_time()
        except psutil.NoSuchProcess:
            continue


def _pid_in(pidfile: str, daemon: Daemon) -> int:
    try:
        with open(pidfile, "rb") as file:
            text = file.read(64).strip()
    except OSError as error:
        what = f"{daemon.name} does not run: its pid file cannot be read ({error.strerror})"
        raise not_running(what, pidfile) from error
    if not text.isdigit():
        what = f"{daemon.name} does not run: its pid file names no process"
        raise not_running(what, pidfile)
    return int(text)
