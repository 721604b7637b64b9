"""The common part of all ways to confirm a reload. Pure."""

from __future__ import annotations

import enum
from typing import Protocol

from pyconfd.errors import ReloadError


class ReloadVerdict(enum.Enum):
    """The verdicts on a reload."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    SILENT = "silent"


#: A verdict, and what it rests on in words.
Answer = tuple[ReloadVerdict, str]


class BeforeReload(Protocol):
    """A daemon before its reload, to compare with the daemon afterwards."""

    def poll(self) -> Answer | None:
        """The present answer; None when there is none yet."""

    def missing(self) -> str:
        """What has not been seen, for a daemon that did not answer in time."""

    def running(self) -> tuple[str, int, float] | None:
        """The daemon's name, pid and start time of its master, where it leaves old workers."""
        return None

    def close(self) -> None:
        """Clean up once the answer is no longer awaited."""
        return


def unreachable(what: str, where: str, hint: str = "") -> ReloadError:
    """The error for a daemon that may run but cannot be asked. what: one sentence."""
    return ReloadError(
        what, where=where, kept="the new files are live, and the reload is pending", hint=hint
    )


def absent(what: str, where: str) -> ReloadError:
    """The error for a daemon that provably does not run. what: one sentence."""
    error = ReloadError(what, where=where, kept="it reads the new files when it starts")
    error.absent = True
    return error
