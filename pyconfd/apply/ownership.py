"""
Ownership: which declared resource a destination belongs to, when a pattern makes the same file.

Two resources with one fixed destination are refused when conf.d is read. The destinations of a
pattern depend on names in the store, so conflicts with others are only known here. Without this
check two resources would write one file alternately, with a reload each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from pyconfd.apply.expansion import made_from
from pyconfd.model.keys import join_paths
from pyconfd.model.resources import Resource
from pyconfd.pipeline.store import Snapshot


class Ownership:
    """All declared resources by destination, links followed. Any lane may ask."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self.adopt(resources)

    def adopt(self, resources: Iterable[Resource]) -> None:
        """Replace the declared resources by these."""
        self.declared = tuple(resources)
        self._declared = _Declared(self.declared)

    def other(self, one: Resource, snapshot: Snapshot) -> Resource | None:
        """
        Another resource that has the same destination as `one` at this snapshot. one: made by a
        pattern for a name.
        """
        return self._declared.other(one, snapshot)


class _Declared:
    """The resources of one configuration, by destination with links followed."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._folders: dict[str, str] = {}
        self._patterns: list[tuple[str, str, Resource]] = []
        fixed: list[Resource] = []
        for one in resources:
            if one.each:
                made_in = replace(one, dest=self._real(one.dest))
                head, *_, tail = made_in.dest.split("{name}")
                self._patterns.append((head, tail, made_in))
            else:
                fixed.append(one)
        # Only patterns ask: without one no link has to be followed.
        self._fixed = {self._real(one.dest): one for one in fixed} if self._patterns else {}

    def other(self, one: Resource, snapshot: Snapshot) -> Resource | None:
        """As `Ownership.other`."""
        if not self._fixed and all(each.name == one.declared for *_, each in self._patterns):
            return None
        dest = self._real(one.dest)
        return self._fixed.get(dest) or self._made(dest, one.declared, snapshot)

    def _made(self, dest: str, but_by: str, snapshot: Snapshot) -> Resource | None:
        for head, tail, pattern in self._patterns:
            if pattern.name != but_by and dest.startswith(head) and dest.endswith(tail):
                made = made_from(pattern, dest)
                if made and snapshot.find(join_paths(pattern.prefix, pattern.each, made.item)):
                    return made
        return None

    def _real(self, dest: str) -> str:
        folder, name = os.path.split(dest)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        path = os.path.join(self._folders[folder], name)
        return os.path.realpath(path) if os.path.islink(path) else path
