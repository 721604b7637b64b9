"""
[group.NAME]: resources that belong together, and what they share.

A group is judged, swapped and reloaded as a whole. So when one of its members is faulty, none of
them is done: half a set may be worse than the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyconfd.config.options import did_you_mean
from pyconfd.config.resource_table import SHARED_KEYS, Defaults, read_shared
from pyconfd.config.table import Table
from pyconfd.config.toml import TomlFile
from pyconfd.errors import ConfigError
from pyconfd.model.resources import Origin, Resource


class Group:
    """One group. members: names of resources in the order of the swap. table: its own words."""

    def __init__(self, name: str, table: Table, members: tuple[str, ...]) -> None:
        self.name = name
        self.table = table
        self.members = members

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with the table itself."""
        return not self.table.faults


class Groups:
    """All groups of conf.d. Add the files' tables, then `bind` them to the names there are."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._of: dict[str, Group] = {}
        self._tables: list[Table] = []

    def faults(self, names: Iterable[str] | None = None) -> list[ConfigError]:
        """
        Everything that is wrong with the tables, in their order. names: only with the groups of
        these resources.
        """
        tables = self._tables
        if names is not None:
            tables = [self._of[name].table for name in names if name in self._of]
        return [fault for table in dict.fromkeys(tables) for fault in table.faults]

    def add(self, file: TomlFile, settings: Defaults) -> None:
        """Read the [group.NAME] tables of a file."""
        lines = file.lines()
        raw = file.data.get("group", {})
        if not isinstance(raw, Mapping):
            table = Table(file.path, {}, {"": lines[("", 0)].get("group", 0)})
            table.fault("", "group is not a table", "write [group.NAME]")
            self._tables.append(table)
            return
        for name, values in raw.items():
            place = lines.get((f"group.{name}", 0)) or lines.get((f'group."{name}"', 0), {})
            given = values if isinstance(values, Mapping) else {}
            self._read(name, Table(file.path, given, place), settings)

    def _read(self, name: str, table: Table, settings: Defaults) -> None:
        self._tables.append(table)
        table.only(("resources", *SHARED_KEYS))
        members = table.texts("resources")
        if not members:
            table.fault("", f"group {name} has no resources", 'write resources = ["...", "..."]')
        if name in self._groups:
            table.fault("", f"there is a group {name} already: {self._place(name)}")
        shared = read_shared(table, settings)
        if shared["reload"] and "{{" in shared["reload"].text:
            what = "the reload_cmd of a group cannot name a single file"
            table.fault("reload_cmd", what, "it is told once for all of them")
        self._groups.setdefault(name, Group(name, table, members))

    def _place(self, name: str) -> Origin:
        table = self._groups[name].table
        return Origin(table.file, table.line())

    def bind(self, names: Iterable[str]) -> None:
        """Find the members among the names of all resources, faulty ones included."""
        known = list(names)
        for group in self._groups.values():
            for member in group.members:
                if member not in known:
                    what = f"no resource is called {member}"
                    group.table.fault("resources", what, did_you_mean(member, known))
                elif member in self._of:
                    other = self._of[member].name
                    what = f"{member} is a member of group {other} already"
                    group.table.fault("resources", what)
                else:
                    self._of[member] = group

    def of(self, name: str) -> Group | None:
        """The group of a resource, None when it stands alone."""
        return self._of.get(name)

    def judge(self, resources: Mapping[str, Resource]) -> set[str]:
        """
        Note what is wrong between members. resources: the good ones by name. Returns the names of
        those that must not be done, because their group is not whole.
        """
        left_out: set[str] = set()
        for group in self._groups.values():
            there = [resources[name] for name in group.members if name in resources]
            if group.good and len(there) < len(group.members):
                missing = next(name for name in group.members if name not in resources)
                what = f"{missing} is faulty, so nothing of group {group.name} is done"
                group.table.fault("resources", what)
            services = {each.service for each in there}
            if group.good and len(services) > 1:
                what = f"the resources of group {group.name} have different reload commands"
                group.table.fault("", what, "write reload_cmd once, in the group")
            if not group.good:
                left_out.update(each.name for each in there)
        return left_out

    def ordered(self, resources: Sequence[Resource]) -> tuple[Resource, ...]:
        """The same resources, with the members of each group in its order."""
        by_name = {resource.name: resource for resource in resources}
        waiting = {
            group.name: [by_name[name] for name in group.members if name in by_name]
            for group in self._groups.values()
        }
        return tuple(
            waiting[resource.group].pop(0) if resource.group else resource for resource in resources
        )
