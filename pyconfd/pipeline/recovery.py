"""
Recovery: what a killed run left half-done, put in order. Shell.

Whether a rename happened needs no record: the staged file is there before it and gone after it;
a file that was to disappear is at its new place after it.
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
    What a killed run left behind, after it was put in order.

    pending: services whose reload must still happen, oldest swap first.
    rolled_back: destinations of which the old version was put back: their set was half swapped.
    removed: staged files and links that were removed.
    damaged: lines that could not be read; then the reload of any service may be pending.
    """

    pending: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    damaged: int = 0


def sort(intents: list[Intent]) -> tuple[list[Intent], list[Intent]]:
    """
    Which swaps happened, and which stopped half-way and have to be undone; the rest did not begin.
    What happened gets its progress noted: the files that prove it are removed by the recovery.

    A half-done set whose files a later swap has replaced is not undone any more; it counts as
    happened. One that was being reverted, because the service refused it, is in both lists: it
    counts as reverted, and its reload is pending.
    """
    happened: list[Intent] = []
    torn: list[Intent] = []
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
            case Progress.BEGUN if waiting and not intent.paths <= replaced:
                torn.append(intent)
            case _:
                happened.append(at(Progress.WHOLE, intent))
                replaced |= intent.paths
    return happened[::-1], torn


def _waits(entry: JournalEntry) -> bool:
    """Whether its rename has not happened, or was undone."""
    if entry.staged:
        return os.path.lexists(entry.staged)
    return not os.path.lexists(entry.original)


def roll_back(intent: Intent) -> Iterator[str]:
    """
    Put the old versions back where the new ones are live already, last first.

    May itself be cut short and done again: a file that is back has neither a staged version nor
    an original any more. Raises StateError when a file cannot be put back.
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
    """Make the old version live again; harmless when it is already. Raises OSError."""
    if entry.was is None:
        files.remove(entry.path)
    elif entry.original and os.path.lexists(entry.original):
        os.rename(entry.original, entry.path)
    files.sync_folder(entry.path)


def clean(intents: Iterable[Intent], kept: Collection[str]) -> Iterator[str]:
    """
    Remove staged files and links to old versions, but for the paths that are to be kept. Yields
    the paths of those that were there.
    """
    for intent in intents:
        for each in intent.files:
            for path in (each.staged, each.original):
                if path and path not in kept and files.remove(path):
                    yield path


def kept_for(intents: Iterable[Intent]) -> frozenset[str]:
    """The old versions that stay, because the service may still refuse the new ones."""
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
