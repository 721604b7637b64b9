"""
Which files were made by a resource with `each`. Shell.

It is written down in the state folder before they are swapped in, so that a file is removed even if
its name went away while pyconfd was not running.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Mapping

from pyconfd.model.resources import Resource
from pyconfd.system.json_file import read_json, write_json


class MadeFiles:
    """The names each pattern has files for. Any lane may call it; kept in the file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._names = {name: set(items) for name, items in _read(path).items()}
        self._lock = threading.Lock()

    def known(self, resource: Resource) -> tuple[Resource, ...]:
        """The resource, or for a pattern one for each name that has or had a file."""
        if not resource.each:
            return (resource,)
        return tuple(resource.for_item(name) for name in sorted(self._names.get(resource.name, ())))

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
        wanted = {one.item for one in now}
        return self.gone_of(resource, self._names.get(resource.name, set()) - wanted)

    def gone_of(self, resource: Resource, names: Iterable[str]) -> tuple[Resource, ...]:
        """What was made for these names, which are no more, and still stands there."""
        made = self._names.get(resource.name, set())
        before = (resource.for_item(name) for name in sorted(names) if name in made)
        return tuple(one for one in before if os.path.lexists(one.dest))

    def will_make(self, resource: Resource, new: Iterable[Resource]) -> None:
        """Write down that files for these names may exist from now on. Raises OSError."""
        self._write(resource.name, add={one.item for one in new})

    def has_made(
        self, resource: Resource, live: Iterable[Resource], of: Collection[str] | None = None
    ) -> None:
        """
        Write down that there are files for these names and no others, or no others of `of`.
        Raises OSError.
        """
        names = {one.item for one in live}
        known = self._names.get(resource.name, set())
        self._write(resource.name, add=names, drop=(known if of is None else set(of)) - names)

    def _write(self, name: str, *, add: set[str], drop: Collection[str] = ()) -> None:
        with self._lock:
            known = self._names.setdefault(name, set())
            if add <= known and known.isdisjoint(drop):
                return
            self._names[name] = (known | add).difference(drop)
            write_json(self._path, {key: sorted(items) for key, items in self._names.items()})


def _read(path: str) -> dict[str, list[str]]:
    try:
        found = (read_json(path) or {}).items()
        return {str(name): [str(item) for item in items] for name, items in found}
    except (AttributeError, TypeError):
        return {}
