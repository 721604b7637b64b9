"""
Noticing that somebody else touched a live file: one stat against what was seen after our pass.

Cheap enough for a thousand files a minute, so that rendering is only done where something differs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pyconfd.model.resources import Resource

Signature = tuple[int, ...]


class Drift:
    """What each destination looked like when a pass last dealt with it. Any lane may call it."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Signature | None]] = {}  # declared name -> dest -> facts

    def saw(self, resource: Resource, path: str) -> None:
        """
        Note how the file at `path` looks: the live file before it is compared, or the staged one
        before it is swapped. After that would be too late: somebody could write in between.
        """
        self._seen.setdefault(resource.declared, {})[resource.dest] = _signature(path)

    def forget(self, resource: Resource) -> None:
        """There is no live file of ours to compare with any more."""
        self._seen.get(resource.declared, {}).pop(resource.dest, None)

    def touched(self, resources: Sequence[Resource]) -> tuple[Resource, ...]:
        """Those of which a live file is not as it was left; none that was never rendered well."""
        return tuple(resource for resource in resources if self._is_touched(resource))

    def _is_touched(self, resource: Resource) -> bool:
        seen = self._seen.get(resource.name, {})
        return any(signature != _signature(dest) for dest, signature in list(seen.items()))


def _signature(path: str) -> Signature | None:
    """Identity, size, time and rights of what stands at `path`; None when nothing does."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return (
        facts.st_dev,
        facts.st_ino,
        facts.st_size,
        facts.st_mtime_ns,
        facts.st_mode,
        facts.st_uid,
        facts.st_gid,
    )
