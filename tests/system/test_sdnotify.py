"""What systemd hears."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from pyconfd.system.sdnotify import Notifier


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, socket.socket]:
    """A listening socket and its name as systemd gives it."""
    name = (
        str(tmp_path / "notify") if request.param == "path" else f"@pyconfd-{os.urandom(6).hex()}"
    )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(name.replace("@", "\0", 1) if name[0] == "@" else name)
    sock.settimeout(60)
    request.addfinalizer(sock.close)
    return name, sock


def test_states_are_sent_as_systemd_wants_them(heard: tuple[str, socket.socket]) -> None:
    """One datagram for each; a status is one line."""
    name, sock = heard
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.wanted
    notifier.ready("3 files\nup to date")
    assert sock.recv(999) == b"READY=1\nSTATUS=3 files up to date"
    notifier.reloading()
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", sock.recv(999))
    notifier.status("busy")
    assert sock.recv(999) == b"STATUS=busy"
    notifier.watchdog()
    assert sock.recv(999) == b"WATCHDOG=1"
    notifier.stopping()
    assert sock.recv(999) == b"STOPPING=1"


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    """Not asked for, or gone meanwhile."""
    assert not Notifier({}).wanted
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_interval_is_ours_only_when_meant_for_us(
    environ: dict[str, str], expected: float | None
) -> None:
    """WATCHDOG_PID names another process when it was inherited."""
    assert Notifier(environ).watchdog_s == expected
