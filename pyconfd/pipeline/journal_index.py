"""
The open intents of a journal, by service and by path, and how its lines open and close them. Pure.

Thousands of swaps of one service may be open, because its reload fails or comes at the end of a
long pass. So the cost of each question follows the answer, not the number of open swaps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pyconfd.pipeline.journal_entries import Intent, JournalEntry, Progress


class OpenIntents:
    """Swaps that are neither undone nor settled, oldest first."""

    def __init__(self, intents: Iterable[Intent] = ()) -> None:
        self._all: dict[int, Intent] = {}
        self._services: dict[str, _OfService] = {}
        for intent in intents:
            self.add(intent)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Intent]:
        return iter(self._all.values())

    def __getitem__(self, number: int) -> Intent:
        return self._all[number]

    @property
    def services(self) -> frozenset[str]:
        """Those with a pending reload."""
        return frozenset(name for name, mine in self._services.items() if mine.reloads)

    def of(self, service: str) -> tuple[Intent, ...]:
        """All of one service."""
        mine = self._services.get(service)
        return tuple(self._all[number] for number in mine.numbers) if mine else ()

    def add(self, intent: Intent) -> None:
        """Add an intent newer than all others."""
        self.drop(intent.id)
        self._services.setdefault(intent.service, _OfService()).add(intent)
        self._all[intent.id] = intent

    def progress(self, number: int, progress: Progress) -> None:
        """Note the progress of an intent. KeyError if it is not open."""
        intent = self._all[number] = replace(self._all[number], progress=progress)
        self._services[intent.service].fresh.update(intent.paths)

    def drop(self, number: int) -> Intent | None:
        """Remove an intent; None if it is not open."""
        intent = self._all.pop(number, None)
        if intent is not None:
            mine = self._services[intent.service]
            mine.drop(intent)
            if not mine.numbers:
                del self._services[intent.service]
        return intent

    def reassign(self, service_of: Mapping[int, str]) -> None:
        """Assign these intents to these services."""
        for number, service in service_of.items():
            self._all[number] = replace(self._all[number], service=service)
        self._services = {}
        for intent in self._all.values():
            self._services.setdefault(intent.service, _OfService()).add(intent)

    def needless(self, service: str) -> list[Intent]:
        """
        The intents of a service that may be forgotten, when all of its swaps have happened. A swap
        is needed for a path that no newer one names, because its reload is pending. One with kept
        old versions is also needed for a path of which no older one has the running version.

        Only changes since the last call are looked at, so the caller must drop the result.
        """
        mine = self._services.get(service)
        if mine is None:
            return []
        known = [self._all[number] for number in mine.neighbours()]
        mine.fresh.clear()
        kept = {each.id for each in known if _keeps(each) and self._runs_on_older(each)}
        plain = [each for each in known if not _keeps(each) and self._is_covered(each, kept)]
        return [each for each in known if each.id in kept] + plain[::-1]

    def _runs_on_older(self, intent: Intent) -> bool:
        """Whether older intents have kept the running version of every path."""
        return all(self._older_keeps(path, intent) for path in intent.paths)

    def _older_keeps(self, path: str, intent: Intent) -> bool:
        for number in reversed(self._services[intent.service].by_path[path]):
            older = self._all[number]
            if number < intent.id and (not older.keep or _keeps(older)):
                return older.keep
        return False

    def _is_covered(self, intent: Intent, but: Collection[int]) -> bool:
        """Whether newer intents, other than those of `but`, name every path."""
        by_path = self._services[intent.service].by_path
        return all(
            any(number not in but for number in _after(by_path[path], intent.id))
            for path in intent.paths
        )


@dataclass(slots=True)
class _OfService:
    """
    numbers: of its intents, oldest first (a dict is an ordered set).
    by_path: path -> the numbers of those that name it, oldest first.
    fresh: paths whose intents have changed since the last call of `needless`.
    reloads: how many of the intents have a reload.
    """

    numbers: dict[int, None] = field(default_factory=dict)
    by_path: dict[str, dict[int, None]] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    reloads: int = 0

    def add(self, intent: Intent) -> None:
        for path in intent.paths:
            self.by_path.setdefault(path, {})[intent.id] = None
            self.fresh.add(path)
        self.numbers[intent.id] = None
        self.reloads += bool(intent.reload)

    def drop(self, intent: Intent) -> None:
        del self.numbers[intent.id]
        self.reloads -= bool(intent.reload)
        for path in intent.paths:
            naming = self.by_path[path]
            del naming[intent.id]
            if naming:
                self.fresh.add(path)
            else:
                del self.by_path[path]
                self.fresh.discard(path)

    def neighbours(self) -> list[int]:
        """The numbers of all intents that name a fresh path, oldest first."""
        return sorted({number for path in self.fresh for number in self.by_path[path]})


def _keeps(intent: Intent) -> bool:
    """Whether the old versions may still have to be put back."""
    return intent.keep and intent.progress is not Progress.REVERTED


def _after(numbers: dict[int, None], than: int) -> Iterator[int]:
    """The newer ones, newest first."""
    for number in reversed(numbers):
        if number <= than:
            return
        yield number


def parse(content: bytes) -> tuple[OpenIntents, int]:
    """The intents that the lines of a journal leave open, and the number of bad lines."""
    import json

    intents = OpenIntents()
    damaged = 0
    lines = content.split(b"\n")
    lines.pop()  # what follows the last end of line was torn by a power cut before its swap
    for line in lines:
        try:
            _take(json.loads(line), intents)
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged += 1
    return intents, damaged


def _take(fields: dict[str, Any], intents: OpenIntents) -> None:
    """Apply one line. Raises for a line that this version does not understand."""
    match fields["do"]:
        case "swap":
            intents.add(
                Intent(
                    fields["id"],
                    fields["service"],
                    fields["reload"],
                    tuple(JournalEntry(*entry) for entry in fields["files"]),
                    keep=bool(fields.get("keep")),
                )
            )
        case "swapped" | "reverting" | "reverted" as word:
            intents.progress(fields["id"], Progress(word))
        case "undone":
            intents.drop(fields["id"])
        case "settled":
            for intent in intents.of(fields["service"]):
                intents.drop(intent.id)
        case other:
            raise ValueError(other)
