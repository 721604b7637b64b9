"""What leaves the process is text: no control of a terminal, no forged line, no broken UTF-8."""

from __future__ import annotations

import io
import json
import logging
import socket
from pathlib import Path

import pytest

from pyconfd.cli.terminal import Terminal
from pyconfd.daemon.http_endpoints import health
from pyconfd.model.safe_text import escaped, escaped_all
from pyconfd.observe import log
from pyconfd.system.sdnotify import Notifier

HOSTILE = "a\x1b[2Jb\rc\nd\x9be\x7ff\u202eg\u2066h\udcffi\u2028j"


def test_controls_are_written_out() -> None:
    """C0, C1, DEL, bidirectional controls, line separators and bytes that are not UTF-8."""
    assert escaped("plain é 中") == "plain é 中"
    shown = escaped(HOSTILE)
    assert shown.isprintable()
    assert shown.encode() == (b"a\\x1b[2Jb\\rc\\nd\\x9be\\x7ff\\u202eg\\u2066h\\xffi\\u2028j")
    assert escaped_all({"k\x1b": ["\x07", 1, None]}) == {"k\\x1b": ["\\x07", 1, None]}


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_log_line_is_one_line_of_printable_text(style: str) -> None:
    """Message and fields; JSON stays JSON."""
    stream = io.StringIO()
    before = (logging.getLogger("pyconfd").handlers[:], logging.getLogger("pyconfd").propagate)
    try:
        log.configure(level="info", style=style, stream=stream)
        log.info(HOSTILE.replace("\n", ""), key=HOSTILE)
    finally:
        log.LOG.handlers[:], log.LOG.propagate = before
    (line,) = stream.getvalue().rstrip("\n").split("\n")
    assert line.isprintable()
    line.encode()
    if style == "json":
        assert json.loads(line)["key"] == HOSTILE


def test_a_table_cell_forges_no_row() -> None:
    """Names from the store stand in cells."""
    rows = Terminal(io.StringIO(), {}).table([("KEY", "STATE"), (HOSTILE, "fine")])
    assert len(rows) == 2
    assert all(row.isprintable() for row in rows)


def test_the_health_page_survives_bytes_that_are_no_text() -> None:
    """It says what is wrong instead of ending its thread."""
    page = health({"ready": False, "connected": True, "line": f"failed: {HOSTILE}"})
    assert page.status == 503
    assert page.body.decode().rstrip("\n").isprintable()


def test_the_status_of_systemd_survives_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A name that is not UTF-8 ended the daemon at every start."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(5)
        Notifier({"NOTIFY_SOCKET": path}).status(HOSTILE)
        said = server.recv(4096).decode()
    assert said.startswith("STATUS=a\\x1b[2Jb c d")
    assert "\\xff" in said
