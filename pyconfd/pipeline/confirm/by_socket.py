"""
For a daemon whose master lists its workers on a unix socket: a new worker confirms the reload, a
larger count of failed reloads refutes it. Shell.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from pyconfd.config.daemons import Daemon
from pyconfd.pipeline.confirm import presence
from pyconfd.pipeline.confirm.base import Answer, BeforeReload, ReloadVerdict, absent, unreachable
from pyconfd.pipeline.confirm.daemon_log import DaemonLog
from pyconfd.system.connect import Address, connect, receive

_REQUEST_S = 2.0
#: A master that is restarting itself, after the last reload, refuses connections for some ms.
_AWAY_S = 1.0
_MOST_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class _WorkerList:
    """
    What the master lists.

    master: its pid.
    workers: pids of the current ones.
    failed: reloads that have failed since the last one that succeeded.
    """

    master: int
    workers: frozenset[int]
    failed: int


@dataclass(frozen=True, slots=True)
class SocketBefore(BeforeReload):
    """The daemon, and what its master listed before the reload."""

    daemon: Daemon
    path: str
    before: _WorkerList
    log: DaemonLog

    def poll(self) -> Answer | None:
        """A failed reload, or a new worker; a master that restarts itself is silent for a while."""
        try:
            now = _list(self.daemon, self.path)
        except (OSError, ValueError):
            return None
        if now.failed > self.before.failed:
            count = f"its master counts {now.failed} failed"
            return ReloadVerdict.REFUTED, self.log.refusal(now.master) or count
        new = now.workers - self.before.workers
        if new:
            return ReloadVerdict.CONFIRMED, f"new worker {min(new)} of master {now.master}"
        return None

    def missing(self) -> str:
        """What has not been seen."""
        return f"no new {self.daemon.name} worker at {self.path}"


def inspect(daemon: Daemon, path: str, log: DaemonLog) -> SocketBefore:
    """Ask the master at this socket. Raises ReloadError when it does not answer."""
    try:
        return SocketBefore(daemon, path, _list_with_patience(daemon, path), log)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        if presence.gone(daemon, path, lambda: _answers(daemon, path)):
            raise absent(f"{daemon.name} does not run", path) from error
        if _answers(daemon, path):  # it was starting
            return SocketBefore(daemon, path, _list(daemon, path), log)
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
        _list(daemon, path)
    except (OSError, ValueError):
        return False
    return True


def _list_with_patience(daemon: Daemon, path: str) -> _WorkerList:
    """Like _list, but waits for a master that is restarting itself."""
    deadline = time.monotonic() + _AWAY_S
    while time.monotonic() < deadline:
        try:
            return _list(daemon, path)
        except (ConnectionError, ValueError):
            time.sleep(0.02)
    return _list(daemon, path)


def _list(daemon: Daemon, path: str) -> _WorkerList:
    """Raises OSError when there is no answer, ValueError when it is not a list of processes."""
    text = _ask(path, daemon.facts["ask"])
    master = re.search(daemon.facts["master"], text)
    failed = re.search(daemon.facts["failed"], text)
    if not master:
        raise ValueError("the answer lists no master")
    present = re.split(daemon.facts["past"], text, maxsplit=1)[0]
    workers = frozenset(map(int, re.findall(daemon.facts["worker"], present)))
    return _WorkerList(int(master[1]), workers, int(failed[1]) if failed else 0)


def _ask(path: str, question: str) -> str:
    import socket

    deadline = time.monotonic() + _REQUEST_S
    with connect(Address(unix=path), deadline) as stream:
        stream.sendall(question.encode())
        # else the master keeps the connection open for the next question
        stream.shutdown(socket.SHUT_WR)
        answer = receive(stream, deadline, lambda read: len(read) >= _MOST_BYTES)
    return answer.decode(errors="replace")
