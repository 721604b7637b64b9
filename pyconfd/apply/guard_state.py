"""
What the guards compare with: the keys of each resource's last good version. Survives restarts.

Only the number of keys is stored. It answers "is everything suddenly gone?", for which a number
from a minute ago is good enough. The first number of a resource is stored at once, because a run
that is killed before would leave nothing to compare with.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pyconfd.errors import HeldBack, RenderError, StageError
from pyconfd.model.resources import Resource
from pyconfd.pipeline.guard import Baseline, GuardKind, Objection, all_gone, objection, unknown_loss
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile import guard_timing
from pyconfd.reconcile.guard_timing import HeldChange
from pyconfd.system.json_file import read_json, write_json

if TYPE_CHECKING:
    from pyconfd.pipeline.render.renderer import Renderer


class GuardState:
    """
    Asked by the lanes before a resource is rendered. A resource is on one lane at a time, so its
    entries need no lock, except for the number that `keep` adds.

    path: the file of the numbers; an unreadable one counts as empty. What is held is recorded
    beside it, for a release while no daemon runs. clock: monotonic seconds.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._counts = _read(path)
        self._good = {name: Baseline(count=count) for name, count in self._counts.items()}
        self._lock = threading.Lock()
        self._new: dict[str, Resource] = {}
        self._held: dict[str, HeldChange] = {}
        self._groups: dict[str, str] = {}
        self._notes = HeldNotes(path)
        self._released = self._notes.released()
        #: Whether a resource has its first good version, of which nothing is written down yet.
        self.unwritten = False

    @property
    def held(self) -> Mapping[str, str]:
        """Resource name -> why its newest change is held back."""
        return {name: held.objection.text for name, held in list(self._held.items())}

    def ask(
        self, resource: Resource, snapshot: Snapshot, renderer: Renderer, made: int = 0
    ) -> None:
        """
        Ask the guard of a resource. made: how many files a pattern has made.

        Raises HeldBack when a guard objects to a change that has not been released.
        """
        name = resource.name
        found = self._objection(resource, snapshot, renderer, made)
        if found is None or name in self._released:
            self._held.pop(name, None)
            return
        held = self._held[name] = guard_timing.objected(
            self._held.get(name), found, now_s := self._clock()
        )
        self._groups[name] = resource.group
        timeout_s = resource.guard.timeout_s
        if guard_timing.is_over(held, timeout_s, now_s):
            return
        error = HeldBack(
            found.text,
            where=name,
            kept="the last good file stays",
            hint=_hint(name, found),
        )
        error.guard = found.guard
        error.until_s = guard_timing.until_s(held, timeout_s)
        raise error

    def _objection(
        self, resource: Resource, snapshot: Snapshot, renderer: Renderer, made: int
    ) -> Objection | None:
        good = self._good.get(resource.name)
        if good and (resource.guard.min_keys or resource.guard.max_shrink < 1):
            good = self._counted(resource, good)
        found = objection(resource, good, snapshot) or all_gone(resource, made, snapshot)
        if found or good:
            return found
        loss = unknown_loss(resource, snapshot)
        return loss if loss and _replaces(renderer, resource, snapshot) else None

    def passed(self, resource: Resource, snapshot: Snapshot) -> None:
        """The version made from this snapshot is live, or was live already."""
        self.unwritten |= resource.name not in self._counts
        now = self._good.get(resource.name, Baseline()).followed_by(resource, snapshot)
        with self._lock:
            self._good[resource.name] = now
        self._new[resource.name] = resource
        self._released.discard(resource.name)
        self._held.pop(resource.name, None)

    def release(self, names: Iterable[str]) -> tuple[str, ...]:
        """
        Let the held changes of these resources through. Returns the names of those that were held.

        names: whole groups, so that a group is not held again by another member.
        """
        mates = tuple(names)
        held = tuple(name for name in mates if name in self._held)
        if held:
            self._released.update(mates)
        return held

    def keep(self) -> None:
        """Store the numbers that are new since the last call. Raises OSError."""
        self.unwritten = False
        fresh, self._new = self._new, {}
        counts = {
            name: self._counted(resource, self._good[name]).number(resource)
            for name, resource in fresh.items()
        }
        counts = {**self._counts, **counts}
        if counts != self._counts:
            write_json(self._path, counts)
            self._counts = counts
        self._notes.keep({name: self._groups[name] for name in list(self._held)}, self._released)

    def _counted(self, resource: Resource, good: Baseline) -> Baseline:
        """
        The keys with their number, which is kept: the next number follows from it and the
        difference.
        """
        counted = good.counted(resource)
        with self._lock:
            if self._good.get(resource.name) is good:
                self._good[resource.name] = counted
        return counted


class HeldNotes:
    """
    The changes held back when pyconfd last ended, and those that an operator has released since.

    path: of the file beside which this one is stored.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.join(os.path.dirname(path), "held.json")
        found = read_json(self._path)
        #: Name of a resource -> its group, "" for none, and whether it is released.
        self._notes: dict[str, list[Any]] = {
            name: note
            for name, note in (found.items() if isinstance(found, dict) else ())
            if isinstance(note, list) and len(note) == 2
        }

    def released(self) -> set[str]:
        """The names that the next run lets through."""
        return {name for name, note in self._notes.items() if note[1:] == [True]}

    def release(self, name: str) -> tuple[str, ...]:
        """
        Let the held changes of this resource, or of this group's members, through in the next run.
        Returns the names of those that are held. Raises OSError.
        """
        groups = {note[0] for each, note in self._notes.items() if each == name} - {""}
        found = [
            one
            for one, (group, *_) in self._notes.items()
            if name in (one, group) or group in groups
        ]
        if found:
            self._keep({**self._notes, **{one: [self._notes[one][0], True] for one in found}})
        return tuple(found)

    def keep(self, groups: Mapping[str, str], released: Collection[str]) -> None:
        """Store which changes are held, and which of them are released. Raises OSError."""
        self._keep({name: [group, name in released] for name, group in groups.items()})

    def _keep(self, notes: dict[str, list[Any]]) -> None:
        if notes != self._notes:
            write_json(self._path, notes)
            self._notes = notes


def _replaces(renderer: Renderer, resource: Resource, snapshot: Snapshot) -> bool:
    """Whether there is a live file whose content would change."""
    from pyconfd.pipeline import stage

    if resource.each:
        return False
    try:
        _, differs = stage.compare(renderer.render(resource, snapshot))
    except (RenderError, StageError):
        return False  # the pass meets it again and says so
    return "content" in differs


def _read(path: str) -> dict[str, int]:
    try:
        return {str(name): int(count) for name, count in (read_json(path) or {}).items()}
    except (ValueError, AttributeError, TypeError, OverflowError):
        return {}


def _hint(name: str, found: Objection) -> str:
    hint = f"pyconfd release {name}, if it is intended"
    if found.guard is GuardKind.ALLOW_EMPTY:
        hint += "; allow_empty = true lets it through every time"
    return hint
