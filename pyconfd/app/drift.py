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
        self._seen: dict[str, Signature | None] = {}

    def remember(self, outcomes: Iterable[Outcome]) -> None:
        """Note the live files of the resources that came out well."""
        for outcome in outcomes:
            if outcome.result in (Result.UNCHANGED, Result.UPDATED):
                self._seen[outcome.resource.name] = _signature(outcome.resource.dest)

    def touched(self, resources: Sequence[Resource]) -> tuple[Resource, ...]:
        """Those whose live file is not as it was left; none that was never rendered well."""
        return tuple(
            resource
            for resource in resources
            if resource.name in self._seen
            and self._seen[resource.name] != _signature(resource.dest)
        )


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
