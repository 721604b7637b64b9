"""
The reading end of a named pipe that outlives its writers. Shell.

A writer may end and come back, and may replace the pipe by another one under the same path
(keepalived does so at each reload if it made the pipe). Nothing is lost that was written while this
end, or a writer, had the pipe open.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat

from pyconfd.errors import StateError
from pyconfd.system import files

_MODE = 0o600


class Fifo:
    """
    Lines from a named pipe, which is created with its folder if missing. Raises StateError when
    that fails, and when another process reads it (PATH.lock), because each line would reach only
    one.

    has_writer: whether a process had the other end open at the last read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.has_writer = False
        self._rest = b""
        _make_folder(os.path.dirname(path))
        self._lock = _locked(f"{path}.lock")
        self._fd = self._open()

    def lines(self, timeout_s: float, wake_fd: int) -> list[str]:
        """The lines written, after waiting for them or for `wake_fd` to be readable."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(wake_fd, select.POLLIN)
        poll.poll(timeout_s * 1000)
        found = self._read()
        if not self.has_writer or self._replaced():
            # Opened again also where it is the same pipe: after a writer has gone, polling the
            # old end would return at once for ever.
            with contextlib.suppress(StateError):  # tried again the next time
                fd = self._open()
                os.close(self._fd)
                self._fd = fd
                found += self._read()
        return found

    def close(self) -> None:
        """Leave the pipe to others; it is not removed."""
        os.close(self._fd)
        os.close(self._lock)

    def _open(self) -> int:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self.path, _MODE)
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise StateError(f"cannot be opened: {error.strerror}", where=self.path) from error
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.close(fd)
            raise StateError("is not a named pipe", where=self.path)
        return fd

    def _replaced(self) -> bool:
        try:
            there = os.stat(self.path)
        except OSError:
            return True
        ours = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _read(self) -> list[str]:
        """Whole lines; an incomplete one waits for its rest."""
        while True:
            try:
                part = os.read(self._fd, 65536)
            except BlockingIOError:
                self.has_writer = True
                break
            if not part:
                self.has_writer = False
                break
            self._rest += part
        *whole, self._rest = self._rest.split(b"\n")
        return [line.decode(errors="replace") for line in whole]


def _make_folder(folder: str) -> None:
    """Make the folder, which all may list: only the pipe itself is private."""
    try:
        if folder:
            files.make_folders(folder, 0o755)
    except OSError as error:
        hint = "name a pipe in a folder that you may write in"
        raise StateError(f"cannot be made: {error.strerror}", where=folder, hint=hint) from error


def _locked(path: str) -> int:
    """
    The lock file. It is never removed: otherwise two processes could lock two files of one name.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    except OSError as error:
        raise StateError(f"cannot be made: {error.strerror}", where=path) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise StateError("another process listens there already", where=path) from error
    return fd
