"""
Intents: what a swap is about to do, as values and as lines of the journal. Pure.

The file `journal` in the state folder has one JSON object on each line:

    {"do": "swap", "id": 7, "service": ..., "reload": ..., "timeout_s": ..., "files": [...]}
    {"do": "swapped", "id": 7}      it happened: the set is live, whole
    {"do": "undone", "id": 7}       the swap did not happen, or was taken back
    {"do": "settled", "service": ...}    the service runs with what is live
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One file of a swap. dest: as declared; path: with symlinks followed; staged: the new version.

    original: a hard link to the old version, "" when there is none (a single file, or a new one).
    was: digest of the old version, None when the file is new. digest: of the new version.
    A file that is to disappear has no `staged` and no `digest`; it is moved to `original`.
    """

    dest: str
    path: str
    staged: str
    original: str
    was: str | None
    digest: str

    def carry_out(self) -> tuple[str, str]:
        """The rename that makes it so, as (from, to)."""
        return (self.staged, self.path) if self.staged else (self.path, self.original)


@dataclass(frozen=True, slots=True)
class Intent:
    """
    A swap. reload: the command's text, "" when there is nobody to tell. whole: it is a set, and
    all its renames are done.
    """

    id: int
    service: str
    reload: str
    timeout_s: float
    files: tuple[Entry, ...]
    whole: bool = False


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
        timeout_s=intent.timeout_s,
        files=[
            (each.dest, each.path, each.staged, each.original, each.was, each.digest)
            for each in intent.files
        ],
    )


def lines_of(intents: Iterable[Intent]) -> Iterator[bytes]:
    """All that a journal must hold for these to be open."""
    for intent in intents:
        yield swap_line(intent)
        if intent.whole:
            yield line(do="swapped", id=intent.id)


def parse(content: bytes) -> tuple[list[Intent], int]:
    """Intents that are neither undone nor settled, oldest first, and the number of bad lines."""
    import json

    intents: dict[int, Intent] = {}
    damaged = 0
    lines = content.split(b"\n")
    lines.pop()  # what follows the last end of line was torn by a power cut before its swap
    for line in lines:
        try:
            _take(json.loads(line), intents)
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged += 1
    return list(intents.values()), damaged


def _take(fields: dict[str, Any], intents: dict[int, Intent]) -> None:
    """Apply one line. Raises for a line that this version does not understand."""
    match fields["do"]:
        case "swap":
            intents[fields["id"]] = Intent(
                fields["id"],
                fields["service"],
                fields["reload"],
                fields["timeout_s"],
                tuple(Entry(*entry) for entry in fields["files"]),
            )
        case "swapped":
            intents[fields["id"]] = made_whole(intents[fields["id"]])
        case "undone":
            intents.pop(fields["id"], None)
        case "settled":
            for number in [n for n, each in intents.items() if each.service == fields["service"]]:
                del intents[number]
        case other:
            raise ValueError(other)


def made_whole(intent: Intent) -> Intent:
    """The same after its last rename."""
    return replace(intent, whole=True)
