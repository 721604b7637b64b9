"""
For a daemon with a master and workers: a new worker confirms the reload, unless it has replaced one
that died; a refusal of the same master in its log refutes it. Shell.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyconfd.config.daemons import Daemon
from pyconfd.pipeline.confirm import presence
from pyconfd.pipeline.confirm.base import Answer, BeforeReload, ReloadVerdict, absent, unreachable
from pyconfd.pipeline.confirm.daemon_log import DaemonLog

if TYPE_CHECKING:
    import psutil


#: Pid and start time.
Worker = tuple[int, float]

#: How long a refusal may take to be logged: a port is tried for 2.5 seconds.
_REFUSAL_S = 3.5
#: Of the list of a master's children, and of the title of each.
_CHILDREN_BYTES, _TITLE_BYTES = 16 * 1024, 256
#: So many workers are named.
_NAMED = 8


@dataclass(slots=True)
class ProcessesBefore(BeforeReload):
    """
    The processes before the reload.

    workers: without those that are shutting down.
    replaced_s: when the last of the workers was gone, monotonic.
    mixed: whether some of them were seen beside a new one.
    """

    daemon: Daemon
    master: Worker
    workers: frozenset[Worker]
    log: DaemonLog
    replaced_s: float | None = None
    mixed: bool = False

    def poll(self) -> Answer | None:
        """A new worker, a refusal, or a master that has gone."""
        import psutil

        pid, started = self.master
        try:
            master = psutil.Process(pid)
            if master.create_time() != started or master.status() == psutil.STATUS_ZOMBIE:
                raise psutil.NoSuchProcess(pid)
            found = dict(_workers(master, self.daemon))
        except psutil.NoSuchProcess:
            return ReloadVerdict.SILENT, f"the {self.daemon.name} master has gone"
        new = {worker for worker, leaves in found.items() if not leaves} - self.workers
        if new and self._makes_room(found):
            return ReloadVerdict.CONFIRMED, f"new worker {min(new)[0]} of master {pid}"
        refusal = self.log.refusal(pid)
        return (ReloadVerdict.REFUTED, refusal) if refusal else None

    def _makes_room(self, found: Mapping[Worker, bool]) -> bool:
        """
        Whether a new worker was started by a reload. A master also replaces a worker that died;
        then the others stay. After a reload all old workers remain for 100 ms (ngx_process_cycle.c)
        and then leave; some may have been leaving before.
        """
        left = [found[worker] for worker in self.workers if worker in found]
        if len(left) == len(self.workers) or any(left):
            return True
        if left:
            self.mixed = True
            return False
        died = self.log.numbers(self.daemon.facts["died"], self.master[0])
        if self.mixed or (died is not None and died.isdisjoint(pid for pid, _ in self.workers)):
            return True
        if self.replaced_s is None:
            self.replaced_s = time.monotonic()
        return time.monotonic() - self.replaced_s >= _REFUSAL_S

    def running(self) -> tuple[str, int, float]:
        """The master, which the new workers have as well."""
        return (self.daemon.name, *self.master)

    def missing(self) -> str:
        """What has not been seen."""
        return f"no new {self.daemon.name} worker"


def inspect(daemon: Daemon, pidfile: str, log: DaemonLog, conf: str = "") -> ProcessesBefore:
    """
    The processes of the master in the pid file. conf: its main file, which identifies it.

    Raises ReloadError when that is not a running master of this daemon.
    """
    try:
        return _master(daemon, pidfile, log)
    except _NoProcess as error:
        if presence.gone(daemon, conf, lambda: _answers(daemon, pidfile, log)):
            raise absent(f"{daemon.name} does not run: {error}", pidfile) from None
    try:
        return _master(daemon, pidfile, log)  # it was starting
    except _NoProcess as error:
        if left := _without_master(daemon, conf):
            named = ", ".join(map(str, left[:_NAMED]))
            what = f"the master of {daemon.name} has ended ({error}); workers without a master"
            what += f" still serve with the old files: processes {named}"
            raise unreachable(what, pidfile, f"end them and start {daemon.name}") from None
        what = f"{daemon.name} seems to run, but {error}"
        raise unreachable(what, pidfile, "let its pid file name the master") from None


def old_workers(daemon: Daemon, pid: int, started: float) -> int | None:
    """
    How many workers of this master are shutting down: reloads leave them until their last
    connection is closed. None when that master has ended, or cannot be looked at.
    """
    import psutil

    retiring = re.compile(daemon.facts["retiring"].encode())
    try:
        if psutil.Process(pid).create_time() != started:
            return None
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            children = file.read(_CHILDREN_BYTES).split()
    except (OSError, psutil.Error):
        return None
    return sum(1 for child in children if retiring.search(_title(child)))


def _title(pid: bytes) -> bytes:
    try:
        with open(b"/proc/%s/cmdline" % pid, "rb") as file:
            return file.read(_TITLE_BYTES)
    except OSError:
        return b""


def _without_master(daemon: Daemon, conf: str) -> list[int]:
    """The workers that a killed master has left, if no other process may be this daemon."""
    found = dict(presence.candidates(daemon, conf))
    left = all(re.search(daemon.facts["worker"], line) for line in found.values())
    return sorted(found) if left else []


class _NoProcess(Exception):
    """The pid file leads to no process; the text gives the reason."""


def _answers(daemon: Daemon, pidfile: str, log: DaemonLog) -> bool:
    try:
        _master(daemon, pidfile, log)
    except _NoProcess:
        return False
    return True


def _master(daemon: Daemon, pidfile: str, log: DaemonLog) -> ProcessesBefore:
    import psutil  # only a confirmed reload needs it

    pid = _pid_in(pidfile, daemon)
    try:
        master = psutil.Process(pid)
        if master.status() == psutil.STATUS_ZOMBIE:
            raise _NoProcess(f"process {pid} has ended")
        if not re.search(daemon.facts["master"], " ".join(master.cmdline())):
            # never its command line: it may hold a password
            raise unreachable(
                f"process {pid} is not the master of {daemon.name} but {master.name()!r}",
                pidfile,
                f"if {daemon.name} runs in another container, write a reload_cmd that reaches it"
                " and confirm = false",
            )
        workers = frozenset(one for one, leaves in _workers(master, daemon) if not leaves)
        return ProcessesBefore(daemon, (pid, master.create_time()), workers, log)
    except psutil.NoSuchProcess:
        raise _NoProcess(f"no process {pid}") from None


def _workers(master: psutil.Process, daemon: Daemon) -> Iterator[tuple[Worker, bool]]:
    """Workers of this master, and whether each is shutting down."""
    import psutil

    worker, retiring = daemon.facts["worker"], daemon.facts["retiring"]
    for child in master.children():
        try:
            title = " ".join(child.cmdline())
            if re.search(worker, title):
                yield (child.pid, child.create_time()), bool(re.search(retiring, title))
        except psutil.NoSuchProcess:
            continue


def _pid_in(pidfile: str, daemon: Daemon) -> int:
    try:
        with open(pidfile, "rb") as file:
            text = file.read(64).strip()
    except FileNotFoundError:
        raise _NoProcess("there is no pid file") from None
    except OSError as error:
        what = f"the pid file of {daemon.name} cannot be read ({error.strerror})"
        raise unreachable(what, pidfile) from error
    if not text.isdigit():
        raise _NoProcess("its pid file holds no process id")
    return int(text)
