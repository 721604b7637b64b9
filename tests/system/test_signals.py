"""Signals become numbers on a queue."""

from __future__ import annotations

import os
import queue
import signal

from pyconfd.system.signals import Signals


def test_an_arriving_signal_is_a_number_on_the_queue() -> None:
    """And the former handlers come back."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
    with Signals(arrived.put):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        got = [arrived.get(timeout=60), arrived.get(timeout=60)]
    assert got == [signal.SIGHUP, signal.SIGTERM]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
