"""
Which files were made by a resource with `each`. Shell.

It is written down in the state folder before they are swapped in, so that a file is removed even if
its name went away while pyconfd was not running.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping

from pyconfd.model.resources import Resource
from pyconfd.system.json_file import read_json, write_json


class MadeFiles:
    """The names each pattern has files for. Any lane may call it; kept in the file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._names = _read(path)
        self._lock = threading.Lock()

    def known(self, resource: Resource) -> tuple[Resource, ...]:
        """The resource, or for a pattern one for each name that has or had a file."""
        if not resource.each:
            return (resource,)
        return tuple(resource.for_item(name) for name in self._names.get(resource.name, ()))

    def count(self, resource: Resource) -> int:
        """How many files there are for names of a pattern."""
        return len(self._names.get(resource.name, ()))

    def services(self, resources: Iterable[Resource]) -> Mapping[str, str]:
        """Destination -> the service that is reloaded for it, where there is one."""
        return {
            one.dest: resource.service_name
            for resource in resources
            if resource.reload
            for one in self.known(resource)
        }

    def gone(self, resource: Resource, now: Iterable[Resource]) -> tuple[Resource, ...]:
        """What was made for names that are no more and still stands there."""
        wanted = {one.dest for one in now}
        before = (resource.for_item(name) for name in self._names.get(resource.name, ()))
        return tuple(one for one in before if one.dest not in wanted and os.path.lexists(one.dest))

    def will_make(self, resource: Resource, new: Iterable[Resource]) -> None:
        """Write down that files for these names may exist from now on. Raises OSError."""
        known = set(self._names.get(resource.name, ()))
        self._write(resource.name, known.union(one.item for one in new))

    def has_made(self, resource: Resource, all_of_them: Iterable[Resource]) -> None:
        """Write down that there are files for these names and no others. Raises OSError."""
        self._write(resource.name, {one.item for one in all_of_them})

    def _write(self, name: str, items: set[str]) -> None:
        with self._lock:
            if items == set(self._names.get(name, ())):
                return
            self._names[name] = sorted(items)
            write_json(self._path, self._names)


def _read(path: str) -> dict[str, list[str]]:
    try:
        found = (read_json(path) or {}).items()
        return {str(name): [str(item) for item in items] for name, items in found}
    except (AttributeError, TypeError):
        return {}
