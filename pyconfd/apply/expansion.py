"""
One resource with many files: one for each name below a key path, removed with the name.

Names come from the store and are not trusted in paths.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator

from pyconfd.errors import TemplateFault
from pyconfd.model.keys import join_paths
from pyconfd.model.resources import Resource
from pyconfd.model.values import dataclass
from pyconfd.pipeline.store import Snapshot

#: Another resource with the destination of this one, as apply/ownership.py knows.
Other = Callable[[Resource, Snapshot], Resource | None]

#: Means itself to every shell, file system, systemd unit and crontab.
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]*", re.ASCII)
_LONGEST_NAME_BYTES = 200  # of 255: a staged file's name is longer than its destination's


@dataclass(frozen=True, slots=True)
class Expanded:
    """
    resources: one for each valid name, sorted.
    faults: one for each refused name.
    """

    resources: tuple[Resource, ...]
    faults: tuple[tuple[Resource, TemplateFault], ...] = ()

    @property
    def names(self) -> Iterator[str]:
        """All names, valid or not."""
        yield from (one.item for one in self.resources)
        yield from (one.item for one, _ in self.faults)


def no_other(_: Resource, __: Snapshot) -> None:
    """The default of `other`: no other resource is known."""


def expand(
    resource: Resource,
    snapshot: Snapshot,
    other: Other = no_other,
    of: Iterable[str] | None = None,
) -> Expanded:
    """
    The resources of this pattern at this snapshot. other: finds another resource with the
    destination of one of them. of: only these names, if they exist.
    """
    good: list[Resource] = []
    faults: list[tuple[Resource, TemplateFault]] = []
    folder = join_paths(resource.prefix, resource.each)
    for name in snapshot.children(folder) if of is None else _existing(of, folder, snapshot):
        one = resource.for_item(name)
        why = unfit(name) or ("" if resource.each_names == "any" else unsafe(name))
        if why:
            fault = TemplateFault(
                f"the name of key {join_paths(folder, name)!r} {why}, so it makes no file",
                resource=resource.name,
                template=resource.src,
                hint=_hint(name),
            )
            faults.append((one, fault))
        elif owner := other(one, snapshot):
            faults.append((one, _taken(one, owner)))
        else:
            good.append(one)
    return Expanded(tuple(good), tuple(faults))


def _existing(names: Iterable[str], folder: str, snapshot: Snapshot) -> list[str]:
    return [name for name in sorted(names) if snapshot.find(join_paths(folder, name)) is not None]


def _taken(one: Resource, owner: Resource) -> TemplateFault:
    """
    The fault of a name whose file another resource has. Either could be right; the resource that is
    declared for this one file keeps it.
    """
    return TemplateFault(
        f"{one.dest} is also the file of {owner.name} ({owner.origin})",
        resource=one.name,
        template=one.src,
        hint="rename the key, or change one dest",
    )


def made_from(resource: Resource, dest: str) -> Resource | None:
    """
    The resource of this destination, as declared or for one name; None if it does not make it.
    """
    if not resource.each:
        return resource if resource.dest == dest else None
    pattern = re.escape(resource.dest).replace(re.escape("{name}"), "([^/]+)")
    found = re.fullmatch(pattern, dest)
    one = resource.for_item(found[1]) if found else None
    return one if one and one.dest == dest else None


def too_many(resource: Resource, snapshot: Snapshot) -> TemplateFault | None:
    """
    The fault of a pattern with more names than `each_limit`; the whole pattern is left out then.
    """
    folder = join_paths(resource.prefix, resource.each)
    count = len(snapshot.children(folder)) if resource.each else 0
    if count <= resource.each_limit:
        return None
    return TemplateFault(
        f"there are {count} names below {folder!r}, more than each_limit = {resource.each_limit}",
        resource=resource.name,
        template=resource.src,
        hint="remove keys, or raise each_limit",
    )


def _hint(name: str) -> str:
    return "rename the key" if unfit(name) else 'rename the key, or write each_names = "any"'


def unsafe(name: str) -> str:
    """Why a name that can be part of a path is not accepted by default; "" when it is."""
    return "" if _SAFE.fullmatch(name) else "has other characters than A-Z a-z 0-9 _ . + @ -"


def unfit(name: str) -> str:
    """Why a name from the store cannot be part of a path; "" when it can."""
    if name.startswith("."):
        return "begins with a dot"
    if "/" in name or "\0" in name or not name.isprintable():
        return "holds a character that no file name should"
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        return "is too long for a file name"
    return ""
