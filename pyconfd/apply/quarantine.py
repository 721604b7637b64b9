"""
Quarantine: versions that were put live and that the service did not take, kept over restarts.

A version is what all members of a group hold, because they are put live and taken back together.
It is in quarantine until one of them comes out different, because a key or a template changed, or
until somebody lets it go. The cause may also have been elsewhere, and have passed: a port that
another process held, a service that was busy. So a version gets a trial from time to time, less and
less often, because each is a reload with what may be wrong.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pyconfd.errors import SwapError
from pyconfd.observe import log

#: How long a version waits for its trial after the first refusal, how many times as long after
#: each further one, and at most: five trials in the first six hours, then one a day.
FIRST_WAIT_S, WAIT_FACTOR, LONGEST_WAIT_S = 60.0, 4.0, 86400.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A version that was refused. versions: member -> digest of what it held, nothing for a file that
    was to go. refused: the members that were taken back. declared: the names of the resources.
    since_at: of the first refusal, seconds since 1970, UTC. why: one line, of the last. revision:
    the store's, 0 where not known. times: how often it was refused. trial_s: when it may be tried
    again, monotonic seconds of this run; after a restart the wait begins anew.
    """

    versions: Mapping[str, str]
    refused: tuple[str, ...]
    declared: tuple[str, ...]
    since_at: float
    why: str
    revision: int = 0
    times: int = 1
    trial_s: float = 0.0

    def error(self, name: str) -> SwapError:
        """Why it is not put live again. name: as `pyconfd release` takes it."""
        return SwapError(
            f"this very version was put live before, and the service did not take it: {self.why}",
            where=name,
            kept="the version before it is live",
            hint=f"change the key or the template, or: pyconfd release {name}",
        )


class Quarantine:
    """
    By name of the group, or of the resource that stands alone. Any lane may call it.

    path: the file that keeps it; one that cannot be read counts as empty, "" keeps it in memory.
    clock: monotonic seconds.
    """

    def __init__(self, path: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._held = _read(path, clock()) if path else {}
        self._on_trial: dict[str, Refusal] = {}

    def get(self, name: str) -> Refusal | None:
        """The version of this group that was refused."""
        return self._held.get(name)

    def by_member(self) -> Mapping[str, Refusal]:
        """Name of a resource that was taken back -> the version it was part of."""
        return {one: each for each in list(self._held.values()) for one in each.refused}

    def declared(self, name: str) -> tuple[str, ...]:
        """The resources of the version that this group, resource or member is held with."""
        held = self._held.items()
        found = (it.declared for key, it in held if name in (key, *it.refused, *it.declared))
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
        """Put a version in quarantine, in place of an older one, or again after its trial."""
        with self._lock:
            before = self._on_trial.pop(name, None)
            if before and before.versions != versions:
                before = None
            times = before.times + 1 if before else 1
            refusal = Refusal(
                dict(versions),
                tuple(refused),
                tuple(declared),
                before.since_at if before else time.time(),
                why,
                revision,
                times,
                self._clock() + _wait_s(times),
            )
            self._write({**self._held, name: refusal})

    def admits(self, name: str) -> bool:
        """
        Whether it is time to try the version of this group once more; then it is on trial, and no
        longer held. What becomes of it is told by `hold` or not at all.
        """
        with self._lock:
            held = self._held.get(name)
            if held is None or self._clock() < held.trial_s:
                return False
            self._on_trial[name] = held
            self._write({each: one for each, one in self._held.items() if each != name})
            return True

    def forget(self, name: str) -> None:
        """There is another version now, so that one may be tried when it comes again."""
        with self._lock:
            if name in self._held:
                self._write({each: held for each, held in self._held.items() if each != name})

    def release(self, declared: Collection[str]) -> tuple[str, ...]:
        """Let go what these resources have there. Returns the names of those that had something."""
        with self._lock:
            known = {name for held in self._held.values() for name in held.declared}
            found = known.intersection(declared)
            if found:
                free = found.isdisjoint
                self._write({name: it for name, it in self._held.items() if free(it.declared)})
        return tuple(name for name in declared if name in found)

    def keep(self, declared: Collection[str]) -> None:
        """Forget what belongs to resources that are no longer declared."""
        gone = {name for held in self._held.values() for name in held.declared} - set(declared)
        self.release(gone)

    def clear(self) -> None:
        """Everything may be tried again."""
        with self._lock:
            if self._held:
                self._write({})

    def _write(self, held: dict[str, Refusal]) -> None:
        """A version that cannot be written down is held by this run all the same."""
        self._held = held
        if not self._path:
            return
        new = f"{self._path}.new"
        try:
            with open(new, "w", encoding="utf-8", errors="surrogateescape") as stream:
                json.dump({name: _fields(each) for name, each in held.items()}, stream)
            os.replace(new, self._path)
        except OSError as error:
            log.warn(f"the quarantine cannot be written down: {error}")


def _wait_s(times: int) -> float:
    """From the last refusal to the next trial."""
    return float(min(FIRST_WAIT_S * WAIT_FACTOR ** (min(times, 16) - 1), LONGEST_WAIT_S))


def _fields(refusal: Refusal) -> Mapping[str, Any]:
    """What is worth keeping; another run has another clock."""
    return {name: value for name, value in asdict(refusal).items() if name != "trial_s"}


def _read(path: str, now_s: float) -> dict[str, Refusal]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            found = json.load(stream)
        return {str(name): _refusal(fields, now_s) for name, fields in found.items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return {}


def _refusal(fields: Mapping[str, Any], now_s: float) -> Refusal:
    times = int(fields.get("times", 1))
    return Refusal(
        {str(name): str(digest) for name, digest in fields["versions"].items()},
        tuple(map(str, fields["refused"])),
        tuple(map(str, fields["declared"])),
        float(fields["since_at"]),
        str(fields["why"]),
        int(fields["revision"]),
        times,
        now_s + _wait_s(times),
    )
