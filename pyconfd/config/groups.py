"""
[group.NAME]: resources that belong together, and what they share.

A group is checked, swapped and reloaded as a whole. So when one member is faulty, the whole group
is left out: half a set may be worse than the old one. When the table of a group cannot be read,
all resources that may be its members are left out: alone, they would go live without its check.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from pyconfd.config.options import did_you_mean
from pyconfd.config.resource_table import SHARED_KEYS, Defaults, read_shared
from pyconfd.config.table import Table
from pyconfd.config.toml import TomlFile
from pyconfd.errors import ConfigError
from pyconfd.model.command_line import names_file
from pyconfd.model.resources import Origin, Resource

# Not compiled here: most runs need none of them.
_NAME = r"[a-zA-Z0-9_.-]+"
_HEADER = r"(?m)^\s*\[+\s*group\b"
_QUOTED = r"""["']([^"'\n]+)["']"""

# Fields that all members must have in common, and what a fault calls them.
_COMMON = {
    "service.name": ("services", "service"),
    "service_name": ("reload commands", "reload_cmd"),
    "nginx": ("checks", "check"),
    "service.confirm": ("values of confirm", "confirm"),
    "service.on_reload_failure": ("values of on_reload_failure", "on_reload_failure"),
}


class ResourceGroup:
    """
    One group.

    name: of its table.
    file: the name of its file, in the form of a resource name.
    table: its own keys.
    members: names of resources in the order of the swap.
    doubtful: the table could not be read; members are all resources that it may name.
    refused: the fault was noted with another group.
    """

    def __init__(
        self, name: str, file: str, table: Table, members: Sequence[str], *, doubtful: bool = False
    ) -> None:
        self.name = name
        self.file = file
        self.table = table
        self.members = members
        self.doubtful = doubtful
        self.refused = False

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with the group itself."""
        return not (self.doubtful or self.refused or self.table.faults)

    @property
    def place(self) -> Origin:
        """The place where it is declared."""
        return Origin(self.table.file, self.table.line())


