"""
Confirm: whether a daemon of a master and workers took the configuration it was told to reload.

Shell. `nginx -t` and `nginx -s reload` both exit 0 while the master refuses in the end: a port of
another process, a shared zone with another key. What counts is what the master does: a worker that
was not there before is a yes, an [emerg] of that very master in the error log is a no. The facts
about a daemon are data; what to do about a no is for reload.py and above.
"""

from __future__ import annotations

import enum
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyconfd.errors import ReloadError

if TYPE_CHECKING:
    import psutil

#: Waits between two looks: short at first, because small configurations take 2 to 10 ms.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.002, 0.05
#: Read at most this much of what the log has grown by; a refusal is among the first lines.
_LOG_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """
    How the processes of a daemon look and speak, as regular expressions.

    master, worker: found in the command line. retiring: in that of a worker on its way out.
    refusal: in a line of the error log; `{pid}` stands for the master's number. trying: in the
    text of a refusal that is not the last word, because the daemon tries again by itself.
    """

    name: str
    master: str
    worker: str
    retiring: str
    refusal: str
    trying: str


#: ngx_process_cycle.c and ngx_setproctitle.c; the form of a log line is ngx_log.c's. Cache manager
#: and loader are no workers: they come and go without a reload. A busy port is tried five times
#: before "still could not bind()" (ngx_connection.c); a reload that is sent meanwhile waits.
NGINX = Daemon(
    name="nginx",
    master=r"nginx: master process",
    worker=r"nginx: worker process",
    retiring=r"is shutting down",
    refusal=r"\[emerg\] {pid}#\d+: (?P<text>.*)",
    trying=r"^(?:bind|listen)\(\) to .* failed \(98: ",
)


class Verdict(enum.Enum):
    """What became of a reload."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The verdict and what it rests on, in words; how long it took to come, in seconds."""

    verdict: Verdict
    text: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class Before:
    """
    A daemon before its reload. master: pid and start time; workers: pid and start time of each.

    log: path, "" when there is none to read; log_at: its inode and size.
    """

    daemon: Daemon
    master: tuple[int, float]
    workers: frozenset[tuple[int, float]]
    log: str
    log_at: tuple[int, int]


def look(daemon: Daemon, pidfile: str, log: str = "") -> Before:
    """
    Look at a running daemon before it is told to reload.

    Raises ReloadError when the pid file does not name a running master of this daemon: then
    nothing may be signalled.
    """
    import psutil  # only a confirmed reload needs it

    pid = _pid_in(pidfile, daemon)
    try:
        master = psutil.Process(pid)
        title = " ".join(master.cmdline())
        if not re.search(daemon.master, title):
            raise _not_running(f"process {pid} is no {daemon.name} master but {title!r}", pidfile)
        return Before(
            daemon=daemon,
            master=(pid, master.create_time()),
            workers=frozenset(_workers(master, daemon)),
            log=log,
            log_at=_log_at(log),
        )
    except psutil.NoSuchProcess:
        raise _not_running(f"{daemon.name} does not run: no process {pid}", pidfile) from None


def wait(before: Before, timeout_s: float) -> Confirmation:
    """
    Wait for the master's answer after it has been told to reload.

    Returns SILENT when neither a new worker nor a refusal was seen in time, or when the master is
    gone.
    """
    import psutil

    begun = time.monotonic()
    pause = _FIRST_WAIT_S
    while True:
        try:
            answer = _answer(before)
        except psutil.NoSuchProcess:
            answer = (Verdict.SILENT, f"the {before.daemon.name} master has gone")
        spent = time.monotonic() - begun
        if answer is None and spent >= timeout_s:
            name = before.daemon.name
            answer = (Verdict.SILENT, f"no new {name} worker within {timeout_s:g} s")
        if answer is not None:
            return Confirmation(*answer, spent)
        time.sleep(min(pause, max(0.0, timeout_s - spent)))
        pause = min(pause * 1.5, _LONGEST_WAIT_S)


def _answer(before: Before) -> tuple[Verdict, str] | None:
    import psutil

    pid, started = before.master
    master = psutil.Process(pid)
    if master.create_time() != started or master.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    new = set(_workers(master, before.daemon)) - before.workers
    if new:
        return Verdict.CONFIRMED, f"new worker {min(new)[0]} of master {pid}"
    refusal = _refusal(before)
    return (Verdict.REFUTED, refusal) if refusal else None


def _workers(master: psutil.Process, daemon: Daemon) -> Iterator[tuple[int, float]]:
    """Workers of this master that are not on their way out."""
    import psutil

    for child in master.children():
        try:
            title = " ".join(child.cmdline())
            if re.search(daemon.worker, title) and not re.search(daemon.retiring, title):
                yield child.pid, child.create_time()
        except psutil.NoSuchProcess:
            continue


def _refusal(before: Before) -> str:
    """
    The first refusal of this master that the log has got since; "" for none, and for as long as
    it may still succeed.
    """
    daemon = before.daemon
    refusal = re.compile(daemon.refusal.format(pid=before.master[0]))
    found = filter(None, map(refusal.search, _grown(before.log, before.log_at)))
    texts = [one["text"] for one in found]
    if all(re.search(daemon.trying, text) for text in texts):
        return ""
    return texts[0]


def _grown(log: str, at: tuple[int, int]) -> list[str]:
    """Lines that a log has got since; a log that was rotated meanwhile counts from its start."""
    if not log:
        return []
    inode, size = at
    try:
        with open(log, "rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_ino == inode and facts.st_size >= size:
                file.seek(size)
            return file.read(_LOG_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []


def _log_at(log: str) -> tuple[int, int]:
    try:
        facts = os.stat(log)
    except OSError:
        return (0, 0)
    return (facts.st_ino, facts.st_size)


def _pid_in(pidfile: str, daemon: Daemon) -> int:
    try:
        with open(pidfile, "rb") as file:
            text = file.read(64).strip()
    except OSError as error:
        raise _not_running(
            f"{daemon.name} does not run: its pid file cannot be read ({error.strerror})", pidfile
        ) from error
    if not text.isdigit():
        raise _not_running(f"{daemon.name} does not run: its pid file names no process", pidfile)
    return int(text)


def _not_running(what: str, pidfile: str) -> ReloadError:
    return ReloadError(
        what,
        where=pidfile,
        kept="the new files are live, and the reload is still owed",
        hint="start it; pyconfd tries again by itself",
    )
