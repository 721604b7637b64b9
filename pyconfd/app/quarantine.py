"""
Quarantine: versions that were put live and that the service did not take, kept over restarts.

A version is what all members of a group hold, because they are put live and taken back together.
It is in quarantine until one of them comes out different, because a key or a template changed, or
until somebody lets it go.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pyconfd.errors import SwapError
from pyconfd.observe import log


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A version that was refused. versions: member -> digest of what it held, nothing for a file that
    was to go. refused: the members that were taken back. declared: the names of the resources.
    since_at: seconds since 1970, UTC. why: one line. revision: the store's, 0 where not known.
    """

    versions: Mapping[str, str]
    refused: tuple[str, ...]
    declared: tuple[str, ...]
    since_at: float
    why: str
    revision: int = 0

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
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held = _read(path) if path else {}

    def get(self, name: str) -> Refusal | None:
        """The version of this group that was refused."""
        return self._held.get(name)

    def by_member(self) -> Mapping[str, Refusal]:
        """Name of a resource that was taken back -> the version it was part of."""
        return {one: each for each in list(self._held.values()) for one in each.refused}

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
        """Put a version in quarantine, in place of an older one."""
        refusal = Refusal(
            dict(versions), tuple(refused), tuple(declared), time.time(), why, revision
        )
        with self._lock:
            self._write({**self._held, name: refusal})

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
                json.dump({name: asdict(each) for name, each in held.items()}, stream)
            os.replace(new, self._path)
        except OSError as error:
            log.warn(f"the quarantine cannot be written down: {error}")


def _read(path: str) -> dict[str, Refusal]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            found = json.load(stream)
        return {str(name): _refusal(fields) for name, fields in found.items()}
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return {}


def _refusal(fields: Mapping[str, Any]) -> Refusal:
    return Refusal(
        {str(name): str(digest) for name, digest in fields["versions"].items()},
        tuple(map(str, fields["refused"])),
        tuple(map(str, fields["declared"])),
        float(fields["since_at"]),
        str(fields["why"]),
        int(fields["revision"]),
    )
