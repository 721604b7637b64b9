"""
[service.NAME]: how a service that reads the files of several resources is reloaded;
[service.NAME.rollout]: how the nodes of a fleet take its settings in turn.

A service with a table keeps its pending reload when its command is corrected. Resources without a
table that share a reload command are a service as well (`Resource.service_name`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyconfd.config.options import did_you_mean
from pyconfd.config.resource_table import SERVICE_KEYS
from pyconfd.config.table import Table
from pyconfd.config.toml import TomlFile
from pyconfd.errors import ConfigError
from pyconfd.model.command_line import names_file
from pyconfd.model.resources import Origin, Resource, Rollout, Service

_NAME = r"[a-zA-Z0-9_.-]+"
_ROLLOUT = "rollout"


class Services:
    """
    All services of conf.d. Add the tables of each file, `bind` the resources to them, then
    `complete` the services.
    """

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self._rollouts: dict[str, Table] = {}
        self._misplaced: list[Table] = []
        self._users: dict[str, list[str]] = {}

    def add(self, file: TomlFile) -> None:
        """Read the [service.NAME] tables of a file."""
        raw = file.data.get("service", {})
        if not isinstance(raw, Mapping):
            hint = "write [service.NAME], or move it into a [template] or [group.NAME] table"
            self._misplace(file, file.line_of("service"), "service is not a table", hint)
            return
        for name, values in raw.items():
            lines = file.lines_of("service", name)
            if isinstance(values, Mapping):
                own = {key: value for key, value in values.items() if key != _ROLLOUT}
                self._add(name, Table(file.path, own, lines))
                if _ROLLOUT in values:
                    self._add_rollout(name, file, values[_ROLLOUT], lines)
            else:
                hint = f"write [service.NAME] above {name}"
                self._misplace(file, lines[""], f"{name} stands in no service", hint)

    def _misplace(self, file: TomlFile, line: int, what: str, hint: str) -> None:
        table = Table(file.path, {}, {"": line})
        table.fault("", what, hint)
        self._misplaced.append(table)

    def _add(self, name: str, table: Table) -> None:
        table.only(SERVICE_KEYS)
        if not re.fullmatch(_NAME, name):
            table.fault("", f"a service cannot be called {name!r}", "use letters, digits, _ - .")
        for key in ("reload_cmd", "confirm_cmd"):
            if names_file(str(table.own.get(key, ""))):
                what = f"the {key} of a service cannot name a single file"
                table.fault(key, what, "it is run once for all of them")
        if first := self._tables.get(name):
            what = f"there is a service {name} already"
            first.fault("", f"{what}: {_place(table)}", "neither is used")
            table.fault("", f"{what}: {_place(first)}", "neither is used")
            self._misplaced.append(table)
        self._tables.setdefault(name, table)

    def _add_rollout(
        self, name: str, file: TomlFile, values: object, lines: Mapping[str, int]
    ) -> None:
        if not isinstance(values, Mapping):
            hint = f"write [service.{name}.{_ROLLOUT}]"
            self._tables[name].fault(_ROLLOUT, f"{_ROLLOUT} is not a table", hint)
            return
        own = file.lines_of("service", f"{name}.{_ROLLOUT}")
        at = own if own[""] != file.line_of("service") else {"": lines.get(_ROLLOUT, own[""])}
        self._rollouts[name] = Table(file.path, values, at)

    def bind(self, resource: str, table: Table) -> Table:
        """The table of a resource, with the keys of the service that it names."""
        name = table.text("service")
        service = self._tables.get(name)
        if service is None:
            if table.has("service") and "service" not in table.faulty:
                hint = did_you_mean(name, self._tables) or f"write a table [service.{name}]"
                table.fault("service", f"no service is called {name}", hint)
            return table
        self._users.setdefault(name, []).append(resource)
        return table.in_service(service, name, SERVICE_KEYS)

    def complete(self, resources: Iterable[Resource], prefix: str) -> dict[str, Service | None]:
        """
        By name of the resource: its service, completed by all of its members; None for a service
        whose members contradict each other, which is noted as a fault. prefix: the global one.
        """
        services: dict[str, Service | None] = {}
        members: dict[str, list[Resource]] = {}
        for one in resources:
            if one.service_name in self._tables:
                members.setdefault(one.service_name, []).append(one)
        for name, found in members.items():
            table = self._tables[name]
            _check_members(table, name, found)
            rollout: Rollout | None = None
            if name in self._rollouts:
                from pyconfd.config.rollouts import read_rollout  # few have one

                rollout = read_rollout(self._rollouts[name], found, prefix)
                table.faults += self._rollouts[name].faults
            good = not table.faults
            services.update(
                (one.name, replace(one.service, rollout=rollout) if good else None) for one in found
            )
        return services

    def faults(self, chosen: Iterable[str] | None = None) -> list[ConfigError]:
        """
        Everything that is wrong with the tables. chosen: only with the services of these resources.
        """
        names = None if chosen is None else set(chosen)
        found: list[ConfigError] = []
        for name, table in self._tables.items():
            users = self._users.get(name, ())
            if names is None and not users:
                hint = f'write service = "{name}" in a [template] or [group.NAME] table'
                table.fault("", f"no resource belongs to service {name}", hint)
            if names is None or not names.isdisjoint(users):
                found += table.faults
        return found + [one for table in self._misplaced for one in table.faults if names is None]


def _check_members(table: Table, name: str, members: Sequence[Resource]) -> None:
    """Whether all members are reloaded in the same way."""
    if unnamed := next((one for one in members if not one.service.name), None):
        what = f"a resource has a reload_cmd with the name of this service: {unnamed.origin}"
        table.fault("", what, f'write service = "{name}" there, or call the service something else')
    elif any(one.reload != members[0].reload for one in members):
        what = f"the resources of service {name} have different reload commands"
        table.fault("", what, "write reload_cmd in the table of the service")
    elif members[0].reload is None:
        table.fault("", f"service {name} has no reload_cmd")


def _place(table: Table) -> str:
    return str(Origin(table.file, table.line()))
