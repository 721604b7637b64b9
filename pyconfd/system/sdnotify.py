"""
Status of the service for systemd: datagrams to the socket named by NOTIFY_SOCKET. Shell.

The protocol is described in sd_notify(3); no systemd library is needed for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from pyconfd.model.safe_text import escaped


class Notifier:
    """
    Sends states to systemd; does nothing when systemd does not want them or is gone.

    environ: NOTIFY_SOCKET and WATCHDOG_USEC are read from it once.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@name" is a socket in the abstract namespace, whose real name starts with a NUL.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)

    @property
    def wanted(self) -> bool:
        """Whether systemd wants to be notified."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """Notify that it has started, or has finished reloading."""
        self._send("READY=1", status=status)

    def reloading(self, status: str = "") -> None:
        """Reloading its own configuration; `ready` ends it. Type=notify-reload needs the time."""
        now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_usec}", status=status)

    def stopping(self, status: str = "") -> None:
        """Stopping."""
        self._send("STOPPING=1", status=status)

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(status=text)

    def watchdog(self) -> None:
        """A sign of life; due more often than every `watchdog_s`."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str, status: str = "") -> None:
        if not self._address:
            return
        import socket  # only a service under systemd needs it

        if status:
            lines += ("STATUS=" + escaped(" ".join(status.split())),)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return  # systemd is restarting or its queue is full: not worth failing for


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """
    The longest time in seconds between two signs of life for systemd; None when it wants none.
    """
    import os

    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6 or None
