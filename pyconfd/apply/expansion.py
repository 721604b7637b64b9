"""
One resource, many files: one for each name below a key path, gone when the name is gone.

Names come from the store and are not trusted in paths. Which files were made is written down in
the state folder before they are swapped in, so that a file is removed even if its name went away
while pyconfd was not running.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pyconfd.errors import TemplateFault
from pyconfd.model.keys import join_paths
from pyconfd.model.resources import Resource
from pyconfd.pipeline.store import Snapshot

#: Another resource with the destination of this one, as apply/ownership.py knows.
Other = Callable[[Resource, Snapshot], Resource | None]

_LONGEST_NAME_BYTES = 200  # of 255: a staged file's name is longer than its destination's


@dataclass(frozen=True, slots=True)
class Expanded:
    """resources: one for each good name, sorted. faults: one for each name that is refused."""

    resources: tuple[Resource, ...]
    faults: tuple[tuple[Resource, TemplateFault], ...] = ()


def nobody(_: Resource, __: Snapshot) -> None:
    """Who else has the destination of a resource, when nobody else is known."""


def expand(resource: Resource, snapshot: Snapshot, other: Other = nobody) -> Expanded:
    """
    The resources that this pattern stands for at this snapshot. other: who else has the
    destination of one of them.
    """
    good: list[Resource] = []
    faults: list[tuple[Resource, TemplateFault]] = []
    folder = join_paths(resource.prefix, resource.each)
    for name in snapshot.children(folder):
        one = resource.for_item(name)
        why = unfit(name)
        if why:
            fault = TemplateFault(
                f"the name of key {join_paths(folder, name)!r} {why}, so it makes no file",
                resource=resource.name,
                template=resource.src,
                hint="rename the key",
            )
            faults.append((one, fault))
        elif owner := other(one, snapshot):
            faults.append((one, _taken(one, owner)))
        else:
            good.append(one)
    return Expanded(tuple(good), tuple(faults))


def _taken(one: Resource, owner: Resource) -> TemplateFault:
    """Nobody can say which of the two is right; what is written for one name gives way."""
    return TemplateFault(
        f"{one.dest} is also the file of {owner.name} ({owner.origin})",
        resource=one.name,
        template=one.src,
        hint="rename the key, or change one dest",
    )


def made_from(resource: Resource, dest: str) -> Resource | None:
    """The resource of this destination, as declared or of one name; None when it is not its."""
    if not resource.each:
        return resource if resource.dest == dest else None
    pattern = re.escape(resource.dest).replace(re.escape("{name}"), "([^/]+)")
    found = re.fullmatch(pattern, dest)
    one = resource.for_item(found[1]) if found else None
    return one if one and one.dest == dest else None


def unfit(name: str) -> str:
    """Why a name from the store must not become part of a path; "" when it may."""
    if name.startswith("."):
        return "begins with a dot"
    if "/" in name or "\0" in name or not name.isprintable():
        return "holds a character that no file name should"
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        return "is too long for a file name"
    return ""


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
        """Destination -> the service that is told of it; without those that nobody is told of."""
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
            new = f"{self._path}.new"
            with open(new, "w", encoding="utf-8", errors="surrogateescape") as stream:
                json.dump(self._names, stream)
            os.replace(new, self._path)


def _read(path: str) -> dict[str, list[str]]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            found = json.load(stream)
        return {str(name): [str(item) for item in items] for name, items in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
