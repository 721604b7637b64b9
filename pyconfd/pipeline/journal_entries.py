"""
Intents: what a swap is going to do, as values and as lines of the journal. Pure.

The file `journal` in the state folder has one JSON object on each line:

    {"do": "swap", "id": 7, "service": ..., "reload": ..., "files": [...], "keep": true}
                                    `keep`: the old versions stay until the service has confirmed
    {"do": "swapped", "id": 7}      it happened: the set is live, whole
    {"do": "reverting", "id": 7}    it is being rolled back, because the service refused it
    {"do": "reverted", "id": 7}     the old versions are live, whole, and the reload is pending
    {"do": "undone", "id": 7}       the swap did not happen, or no longer matters
    {"do": "settled", "service": ...}    the service runs with what is live
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import replace

from pyconfd.model.values import dataclass


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """
    One file of a swap. A file to remove has no `staged` and no `digest`; it is moved to `original`.

    dest: as declared.
    path: the same with symlinks followed.
    staged: path of the new version.
    original: a hard link to the old version, "" when there is none (a single file, or a new one).
    was: digest of the old version, None when the file is new.
    digest: of the new version.
    in_place: it is a mount point, so it is written in place instead of replaced by a rename.
    """

    dest: str
    path: str
    staged: str
    original: str
    was: str | None
    digest: str
    in_place: bool = False

    def carry_out(self) -> tuple[str, str]:
        """The rename that carries it out, as (from, to)."""
        return (self.staged, self.path) if self.staged else (self.path, self.original)


class Progress(enum.StrEnum):
    """How far a swap has come; the values are words of the journal."""

    BEGUN = "swap"
    WHOLE = "swapped"
    REVERTING = "reverting"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True)
class Intent:
    """
    A swap.

    id: its number in the journal.
    service: the name of the service that reads the files.
    reload: the text of its reload command, "" for none.
    files: in the order of the swap.
    keep: the old versions stay until the service has confirmed.
    progress: how far it has come; for a single file it stays at BEGUN.
    """

    id: int
    service: str
    reload: str
    files: tuple[JournalEntry, ...]
    keep: bool = False
    progress: Progress = Progress.BEGUN

    @property
    def paths(self) -> frozenset[str]:
        """The paths of the files, links followed."""
        return frozenset(each.path for each in self.files)


def line(**fields: object) -> bytes:
    """One line of the journal."""
    import json  # a run that swaps nothing does not need it

    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def swap_line(intent: Intent) -> bytes:
    """The line that opens an intent."""
    return line(
        do="swap",
        id=intent.id,
        service=intent.service,
        reload=intent.reload,
        files=[
            (each.dest, each.path, each.staged, each.original, each.was, each.digest)
            + ((True,) if each.in_place else ())
            for each in intent.files
        ],
        **({"keep": True} if intent.keep else {}),
    )


def lines_of(intent: Intent) -> Iterator[bytes]:
    """All lines that a journal needs so that this intent is open."""
    yield swap_line(intent)
    if intent.progress is not Progress.BEGUN:
        yield line(do=intent.progress, id=intent.id)


def at(progress: Progress, intent: Intent) -> Intent:
    """The same intent with this progress."""
    return replace(intent, progress=progress)
