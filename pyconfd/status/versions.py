"""
The versions that went live, and the keys that made each of them: for people who look back. Pure.

No decision depends on it. It has names of keys, never values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pyconfd.model.keys import is_under
from pyconfd.model.reads import ChangedKeys, Reads
from pyconfd.model.resources import Resource
from pyconfd.model.steps import LaneReport, NotRunning, Outcome, Reloaded, ReloadFailed, Result
from pyconfd.pipeline.store import Snapshot
from pyconfd.status.history import gist

#: Changed keys that are remembered until a version is made with them.
REMEMBERED = 1_000
#: Of a pass with more new versions than this, the others name no keys.
MOST_ASKED = 100


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """
    name, dest: of the resource.
    at: seconds since 1970.
    revision: of the store. gated: that of the gated keys, if it is another one.
    keys: those that differ from the version before, as far as known; more: how many are not named.
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


class _Change(NamedTuple):
    number: int
    revision: int
    key: str
    service: str


class RecentChanges:
    """The last changed keys, in order, so that a version can name those that made it."""

    def __init__(self) -> None:
        self._changes: deque[_Change] = deque(maxlen=REMEMBERED)
        self._count = 0
        self._seen: dict[str, int] = {}

    def note(self, revision: int, keys: Sequence[str], service: str = "") -> None:
        """
        Note that these keys changed at this revision. service: the only service concerned, when
        these are its gated keys.
        """
        for key in keys[-REMEMBERED:]:
            self._count += 1
            self._changes.append(_Change(self._count, revision, key, service))

    def made(
        self,
        resource: Resource,
        to: int,
        reads: Reads,
        *,
        gated: Sequence[str] = (),
        live: bool = True,
    ) -> list[str]:
        """
        The keys that a resource reads and that have changed since its last version, each once. to:
        the revision of the new version. gated: paths that its service reads at another revision.
        live: whether the new version is the last one from now on.
        """
        name, service = resource.name, resource.service_name
        seen = self._seen.get(name, 0)
        since: list[_Change] = []
        for change in reversed(self._changes):  # what is older costs nothing
            if change.number <= seen:
                break
            since.append(change)
        found = {
            change.key: change.number
            for change in reversed(since)
            if change.revision <= to
            and _reads(reads, change.key)
            and change.service
            == (service if any(is_under(change.key, path) for path in gated) else "")
        }
        if found and live:
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


def keys_since(snapshot: Snapshot, reads: Reads, revision: int) -> list[str]:
    """The keys that are read and were written after a revision; deleted keys are not found."""
    single = (item for key in sorted(reads.keys) if (item := snapshot.get(key)))
    below = (item for path in sorted(reads.trees) for item in snapshot.subtree(path))
    return list(
        dict.fromkeys(
            item.key for each in (single, below) for item in each if item.mod_revision > revision
        )
    )


def with_keys(report: LaneReport, keys_of: Callable[[Outcome, Reads], Sequence[str]]) -> LaneReport:
    """The report, with the keys that made each new version in its outcome."""
    asked = 0
    outcomes = list(report.outcomes)
    for place, outcome in enumerate(outcomes):
        if outcome.result is Result.UNCHANGED:
            continue
        outcome = replace(outcome, revision=outcome.revision or report.revision)
        asked += 1
        if asked <= MOST_ASKED:
            reads = outcome.reads or Reads(trees=frozenset(outcome.resource.watched))
            outcome = replace(outcome, changed=ChangedKeys.of(keys_of(outcome, reads)))
        outcomes[place] = outcome
    return replace(report, outcomes=tuple(outcomes)) if asked else report


def went_live(outcome: Outcome) -> bool:
    """Whether a pass has put a new version live, even if only for a moment."""
    return outcome.result in (Result.UPDATED, Result.REMOVED, Result.REVERTED)


def version_entry(report: LaneReport, outcome: Outcome, *, gated: int, at: float) -> VersionEntry:
    """What is kept of a version that went live."""
    return VersionEntry(
        name=outcome.resource.name,
        dest=outcome.resource.dest,
        at=at,
        revision=outcome.revision,
        gated=gated,
        keys=outcome.changed.names,
        more=outcome.changed.more,
        result=_result(report, outcome),
    )


def _result(report: LaneReport, outcome: Outcome) -> str:
    """The result in words."""
    if outcome.result is Result.REVERTED:
        words = outcome.report.output if outcome.report else ""
        return f"taken back: {gist(words) or (outcome.error.what if outcome.error else '')}"
    what = "removed" if outcome.result is Result.REMOVED else "live"
    match report.reload:
        case Reloaded(at_run_time=True):
            return f"{what}, changed at run time"
        case Reloaded():
            return f"{what}, reloaded"
        case NotRunning():
            return f"{what}, the service does not run"
        case ReloadFailed(report=output, error=error):
            why = error.what if error else output.reason if output else ""
            return f"{what}, reload failed: {why}"
    return f"{what}, reload pending" if report.debt else what
