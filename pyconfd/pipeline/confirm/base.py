"""What every way of asking a daemon has in common. Pure."""

from __future__ import annotations

import enum
from typing import Protocol

from pyconfd.errors import ReloadError


class ReloadVerdict(enum.Enum):
    """What became of a reload."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    SILENT = "silent"


#: A verdict and what it rests on, in words.
Answer = tuple[ReloadVerdict, str]


class BeforeReload(Protocol):
    """A daemon as it was before its reload, which knows how to ask it afterwards."""

    def answer(self) -> Answer | None:
        """What the daemon says now; None when there is nothing yet."""

    def missed(self) -> str:
        """What has not been seen, for a daemon that did not answer in time."""

    def over(self) -> None:
        """Nothing more will be asked."""


def unreachable(what: str, where: str, hint: str = "") -> ReloadError:
    """A daemon that cannot be asked, though it may run. what: one sentence."""
    return ReloadError(
        what, where=where, kept="the new files are live, and the reload is pending", hint=hint
    )


def absent(what: str, where: str) -> ReloadError:
    """A daemon that provably does not run. what: one sentence."""
    error = ReloadError(what, where=where, kept="it reads the new files when it starts")
    error.absent = True
    return error
