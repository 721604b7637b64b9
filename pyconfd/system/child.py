"""
A child command: starts it, signals it, waits for it; and the work of an init process. Shell.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pyconfd.errors import PyconfdError

if TYPE_CHECKING:
    from subprocess import Popen

# What a shell says when it cannot start a command.
NOT_FOUND, NOT_EXECUTABLE = 127, 126
# Said to us and not to the command: it must neither log in as us nor talk to systemd for us.
_OURS = frozenset(
    ("PYCONFD_PASSWORD", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "STATE_DIRECTORY")
)
_TTY_SENT = 128  # SI_KERNEL, from <bits/siginfo-consts.h>: the terminal's whole group got it


class CannotStart(PyconfdError):
    """The command could not be started. exit_status: what a shell would leave with."""

    def __init__(self, what: str, *, where: str, exit_status: int) -> None:
        super().__init__(what, where=where)
        self.exit_status = exit_status


class Child:
    """
    A running command in a process group of its own, so that Ctrl-C reaches pyconfd first.

    exited: called once with the exit status, from a thread of its own; signal N is 128 + N.
    """

    def __init__(self, argv: Sequence[str], exited: Callable[[int], object]) -> None:
        self._argv = list(argv)
        self._exited = exited
        self._process: Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether it was started and has not been waited for."""
        return self._process is not None and self._process.returncode is None

    def start(self) -> None:
        """Raises CannotStart."""
        import subprocess

        try:
            # restore_signals gives it back SIGPIPE; process_group keeps the start a vfork.
            environ = {name: text for name, text in os.environ.items() if name not in _OURS}
            self._process = subprocess.Popen(self._argv, env=environ, process_group=0)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise CannotStart(
                f"cannot be started: {error.strerror}",
                where=self._argv[0],
                exit_status=NOT_FOUND if missing else NOT_EXECUTABLE,
            ) from error
        threading.Thread(target=self._wait, name="child", daemon=True).start()

    def send(self, number: int) -> None:
        """Signal the command itself, if it still exists."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it and everything in its group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _wait(self) -> None:
        assert self._process is not None  # noqa: S101 - for the type checker: it was started
        self._exited(exit_status(self._process.wait()))


def exit_status(code: int) -> int:
    """A return code of subprocess as a shell has it."""
    return 128 - code if code < 0 else code


def become_init() -> None:
    """
    As process 1: fork, continue in the child, and let the parent reap orphans and pass signals on.

    Must be called before any thread is started. In the parent it does not return.
    """
    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    child = os.fork()
    if child:
        os._exit(_serve_as_init(child, everything))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, everything)


def _serve_as_init(child: int, everything: set[signal.Signals]) -> int:
    """Serve until the child ends. Returns its exit status."""
    while True:
        info = signal.sigwaitinfo(everything)
        if info.si_signo != signal.SIGCHLD:
            if info.si_code != _TTY_SENT:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, info.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if pid == child:
                return exit_status(os.waitstatus_to_exitcode(status))
            if not pid:
                break
