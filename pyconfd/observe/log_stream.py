"""
The stream of log lines, whose reader may stall without delaying the program. Shell.

Writing to a full pipe waits until it is read, and the daemon would stand still meanwhile. Here a
line waits for a moment, then it is dropped and counted; the count is logged as soon as there is
room again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
from collections.abc import Mapping
from typing import TextIO

#: How long one line waits for a reader, seconds; none once a line was dropped.
PATIENCE_S = 0.2
#: So much fits into a pipe that is ready for writing (POSIX, PIPE_BUF on Linux).
_AT_ONCE = 4096


class LogStream(logging.Handler):
    """Writes formatted lines to a stream; may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._dropped = 0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, or drop it if the reader does not read."""
        line = self.format(record) + "\n"
        with contextlib.suppress(OSError, ValueError):  # a closed stream does not end the daemon
            fd = _descriptor(self._stream)
            if fd is None:
                self._stream.write(line)
            elif not self._caught_up(fd) or not self._write(fd, line):
                self._dropped += 1

    def _caught_up(self, fd: int) -> bool:
        """Log how many lines were dropped. Returns whether that is done."""
        if not self._dropped:
            return True
        note = f"WARN  {self._dropped} log lines were dropped, because nothing read them\n"
        if not self._write(fd, note):
            return False
        self._dropped = 0
        return True

    def _write(self, fd: int, text: str) -> bool:
        data = text.encode(errors="backslashreplace")
        if self._torn:
            data = b"\n" + data
        while data:
            patience_s = 0.0 if self._dropped else PATIENCE_S
            if not select.select((), (fd,), (), patience_s)[1]:
                return False
            written = os.write(fd, data[:_AT_ONCE])
            data = data[written:]
            self._torn = bool(data)
        return True


def _descriptor(stream: TextIO) -> int | None:
    """The file descriptor of a stream, None for one in memory."""
    try:
        fd = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
    stream.flush()
    return fd


def to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether systemd's journal reads the stream, as JOURNAL_STREAM says (systemd.exec(5))."""
    named = environ.get("JOURNAL_STREAM", "")
    try:
        facts = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return named == f"{facts.st_dev}:{facts.st_ino}"
