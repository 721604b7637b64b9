"""
The lock of a state folder: one pyconfd at a time. Shell; the caller decides whether to wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from pyconfd.errors import StateError
from pyconfd.system import files


class InstanceLock:
    """
    Held from `acquire` until `release` or the end of the process, however it ends.

    It is a flock on `lock` in the state folder. The file has the id of the process that holds the
    lock, for people and for the message. It is never removed: otherwise two processes could hold
    locks on two files of that name.
    """

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, "lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        """
        Take the lock; create the state folder (mode 0700) if it is missing.

        Raises StateError: another process holds it, or the folder cannot be used.
        """
        try:
            files.own_folder(os.path.dirname(self._path))
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateError(
                f"the state folder cannot be used: {error.strerror}",
                where=os.path.dirname(self._path),
                hint="make it writable, or set state_dir",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            who = f"process {holder}" if holder else "another process"
            raise StateError(
                f"{who} already uses this state folder",
                where=os.path.dirname(self._path),
                hint="stop it, or give this one a state_dir of its own",
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the number is only for people
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> InstanceLock:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()
