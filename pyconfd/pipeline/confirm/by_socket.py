"""
A daemon whose master is asked on a unix socket: a new worker in its list is a yes, a larger number
of failed reloads is a no. Shell.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from pyconfd.config.daemons import Daemon
from pyconfd.pipeline.confirm import presence
from pyconfd.pipeline.confirm.base import Answer, ReloadVerdict, absent, unreachable
from pyconfd.pipeline.confirm.daemon_log import DaemonLog
from pyconfd.system.connect import Address, connect, receive

_REQUEST_S = 2.0
#: A master that has just begun anew, after the reload before, refuses connections for some ms.
_AWAY_S = 1.0
_MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Listed:
    """What the master says. workers: pids of the present ones. failed: reloads since."""

    master: int
    workers: frozenset[int]
    failed: int


@dataclass(frozen=True, slots=True)
class SocketBefore:
    """before: what the master said before the reload."""

    daemon: Daemon
    path: str
    before: _Listed
    log: DaemonLog

    def answer(self) -> Answer | None:
        """A failed reload, or a new worker; a master that begins anew is silent for a while."""
        try:
            now = _listed(self.daemon, self.path)
        except (OSError, ValueError):
            return None
        if now.failed > self.before.failed:
            count = f"its master counts {now.failed} failed"
            return ReloadVerdict.REFUTED, self.log.refusal(now.master) or count
        new = now.workers - self.before.workers
        if new:
            return ReloadVerdict.CONFIRMED, f"new worker {min(new)} of master {now.master}"
        return None

    def missed(self) -> str:
        """What has not been seen."""
        return f"no new {self.daemon.name} worker at {self.path}"

    def over(self) -> None:
        """Nothing was left anywhere."""


def look(daemon: Daemon, path: str, log: DaemonLog) -> SocketBefore:
    """The daemon that answers at this socket. Raises ReloadError when none does."""
    try:
        return SocketBefore(daemon, path, _listed_soon(daemon, path), log)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        if presence.gone(daemon, path, lambda: _answers(daemon, path)):
            raise absent(f"{daemon.name} does not run", path) from error
        if _answers(daemon, path):  # it was starting
            return SocketBefore(daemon, path, _listed(daemon, path), log)
        what = f"{daemon.name} runs, but cannot be asked: {error.strerror}"
        raise unreachable(what, path, f"name in `at` {daemon.at}") from error
    except OSError as error:
        what = f"{daemon.name} cannot be asked: {error.strerror or error}"
        raise unreachable(what, path) from error
    except ValueError as error:
        what = f"{daemon.name} cannot be asked: {error}"
        raise unreachable(what, path, f"name in `at` {daemon.at}") from error


def _answers(daemon: Daemon, path: str) -> bool:
    try:
        _listed(daemon, path)
    except (OSError, ValueError):
        return False
    return True


def _listed_soon(daemon: Daemon, path: str) -> _Listed:
    """As _listed, with some patience."""
    deadline = time.monotonic() + _AWAY_S
    while time.monotonic() < deadline:
        try:
            return _listed(daemon, path)
        except (ConnectionError, ValueError):
            time.sleep(0.02)
    return _listed(daemon, path)


def _listed(daemon: Daemon, path: str) -> _Listed:
    """Raises OSError when nobody answers, ValueError for what is no list of processes."""
    text = _ask(path, daemon.facts["ask"])
    master = re.search(daemon.facts["master"], text)
    failed = re.search(daemon.facts["failed"], text)
    if not master:
        raise ValueError("the answer lists no master")
    present = re.split(daemon.facts["past"], text, maxsplit=1)[0]
    workers = frozenset(map(int, re.findall(daemon.facts["worker"], present)))
    return _Listed(int(master[1]), workers, int(failed[1]) if failed else 0)


def _ask(path: str, question: str) -> str:
    import socket

    deadline = time.monotonic() + _REQUEST_S
    with connect(Address(unix=path), deadline) as stream:
        stream.sendall(question.encode())
        # else the master keeps the connection open for the next question
        stream.shutdown(socket.SHUT_WR)
        answer = receive(stream, deadline, lambda read: len(read) >= _MOST_BYTES)
    return answer.decode(errors="replace")