class ResourceGroups:
    """
    All groups of conf.d. Add the tables of each file, then `bind` them to the resources found.
    """

    def __init__(self) -> None:
        self._groups: list[ResourceGroup] = []
        self._of: dict[str, ResourceGroup] = {}

    def faults(self, chosen: Iterable[str] | None = None) -> list[ConfigError]:
        """
        Everything that is wrong with the tables, in their order. chosen: only with the groups of
        these resources.
        """
        names = None if chosen is None else set(chosen)
        tables = [one.table for one in self._groups if names is None or names & {*one.members}]
        return [fault for table in dict.fromkeys(tables) for fault in table.faults]

    def add(self, file: TomlFile, name: str, settings: Defaults) -> None:
        """Read the [group.NAME] tables of the file that is called `name`."""
        for key, raw in file.data.items():
            if key == "group" and isinstance(raw, Mapping):
                self._add_all(file, name, raw, settings)
            elif key == "group":
                table = Table(file.path, {}, {"": file.line_of(key)})
                table.fault("", "group is not a table", "write [group.NAME]")
                self._groups.append(
                    ResourceGroup("", name, table, list(_listed(raw)), doubtful=True)
                )
            elif key != "template" and did_you_mean(key, ["group"]):
                table = Table(file.path, {}, {"": file.line_of(key)})
                self._groups.append(
                    ResourceGroup("", name, table, list(_listed(raw)), doubtful=True)
                )

    def add_broken(self, path: str, name: str) -> None:
        """A file that is not valid TOML: its quoted strings may be the members of a group."""
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError:
            return  # gone since it was read; its fault has been noted
        if re.search(_HEADER, text):
            quoted = list(dict.fromkeys(re.findall(_QUOTED, text)))
            self._groups.append(ResourceGroup("", name, Table(path, {}, {}), quoted, doubtful=True))

    def _add_all(
        self, file: TomlFile, path: str, groups: Mapping[str, object], settings: Defaults
    ) -> None:
        for name, values in groups.items():
            place = file.lines_of("group", name)
            if isinstance(values, Mapping):
                self._read(name, path, Table(file.path, values, place), settings)
                continue
            table = Table(file.path, {}, place)
            table.fault("", f"{name} stands in no group", f"write [group.NAME] above {name}")
            self._groups.append(
                ResourceGroup("", path, table, list(_listed(values)), doubtful=True)
            )

    def _read(self, name: str, file: str, table: Table, settings: Defaults) -> None:
        table.only(("resources", *SHARED_KEYS))
        members = table.texts("resources")
        doubtful = not members
        if doubtful:
            members = tuple(_listed(table.own))
            table.fault("", f"group {name} has no resources", 'write resources = ["...", "..."]')
        if not re.fullmatch(_NAME, name):
            table.fault("", f"a group cannot be called {name!r}", "use letters, digits, _ - .")
        read_shared(table, settings)
        for key in ("reload_cmd", "confirm_cmd"):
            if names_file(str(table.own.get(key, ""))):
                what = f"the {key} of a group cannot name a single file"
                table.fault(key, what, "it is run once for all of them")
        other = next((one for one in self._groups if one.name == name), None)
        if other:
            what = f"there is a group {name} already: {other.place}"
            table.fault("", what, "neither is done")
            other.refused = True
        self._groups.append(ResourceGroup(name, file, table, members, doubtful=doubtful))

    def bind(self, found: Iterable[tuple[str, str]]) -> None:
        """Find the members. found: name and file of all resources, faulty ones included."""
        known = dict(found)
        for group in self._groups:
            group.members = _without_files(group.members, known)
            for member in group.members:
                self._bind(member, group, known)
        for group in self._groups:
            if group.name in known and self._of.get(group.name) is not group:
                what = f"a resource outside of group {group.name} has the same name"
                group.table.fault("", what, "call the group something else")

    def _bind(self, member: str, group: ResourceGroup, known: Iterable[str]) -> None:
        other = self._of.get(member)
        if group.doubtful:
            if group.name and member in known:
                self._of.setdefault(member, group)
        elif member not in known:
            what = f"no resource is called {member}"
            group.table.fault("resources", what, did_you_mean(member, known))
        elif other is group:
            group.table.fault("resources", f"{member} is named twice")
        elif other is None:
            self._of[member] = group
        elif group.name != other.name:
            what = f"{member} is a member of group {other.name} already: {other.place}"
            group.table.fault("resources", what, "neither group is done")
            other.refused = True

    def of(self, name: str) -> ResourceGroup | None:
        """The group of a resource, None when it stands alone."""
        return self._of.get(name)

    def whole(self, names: Iterable[str]) -> set[str]:
        """These resources, and for each member its whole group."""
        chosen = set(names)
        for group in self._groups:
            if group.good and not chosen.isdisjoint(group.members):
                chosen.update(group.members)
        return chosen

    def declared_in(self, file: str) -> set[str]:
        """The members of the groups of a file."""
        return {name for group in self._groups if group.file == file for name in group.members}

    def incomplete(self, resources: Mapping[str, Resource]) -> set[str]:
        """
        Note faults between members. resources: the good ones by name. Returns the names of those
        that must be left out because their group is incomplete.
        """
        left = dict(resources)
        for group in sorted(self._groups, key=lambda one: not one.doubtful):
            there = [left[name] for name in group.members if name in left]
            if group.good:
                _check_members(group, there)
            if group.good:
                continue
            names = ", ".join(one.name for one in there)
            if names and group.doubtful:
                what = f"what this group holds is not clear, so none of these is done: {names}"
                group.table.fault("", what)
            for one in there:
                left.pop(one.name, None)
        return set(resources) - set(left)

    def ordered(self, resources: Sequence[Resource]) -> tuple[Resource, ...]:
        """
        The same resources, with the members of each group in its order, at the place of the first
        one.
        """
        by_name = {resource.name: resource for resource in resources}
        names: dict[str, None] = {}
        for name in by_name:
            if name not in names:
                group = self.of(name)
                names |= dict.fromkeys(group.members if group else (name,))
        return tuple(by_name[name] for name in names if name in by_name)


def _check_members(group: ResourceGroup, there: Sequence[Resource]) -> None:
    """Whether all members exist, and agree in the keys that concern the whole group."""
    if missing := {*group.members} - {one.name for one in there}:
        first = next(name for name in group.members if name in missing)
        group.table.fault(
            "resources", f"{first} is faulty, so nothing of group {group.name} is done"
        )
        return
    for field, (called, key) in _COMMON.items():
        value_of = attrgetter(field)
        if any(value_of(one) != value_of(there[0]) for one in there):
            what = f"the resources of group {group.name} have different {called}"
            group.table.fault("", what, f"write {key} once, in the group")


def _without_files(members: Iterable[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """`file.toml` stands for all resources of that file, as with --resource."""
    names: list[str] = []
    for member in members:
        file = member.removesuffix(".toml")
        within = [name for name in known if known[name] == file] if file != member else []
        names += within or [member]
    return tuple(names)


def _listed(raw: object) -> Iterator[str]:
    """Every string in every list, however deep: names that may be meant as members."""
    values = raw.values() if isinstance(raw, Mapping) else raw if isinstance(raw, list) else ()
    for value in values:
        if isinstance(value, str) and isinstance(raw, list):
            yield value
        else:
            yield from _listed(value)
