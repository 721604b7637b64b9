"""
The command after `--`: started once its files are there, signalled, and followed to its end. Shell.

It is started when the first pass over all resources is done and every destination exists. A file
that does not exist because its first version was refused or could not be rendered delays the start
until the next good version. A store that cannot be read does not delay it where an earlier run has
made the files. The daemon ends with the command and its exit status; the platform
restarts both.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pyconfd.model.resources import Resource
from pyconfd.observe import log
from pyconfd.system.child import Child

#: The environment variable of commands that has its process id.
PID_VARIABLE = "PYCONFD_CHILD_PID"
#: Passed on as they are; SIGTERM and SIGINT are, too, and end the daemon.
#: Would end a daemon without a command; they are ignored.
HARMLESS = (signal.SIGUSR1, signal.SIGUSR2)
PASSED_ON = (signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
#: The exit statuses that mean that a signal has ended the command, as in a shell.
SIGNALLED = range(128 + 1, 128 + 1 + 64)


@dataclass(frozen=True, slots=True)
class ChildExited:
    """The command has ended. status: as a shell has it, 128 + N for signal N."""

    status: int


class Supervised:
    """
    One command. All methods are the main thread's.

    put: takes the message that the command has ended; called from any thread.
    """

    def __init__(self, argv: Sequence[str], put: Callable[[ChildExited], object]) -> None:
        self._argv = tuple(argv)
        self._child = Child(argv, lambda status: put(ChildExited(status)))
        self._missing: tuple[str, ...] = ()
        self.status: int | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return bool(self._child.pid) and self.status is None

    def start(self, resources: Iterable[Resource]) -> None:
        """Start it unless it was started, or a file is missing. Raises CannotStart."""
        if self._child.pid:
            return
        missing = tuple(
            one.dest for one in resources if not one.each and not os.path.exists(one.dest)
        )
        if missing:
            if missing != self._missing:
                what = "the command is not started yet: there is no good version of its files"
                log.error(what, command=self._argv[0], missing=", ".join(missing))
            self._missing = missing
            return
        self._child.start()
        os.environ[PID_VARIABLE] = str(self._child.pid)
        log.info("started", command=self._argv[0], pid=self._child.pid)

    def send(self, number: int) -> None:
        """Pass a signal on."""
        if self.runs:
            self._child.send(number)

    def ended(self, message: ChildExited) -> None:
        """
        It has ended by itself, or because it was asked to. What one that was killed has left in its
        group goes too: workers of nginx would keep its ports, and the next start would fail.
        """
        self.status = message.status
        if message.status in SIGNALLED:
            self._child.kill()
        os.environ.pop(PID_VARIABLE, None)
        log.info("the command has ended", command=self._argv[0], exit_status=message.status)

    def stop(self, timeout_s: float) -> None:
        """End the command and what it has started, when the daemon ends because of a fault."""
        if not self.runs:
            return
        self._child.send(signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while self._child.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        self._child.kill()


def signal_command(name: str) -> str:
    """
    The reload command that signals the command after `--`. name: of the signal, with or without
    SIG.
    """
    short = name.upper().removeprefix("SIG")
    # One that does not run yet reads the new files when it starts.
    return f'[ -z "${{{PID_VARIABLE}:-}}" ] || kill -{short} "${PID_VARIABLE}"'
