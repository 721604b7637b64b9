"""
The versions that went live, and which keys made each of them: for people who look back. Pure.

Nothing is decided by it. Names of keys are in it, values never.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pyconfd.model.reads import Reads
from pyconfd.model.steps import LaneReport, NotRunning, Outcome, Reloaded, ReloadFailed, Result
from pyconfd.status.history import gist

#: Keys that are named with a version; the others are counted.
MOST_KEYS = 20
#: Changed keys that are remembered until a version is made with them.
REMEMBERED = 1_000
#: A pass with more new versions than this is not asked which keys made each of them.
MOST_ASKED = 100


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """
    name, dest: of the resource.
    at: seconds since 1970.
    revision: of the store. gated: the one of the gated keys, where it is another.
    keys: that made the difference, as far as known; more: how many are not named.
    result: what became of it.
    """

    name: str
    dest: str
    at: float
    revision: int
    gated: int
    keys: tuple[str, ...]
    more: int
    result: str


class RecentChanges:
    """The keys that have changed last, in order, so that a version can name those that made it."""

    def __init__(self) -> None:
        self._changes: deque[tuple[int, int, str]] = deque(maxlen=REMEMBERED)
        self._count = 0
        self._seen: dict[str, int] = {}

    def note(self, revision: int, keys: Sequence[str]) -> None:
        """These keys are others as of this revision."""
        for key in keys[-REMEMBERED:]:
            self._count += 1
            self._changes.append((self._count, revision, key))

    def made(self, name: str, to: int, reads: Reads) -> list[str]:
        """
        Those that a resource reads and that have changed since its last version, each once; to: the
        revision of the new one.
        """
        seen = self._seen.get(name, 0)
        since: list[tuple[int, int, str]] = []
        for change in reversed(self._changes):  # what is older costs nothing
            if change[0] <= seen:
                break
            since.append(change)
        found = {
            key: number
            for number, revision, key in reversed(since)
            if revision <= to and _reads(reads, key)
        }
        if found:
            self._seen[name] = max(found.values())
        return list(found)


def _reads(reads: Reads, key: str) -> bool:
    if key in reads.keys:
        return True
    while key not in reads.trees:
        if key in ("", "/"):
            return False
        key = key.rpartition("/")[0] or "/"
    return True


def went_live(outcome: Outcome) -> bool:
    """Whether a pass has put a new version live, if only for a moment."""
    return outcome.result in (Result.UPDATED, Result.REMOVED, Result.REVERTED)


def version_entry(
    report: LaneReport, outcome: Outcome, keys: Sequence[str], *, gated: int, at: float
) -> VersionEntry:
    """What is kept of a version that went live."""
    return VersionEntry(
        name=outcome.resource.name,
        dest=outcome.resource.dest,
        at=at,
        revision=outcome.revision,
        gated=gated,
        keys=tuple(keys[:MOST_KEYS]),
        more=max(0, len(keys) - MOST_KEYS),
        result=_result(report, outcome),
    )


def _result(report: LaneReport, outcome: Outcome) -> str:
    """What became of it, in words."""
    if outcome.result is Result.REVERTED:
        words = outcome.report.output if outcome.report else ""
        return f"taken back: {gist(words) or (outcome.error.what if outcome.error else '')}"
    what = "removed" if outcome.result is Result.REMOVED else "live"
    match report.reload:
        case Reloaded():
            return f"{what}, reloaded"
        case NotRunning():
            return f"{what}, the service does not run"
        case ReloadFailed(report=output, error=error):
            why = error.what if error else output.reason if output else ""
            return f"{what}, reload failed: {why}"
    return f"{what}, reload pending" if report.debt else what
