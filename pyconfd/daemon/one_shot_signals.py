"""
Ctrl-C, SIGTERM and the end of the terminal during a one-shot run: running commands may finish,
nothing new is begun, and nothing is left behind.

The main thread does the work, so another thread stops the commands. A second signal stops them at
once.
"""

from __future__ import annotations

import queue
import signal
import threading

from pyconfd.observe import log
from pyconfd.system.proc import Commands
from pyconfd.system.signals import Signals


class Interrupt:
    """
    Watches for a signal while work is done: `with Interrupt(commands, 30.0) as interrupt`.

    grace_s: how long a running command may go on. Main thread only.
    """

    def __init__(self, commands: Commands, grace_s: float) -> None:
        self._commands = commands
        self._grace_s = grace_s
        self._number = 0
        self._inbox: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._signals = Signals(self._arrived, _ending())
        self._thread = threading.Thread(target=self._serve, name="interrupt", daemon=True)

    def asked(self) -> bool:
        """Whether a signal has come; if so, no further resource is begun."""
        return self._number != 0

    @property
    def status(self) -> int:
        """The exit status of a run that the signal has ended, as in a shell; 0 for none."""
        return 128 + self._number if self._number else 0

    def _arrived(self, number: int) -> None:
        self._number = self._number or number
        self._inbox.put(number)

    def _serve(self) -> None:
        grace_s = self._grace_s
        while number := self._inbox.get():
            log.warn("stopping", signal=signal.Signals(number).name)
            # `stop` waits for the commands; a second signal must be able to shorten that.
            threading.Thread(target=self._commands.stop, args=(grace_s,), daemon=True).start()
            grace_s = 0.0

    def __enter__(self) -> Interrupt:
        self._thread.start()
        self._signals.install()
        return self

    def __exit__(self, *exc: object) -> None:
        self._signals.restore()
        self._inbox.put(0)
        self._thread.join()


def _ending() -> list[signal.Signals]:
    """The signals that end the run; not SIGHUP under nohup, which has it ignored."""
    ending = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ending.append(signal.SIGHUP)
    return ending
