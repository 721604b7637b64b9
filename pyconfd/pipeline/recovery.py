"""
Recovery: completes or undoes what a killed run left half-done. Shell.

Whether a rename happened needs no record: the staged file exists before it and not after it, and a
file to remove is at its new place after it. A file that is written in place is complete once its
staged file is gone; until then its content shows whether the writing had begun.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from pyconfd.errors import StateError
from pyconfd.model.values import dataclass
from pyconfd.pipeline.journal_entries import Intent, JournalEntry, Progress, at
from pyconfd.system import files


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    What a killed run left behind, after the recovery.

    pending: services whose reload must still happen, oldest swap first.
    rolled_back: destinations whose old version was put back, because their set was half swapped.
    finished: destinations that were being written in place, and were written again.
    removed: staged files and links that were removed.
    damaged: lines that could not be read; then the reload of any service may be pending.
    """

    pending: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    damaged: int = 0


def sort(intents: list[Intent]) -> tuple[list[Intent], list[Intent], list[JournalEntry]]:
    """
    Find the swaps that happened, those that stopped half-way and must be undone, and the files that
    were being written in place and must be written again; the rest did not begin. The progress of
    swaps that happened is noted, because the recovery removes the files that prove it.

    A half-done set whose files a later swap has replaced is not undone; it counts as happened. A
    set
    that was being reverted, because the service refused it, is in both lists: it counts as
    reverted, and its reload is pending.
    """
    happened: list[Intent] = []
    torn: list[Intent] = []
    unfinished: list[JournalEntry] = []
    replaced: set[str] = set()
    for intent in reversed(intents):
        waiting = [each for each in intent.files if _waits(each)]
        match intent.progress:
            case Progress.REVERTED:
                happened.append(intent)
            case Progress.REVERTING:
                happened.append(at(Progress.REVERTED, intent))
                left = tuple(each for each in intent.files if each.path not in replaced)
                torn.append(replace(intent, files=left))
            case Progress.BEGUN if len(waiting) == len(intent.files):
                continue
            case Progress.BEGUN if _is_torn(intent, waiting) and not intent.paths <= replaced:
                torn.append(intent)
            case _:
                if intent.progress is Progress.BEGUN and not intent.paths <= replaced:
                    unfinished += filter(_is_half, intent.files)
                happened.append(at(Progress.WHOLE, intent))
                replaced |= intent.paths
    return happened[::-1], torn, unfinished


def _waits(entry: JournalEntry) -> bool:
    """Whether its rename has not happened, or was undone."""
    if not entry.staged:
        return not os.path.lexists(entry.original)
    return os.path.lexists(entry.staged) and not _is_half(entry)


def _is_half(entry: JournalEntry) -> bool:
    """Whether it is being written in place."""
    in_place = entry.in_place and os.path.lexists(entry.staged)
    return in_place and _digest(entry.path) != entry.was


def _is_torn(intent: Intent, waiting: Collection[JournalEntry]) -> bool:
    """
    Whether part of a set is live. A single half-written file is not torn: its rest can follow.
    """
    return bool(waiting) or (len(intent.files) > 1 and any(map(_is_half, intent.files)))


def _digest(path: str) -> str | None:
    try:
        return files.digest(files.read(path)[0])
    except OSError:
        return None


def carry_out(entry: JournalEntry) -> None:
    """Make the new version live; one that is written in place stays staged until it is whole."""
    if entry.in_place and entry.staged:
        files.overwrite(entry.path, entry.staged)
        os.unlink(entry.staged)
    else:
        os.rename(*entry.carry_out())


def finish(entry: JournalEntry) -> str:
    """
    Write a file again that was being written in place. Returns its destination. May be interrupted
    and repeated. Raises StateError.
    """
    try:
        carry_out(entry)
    except OSError as error:
        raise StateError(
            f"half of the new version was written, and the rest cannot be: "
            f"{error.strerror or error}",
            where=entry.path,
            kept=f"the new version is {entry.staged}",
            hint="put it there by hand, then start again",
        ) from error
    return entry.dest


def roll_back(intent: Intent) -> Iterator[str]:
    """
    Put the old versions back where the new ones are already live, last first.

    May itself be interrupted and repeated: a file that is back has no staged version and no
    original. Raises StateError when a file cannot be put back.
    """
    begun = intent.progress is Progress.BEGUN
    for each in reversed(intent.files):
        if begun and _waits(each):
            continue
        try:
            restore(each)
        except OSError as error:
            raise StateError(
                f"a half-done swap cannot be undone: {error.strerror or error}",
                where=each.path,
                kept=f"the old version is {each.original}" if each.original else "",
                hint="put it back by hand, then start again",
            ) from error
        yield each.dest


def restore(entry: JournalEntry) -> None:
    """Make the old version live again; harmless when it already is. Raises OSError."""
    if entry.was is None:
        files.remove(entry.path)
    elif entry.original and os.path.lexists(entry.original):
        if entry.in_place:
            files.overwrite(entry.path, entry.original)
            os.unlink(entry.original)
        else:
            os.rename(entry.original, entry.path)
    files.sync_folder(entry.path)


def clean(intents: Iterable[Intent], kept: Collection[str]) -> Iterator[str]:
    """
    Remove staged files and links to old versions, except the kept paths. Yields the paths of those
    that existed.
    """
    for intent in intents:
        for each in intent.files:
            for path in (each.staged, each.original):
                if path and path not in kept and files.remove(path):
                    yield path


def kept_for(intents: Iterable[Intent]) -> frozenset[str]:
    """The old versions to keep, because the service may still refuse the new ones."""
    return frozenset(
        each.original
        for intent in intents
        if intent.keep and intent.reload and intent.progress is not Progress.REVERTED
        for each in intent.files
        if each.original
    )


def drop_originals(intents: Iterable[Intent]) -> None:
    """Remove the old versions that were kept to be put back."""
    for intent in intents:
        for each in intent.files:
            if each.original:
                files.remove(each.original)


def pending_for(happened: Iterable[Intent]) -> tuple[str, ...]:
    """The services whose reload is pending, each once."""
    return tuple(dict.fromkeys(intent.service for intent in happened if intent.reload))
