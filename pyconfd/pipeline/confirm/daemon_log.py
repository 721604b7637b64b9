"""What a daemon has logged since its reload. Shell."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pyconfd.config.daemons import Daemon

#: Read at most this much of what the log has grown by; a refusal is among the first lines.
_LOG_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class DaemonLog:
    """
    A log as it was before the reload.

    path: "" when there is none to read.
    at: its inode and size.
    """

    daemon: Daemon
    path: str
    at: tuple[int, int]

    @staticmethod
    def begun(path: str, daemon: Daemon) -> DaemonLog:
        """The log as it is now."""
        try:
            facts = os.stat(path)
        except OSError:
            return DaemonLog(daemon, path, (0, 0))
        return DaemonLog(daemon, path, (facts.st_ino, facts.st_size))

    def refusal(self, pid: int = 0) -> str:
        """
        The first refusal in the log since then; "" for none, and as long as the daemon may still
        succeed. pid: of its master, if the lines name it.
        """
        if not self.path or not self.daemon.refusal:
            return ""
        refusal = re.compile(self.daemon.refusal.replace("{pid}", str(pid)))
        texts = [found["text"] for found in map(refusal.search, self._grown()) if found]
        trying = self.daemon.trying
        if trying and all(re.search(trying, text) for text in texts):
            return ""
        return texts[0] if texts else ""

    def numbers(self, pattern: str, pid: int) -> frozenset[int] | None:
        """
        The values of the group `number` in the lines since then; None when the log cannot be read.
        pid: as in `refusal`.
        """
        if not self.path or not os.access(self.path, os.R_OK):
            return None
        wanted = re.compile(pattern.replace("{pid}", str(pid)))
        return frozenset(
            int(found["number"]) for found in map(wanted.search, self._grown()) if found
        )

    def _grown(self) -> list[str]:
        """The lines added since then; a log that was rotated meanwhile is read from its start."""
        inode, size = self.at
        try:
            with open(self.path, "rb") as file:
                facts = os.fstat(file.fileno())
                if not self.daemon.rewritten and facts.st_ino == inode and facts.st_size >= size:
                    file.seek(size)
                return file.read(_LOG_BYTES).decode(errors="replace").splitlines()
        except OSError:
            return []
