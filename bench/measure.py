"""Instruments: a child's resources, the moment a file is swapped, percentiles. Linux only."""

from __future__ import annotations

import ctypes
import os
import select
import statistics
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_IN_CLOSE_WRITE, _IN_MOVED_TO = 0x8, 0x80
_EVENT = struct.Struct("iIII")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command: wall seconds, and CPU seconds with children."""

    wall_s: float
    cpu_s: float


def run(argv: Sequence[str], folder: str) -> Run:
    """Run a command to its end; RuntimeError with its output when it fails."""
    with open(os.path.join(folder, "run.log"), "wb+") as log:
        began_s = time.perf_counter()
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{' '.join(argv)}: {log.read().decode(errors='replace')[-1000:]}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime)


def peak_mib(argv: Sequence[str]) -> float:
    """
    The peak memory of one run, MiB, looked at every few milliseconds: what the kernel reports at
    the end starts at the peak of who started it.
    """
    peak = 0
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                fields = dict(line.split(":", 1) for line in file)
            peak = max(peak, int(fields.get("VmHWM", "0 kB").split()[0]))
            time.sleep(0.003)
    return peak / 1024


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that a process and the children it waited for have used."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def percentile(values: Sequence[float], share: int) -> float:
    """The value below which `share` percent of all lie."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


class Swaps:
    """Tells when a file of a folder was replaced, through inotify: no polling, no CPU."""

    def __init__(self, folder: str) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._folder = folder
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watched = libc.inotify_add_watch(
            self._descriptor, folder.encode(), _IN_CLOSE_WRITE | _IN_MOVED_TO
        )
        if self._descriptor < 0 or watched < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)

    def wait(self, name: str, text: str, timeout_s: float = 60.0) -> float:
        """When a file of this name that holds the text came into place, as perf_counter says."""
        end_s = time.perf_counter() + timeout_s
        while time.perf_counter() < end_s:
            select.select([self._descriptor], [], [], 1.0)
            at_s = time.perf_counter()
            if name in self._names() and text in self._content(name):
                return at_s
        raise TimeoutError(f"{name} did not come to hold {text!r} within {timeout_s} s")

    def _content(self, name: str) -> str:
        with open(os.path.join(self._folder, name), encoding="utf-8") as file:
            return file.read()

    def _names(self) -> set[str]:
        names: set[str] = set()
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return names
        while data:
            _, _, _, size = _EVENT.unpack_from(data)
            names.add(data[_EVENT.size : _EVENT.size + size].rstrip(b"\0").decode())
            data = data[_EVENT.size + size :]
        return names
