"""
Which files were made by a resource with `each`. Shell.

It is written down in the state folder before they are swapped in, so that a file is removed even if
its name went away while pyconfd was not running. A file that is not in this list was made by
somebody else: names of keys must not choose it, so it is neither replaced nor removed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from pyconfd.apply.expansion import unfit
from pyconfd.errors import StageError
from pyconfd.model.keys import join_paths
from pyconfd.model.resources import Resource
from pyconfd.model.steps import Rendered
from pyconfd.system.json_file import read_json, write_json

#: Pattern -> name -> destination, "" in a list of a version that did not write it down.
Made = dict[str, dict[str, str]]


class MadeFiles:
    """The names each pattern has files for. Any lane may call it; kept in the file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._made = _read(path)
        self._lock = threading.Lock()

    def known(self, resource: Resource) -> tuple[Resource, ...]:
        """The resource, or for a pattern one for each name that has or had a file."""
        if not resource.each:
            return (resource,)
        return tuple(resource.for_item(name) for name in sorted(self._made.get(resource.name, ())))

    def count(self, resource: Resource) -> int:
        """How many files there are for names of a pattern."""
        return len(self._made.get(resource.name, ()))

    def services(self, resources: Iterable[Resource]) -> Mapping[str, str]:
        """Destination -> the service that is reloaded for it, where there is one."""
        return {
            one.dest: resource.service_name
            for resource in resources
            if resource.reload
            for one in self.known(resource)
        }

    def has(self, one: Resource) -> bool:
        """Whether the file of this name was made by its pattern."""
        return self._made.get(one.declared, {}).get(one.item) in (one.dest, "")

    def gone(self, resource: Resource, now: Iterable[Resource]) -> tuple[Resource, ...]:
        """What was made for names that are no more and still stands there."""
        wanted = {one.item for one in now}
        return self.gone_of(resource, self._made.get(resource.name, {}).keys() - wanted)

    def gone_of(self, resource: Resource, names: Iterable[str]) -> tuple[Resource, ...]:
        """What was made for these names, which are no more, and still stands there."""
        before = map(resource.for_item, sorted(names))
        return tuple(one for one in before if self.has(one) and os.path.lexists(one.dest))

    def refuse(self, rendered: Rendered, differs: Collection[str]) -> StageError | None:
        """
        Why this file must not be put live: there is another's. None where that is not so. One of
        the same content is taken for ours: that is how a lost list comes back.
        """
        one = rendered.resource
        there = "content" in differs or ("missing" in differs and os.path.islink(one.dest))
        if not one.item or one.adopt or not there or self.has(one):
            return None
        key = join_paths(one.prefix, one.each, one.item)
        return StageError(
            f"the file was not made by pyconfd; {one.declared} would replace it for the key {key}",
            where=one.dest,
            kept="the live file is unchanged",
            hint=f"rename the key, change dest of {one.declared}, or write adopt = true there",
        )

    def will_make(self, new: Iterable[Resource]) -> None:
        """Write down that there are files for these names, or will be. Raises OSError."""
        items: Made = {}
        for one in new:
            items.setdefault(one.declared, {})[one.item] = one.dest
        self._write(add=items)

    def has_made(
        self, resource: Resource, live: Iterable[Resource], of: Collection[str] | None = None
    ) -> None:
        """
        Write down that there are files for these names and no others, or no others of `of`.
        Raises OSError.
        """
        names = {one.item: one.dest for one in live}
        known = self._made.get(resource.name, {})
        gone = (known if of is None else set(of)) - names.keys()
        self._write(add={resource.name: names}, drop={resource.name: gone})

    def has_removed(self, resource: Resource, items: Collection[str]) -> None:
        """Write down that files of these names are gone: the next ones there are not ours."""
        self._write(drop={resource.name: items})

    def _write(
        self,
        *,
        add: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        drop: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        with self._lock:
            made = dict(self._made)
            for name in {**add, **drop}:
                known, new, old = made.get(name, {}), add.get(name, {}), drop.get(name, ())
                if new.items() <= known.items() and known.keys().isdisjoint(old):
                    continue
                made[name] = {**known, **new}
                for item in old:
                    made[name].pop(item, None)
            if any(made[name] is not self._made.get(name) for name in made):
                self._made = made
                write_json(self._path, made)


def _read(path: str) -> Made:
    found = read_json(path)
    if not isinstance(found, dict):
        return {}
    made: Made = {}
    for name, items in found.items():
        if isinstance(items, list):
            items = dict.fromkeys(map(str, items), "")
        if isinstance(items, dict):
            made[name] = {
                item: dest
                for item, dest in items.items()
                if isinstance(dest, str) and not unfit(item)
            }
    return made
