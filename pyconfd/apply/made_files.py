"""
Which files were made by a resource with `each`. Shell.

The list is stored in the state folder before the files are swapped in, so that a file is removed
even if its name disappears while pyconfd does not run. pyconfd did not make a file that is not
in this list: names of keys must not choose it, so it is neither replaced nor removed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pyconfd.apply.expansion import unfit
from pyconfd.errors import StageError
from pyconfd.model.keys import join_paths
from pyconfd.model.resources import Resource
from pyconfd.model.steps import Rendered
from pyconfd.system.json_log import JsonLog

#: Pattern -> name -> destination, "" in a list of a version that did not write it down.
Made = dict[str, dict[str, str]]
#: Pattern -> name -> its destination, None where it is no more: what has changed.
Patch = dict[str, dict[str, str | None]]


class MadeFiles:
    """
    The names for which each pattern has files, and those that it has tried, whose staged files may
    be left. Any lane may call it; stored in the file at `path`.
    """

    def __init__(self, path: str) -> None:
        self._log = JsonLog(path)
        self._made, self._tried = _read(self._log)
        self._lock = threading.Lock()

    def known(self, resource: Resource) -> tuple[Resource, ...]:
        """The resource; for a pattern, one for each name that has, had or was to have a file."""
        if not resource.each:
            return (resource,)
        with self._lock:
            names = {**self._made.get(resource.name, {}), **self._tried.get(resource.name, {})}
        return tuple(resource.for_item(name) for name in sorted(names))

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
        """The files of names that no longer exist, if the files do."""
        wanted = {one.item for one in now}
        with self._lock:
            gone = self._made.get(resource.name, {}).keys() - wanted
        return self.gone_of(resource, gone)

    def gone_of(self, resource: Resource, names: Iterable[str]) -> tuple[Resource, ...]:
        """The files of these names, which no longer exist, if the files do."""
        before = map(resource.for_item, sorted(names))
        return tuple(one for one in before if self.has(one) and os.path.lexists(one.dest))

    def refuse(self, rendered: Rendered, differs: Collection[str]) -> StageError | None:
        """
        Why this file must not be put live: there is one that pyconfd did not make. None if there is
        not. A file with the same content counts as made by pyconfd, which restores a lost list.
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

    def will_try(
        self, resource: Resource, new: Iterable[Resource], of: Collection[str] | None = None
    ) -> None:
        """
        Store that exactly these names (of `of`, if given) may get staged files. Raises OSError.
        """
        made = self._made.get(resource.name, {})
        names = {one.item: one.dest for one in new if one.item not in made}
        with self._lock:
            tried = self._tried.get(resource.name, {})
            gone = (tried.keys() if of is None else set(of)) - names.keys()
            self._write({"tried": _change(self._tried, resource.name, names, gone)})

    def will_make(self, new: Iterable[Resource]) -> None:
        """Store that there are files for these names, or will be. Raises OSError."""
        items: Made = {}
        for one in new:
            items.setdefault(one.declared, {})[one.item] = one.dest
        with self._lock:
            made: Patch = {}
            for name, names in items.items():
                made.update(_change(self._made, name, names, ()))
            self._write({"made": made})

    def has_made(
        self, resource: Resource, live: Iterable[Resource], of: Collection[str] | None = None
    ) -> None:
        """
        Store that exactly these names (of `of`, if given) have files. Raises OSError.
        """
        names = {one.item: one.dest for one in live}
        with self._lock:
            known = self._made.get(resource.name, {})
            gone = (known.keys() if of is None else set(of)) - names.keys()
            self._write({"made": _change(self._made, resource.name, names, gone)})

    def has_removed(self, declared: str, items: Collection[str]) -> None:
        """
        Store that the files of these names are gone: pyconfd did not make the next ones there.
        """
        with self._lock:
            self._write({"made": _change(self._made, declared, {}, items)})

    def _write(self, patch: Mapping[str, Patch]) -> None:
        """Store what has changed, if anything has."""
        if any(patch.values()):
            self._log.change([patch], lambda: {"made": self._made, "tried": self._tried})


def _change(all_: Made, name: str, new: Mapping[str, str], gone: Collection[str]) -> Patch:
    """Add these names of a pattern and remove those. Returns what has changed."""
    known = all_.setdefault(name, {})
    patch: dict[str, str | None] = {
        item: dest for item, dest in new.items() if known.get(item) != dest
    }
    for item in gone:
        if known.pop(item, None) is not None:
            patch[item] = None
    known.update(new)
    return {name: patch} if patch else {}


def _read(log: JsonLog) -> tuple[Made, Made]:
    found = log.read()
    if not isinstance(found, dict):
        return {}, {}
    if any(isinstance(items, list) for items in found.values()):  # of a version before `adopt`
        log.rewrite()
        lists = {name: items for name, items in found.items() if isinstance(items, list)}
        return _clean({name: dict.fromkeys(map(str, lists[name]), "") for name in lists}), {}
    return _clean(found.get("made")), _clean(found.get("tried"))


def _clean(found: Any) -> Made:
    """The stored entries, without those that no version would have written."""
    if not isinstance(found, dict):
        return {}
    return {
        name: {i: d for i, d in items.items() if isinstance(d, str) and not unfit(i)}
        for name, items in found.items()
        if isinstance(items, dict)
    }
