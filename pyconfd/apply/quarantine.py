"""
The versions in quarantine, stored over restarts. Shell: reconcile/quarantine.py decides what
becomes of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pyconfd.observe import log
from pyconfd.reconcile import quarantine as decide
from pyconfd.reconcile.quarantine import Held, Refusal
from pyconfd.system.json_log import JsonLog


class Quarantine:
    """
    By name of the group, or of the resource that stands alone. Any lane may call it.

    path: the file that stores it; an unreadable one counts as empty, "" keeps it in memory only.
    clock: monotonic seconds.
    """

    def __init__(self, path: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = JsonLog(path) if path else None
        self._clock = clock
        self._lock = threading.Lock()
        self._held = Held(_read(self._log, clock()) if self._log else {})
        self._members = {one: it for it in self._held.refusals.values() for one in it.refused}

    def get(self, name: str) -> Refusal | None:
        """The refused version of this group."""
        return self._held.refusals.get(name)

    def by_member(self) -> Mapping[str, Refusal]:
        """Name of a resource that was rolled back -> the version it was part of; a live view."""
        return self._members

    def declared(self, name: str) -> tuple[str, ...]:
        """The resources of the version that this group, resource or member is held with."""
        held = self._held.refusals.items()
        found = (it.declared for key, it in held if name == key or name in it.names)
        return next(found, ())

    def hold(
        self,
        name: str,
        versions: Mapping[str, str],
        *,
        refused: Iterable[str],
        declared: Iterable[str],
        why: str,
        revision: int = 0,
    ) -> None:
        """Put a version in quarantine."""
        refusal = Refusal(
            dict(versions), tuple(refused), tuple(declared), time.time(), why, revision
        )
        with self._lock:
            self._keep(decide.refuse(self._held, name, refusal, self._clock()), [name])

    def is_due(self, name: str) -> bool:
        """Whether it is time to try the version of this group once more."""
        return decide.is_due(self._held, name, self._clock())

    def begin_trial(self, name: str) -> None:
        """The version of this group is about to be put live once more."""
        with self._lock:
            self._keep(decide.begin_trial(self._held, name), [name])

    def forget(self, name: str) -> None:
        """There is another version now."""
        with self._lock:
            if name in self._held.refusals:
                self._keep(decide.forget(self._held, name), [name])

    def release(self, declared: Collection[str]) -> tuple[str, ...]:
        """Forget the versions of these resources. Returns the names of those that had one."""
        with self._lock:
            known = {name for held in self._held.refusals.values() for name in held.declared}
            found = known.intersection(declared)
            if found:
                held = decide.release(self._held, frozenset(found))
                self._keep(held, self._held.refusals.keys() - held.refusals.keys())
        return tuple(name for name in declared if name in found)

    def keep(self, declared: Collection[str]) -> None:
        """Forget the versions of resources that are no longer declared."""
        gone = {name for held in self._held.refusals.values() for name in held.declared}
        self.release(gone - set(declared))

    def clear(self) -> None:
        """Everything may be tried again."""
        with self._lock:
            if self._held.refusals:
                self._keep(Held(on_trial=self._held.on_trial), self._held.refusals)

    def _keep(self, held: Held, names: Iterable[str]) -> None:
        """
        Use and store this state, in which the versions of these names differ from before. A version
        that cannot be stored is still held by this run.
        """
        before, self._held = self._held.refusals, held
        patches: list[Mapping[str, Any]] = []
        for name in names:
            if was := before.get(name):
                for one in was.refused:
                    self._members.pop(one, None)
                patches.append({name: None})
        for name in names:
            if now := held.refusals.get(name):
                self._members.update(dict.fromkeys(now.refused, now))
                patches.append({name: _fields(now)})
        try:
            if self._log and patches:
                self._log.change(patches, self._fields)
        except OSError as error:
            log.warn(f"the quarantine cannot be written down: {error}")

    def _fields(self) -> Mapping[str, Any]:
        return {name: _fields(it) for name, it in self._held.refusals.items()}


def _fields(refusal: Refusal) -> Mapping[str, Any]:
    """
    The fields that are stored; monotonic times are not, because another run has another clock.
    """
    return {name: value for name, value in asdict(refusal).items() if name != "trial_s"}


def _read(file: JsonLog, now_s: float) -> dict[str, Refusal]:
    try:
        found = (file.read() or {}).items()
        return {str(name): decide.restarted(_refusal(it), now_s) for name, it in found}
    except (AttributeError, TypeError, ValueError, KeyError):
        return {}


def _refusal(fields: Mapping[str, Any]) -> Refusal:
    return Refusal(
        {str(name): str(digest) for name, digest in fields["versions"].items()},
        tuple(map(str, fields["refused"])),
        tuple(map(str, fields["declared"])),
        float(fields["since_at"]),
        str(fields["why"]),
        int(fields["revision"]),
        int(fields.get("times", 1)),
    )
