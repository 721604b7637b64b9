"""
Finds live files that another program has changed, by one stat that is compared with the last
pass.

Cheap enough for a thousand files a minute; only what differs is rendered.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyconfd.model.resources import Resource

Signature = tuple[int, ...]


class Drift:
    """How each destination looked when a pass last handled it. Any lane may call it."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, _Seen]] = {}  # declared name -> dest -> facts

    def saw(self, resource: Resource, path: str) -> None:
        """
        Note how the file at `path` looks: the live file before it is compared, or the staged file
        before it is swapped. Later would be too late: another program could write in between.
        """
        seen = _Seen(resource.dest, resource.item, _signature(path))
        self._seen.setdefault(resource.declared, {})[resource.dest] = seen

    def forget(self, resource: Resource) -> None:
        """There is no longer a live file to compare with."""
        self._seen.get(resource.declared, {}).pop(resource.dest, None)

    def touched(self, resources: Sequence[Resource]) -> Mapping[str, frozenset[str]]:
        """
        Name of each resource with a live file that is not as it was left -> the names of a pattern
        whose files these are; none for other resources. Files that were never rendered
        successfully are left out.
        """
        found: dict[str, frozenset[str]] = {}
        for resource in resources:
            seen = list(self._seen.get(resource.name, {}).values())
            items = [each.item for each in seen if each.signature != _signature(each.dest)]
            if items:
                found[resource.name] = frozenset(filter(None, items))
        return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """dest, item: of the resource. signature: of the file there."""

    dest: str
    item: str
    signature: Signature | None


def _signature(path: str) -> Signature | None:
    """Identity, size, time and rights of the file at `path`; None when there is none."""
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
