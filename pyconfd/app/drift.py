"""
Noticing that somebody else touched a live file: one stat against what was seen after our pass.

Cheap enough for a thousand files a minute, so that rendering is only done where something differs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from pyconfd.model.resources import Resource
from pyconfd.model.steps import Outcome, Result

Signature = tuple[int, ...]


class Drift:
    """What each destination looked like when a pass last left it true. Any lane may call it."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Signature | None]] = {}  # declared name -> dest -> facts

    def remember(self, outcomes: Iterable[Outcome]) -> None:
        """Note the live files of the resources that came out well."""
        for outcome in outcomes:
            resource = outcome.resource
            seen = self._seen.setdefault(resource.declared, {})
            if outcome.result in (Result.UNCHANGED, Result.UPDATED):
                # (): removed by somebody since the swap, which no later look may find in order
                seen[resource.dest] = _signature(resource.dest) or ()
            elif outcome.result in (Result.REMOVED, Result.REVERTED):
                seen.pop(resource.dest, None)

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
