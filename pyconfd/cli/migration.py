"""
Converts a tree of confd to one of pyconfd: its new files, and what must be done by hand.

Shell: reads the old tree. Nothing is written here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from pyconfd.config.confd.migrated_files import comments_of, settings_of, toml_of
from pyconfd.config.confd.resource_files import ConfdFile
from pyconfd.config.recipes import ConfdirFile
from pyconfd.config.settings import Settings
from pyconfd.config.toml import read_toml
from pyconfd.errors import ResourceError, SettingsError
from pyconfd.model.command_line import has_actions, refusal
from pyconfd.model.resources import Expansion, Resource, ResourceSet


@dataclass(frozen=True, slots=True)
class MigrationRow:
    """
    The result for one file.

    file: below the old tree.
    why: what must be done by hand; "" when it is done.
    line: of the file, 0 for unknown.
    """

    file: str
    why: str = ""
    line: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.why


@dataclass(slots=True)
class Migrated:
    """
    The new tree.

    files: its files.
    rows: the result for each old file, in order.
    left_out: resource files that would run another command.
    """

    files: list[ConfdirFile] = field(default_factory=list)
    rows: list[MigrationRow] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)


class Migration:
    """
    settings: of the old tree. found: its resources.
    """

    def __init__(self, settings: Settings, found: ResourceSet) -> None:
        self._settings = settings
        self._found = found
        self._confdir = settings.confdir
        self._templates: dict[str, tuple[str, MigrationRow]] = {}

    def tree(self, failed: dict[str, str]) -> Migrated:
        """
        The new tree. failed: template -> why its translation cannot be used, for those that were
        tried.
        """
        made = Migrated()
        self._templates = {}
        for resource in self._found.resources:
            self._template(resource.src, resource, failed)
        by_file: dict[str, list[Resource]] = {}
        for resource in self._found.resources:
            by_file.setdefault(resource.origin.file, []).append(resource)
        for path in self._resource_files():
            self._resource_file(path, by_file.get(path, []), made)
        for name, (text, row) in sorted(self._templates.items()):
            new = renamed(name) if row.done else name
            made.files.append(ConfdirFile(f"templates/{new}", text.encode()))
            made.rows.append(row)
        self._settings_file(made)
        return made

    def _resource_files(self) -> list[str]:
        """The files that confd reads, without hidden ones, as in config/resources.py."""
        found: list[str] = []
        for at, folders, names in os.walk(os.path.join(self._confdir, "conf.d")):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += (
                os.path.join(at, name)
                for name in names
                if name.endswith("toml") and not name.startswith(".")
            )
        linked = {one.origin.file for one in self._found.resources}
        return sorted(linked.union(found))

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self._confdir)

    def _resource_file(self, path: str, resources: list[Resource], made: Migrated) -> None:
        shown = self._shown(path)
        faults = [one for one in self._found.faults if one.where.startswith(f"{path}:")]
        try:
            file = read_toml(path, ResourceError)
        except ResourceError as error:
            made.rows.append(MigrationRow(shown, error.what))
            return
        taken = ConfdFile(file, self._settings.compat, global_prefix=self._settings.prefix != "/")
        if faults or not resources:
            fault = faults[0] if faults else None
            number = fault.where.rpartition(":")[2] if fault else ""
            why = fault.what if fault else "has no resource"
            made.rows.append(MigrationRow(shown, why, int(number) if number.isdigit() else 0))
            return
        why, line = next(self._other_commands(taken, resources), ("", 0))
        if why:
            made.rows.append(MigrationRow(shown, f"{why}; not written", line))
            made.left_out.add(path)
            return
        made.rows.append(self._without_format(shown, taken, resources))
        data = dict(taken.data)
        tables = data["template"] if isinstance(data["template"], list) else [data["template"]]
        data["template"] = [self._table(table) for table in tables]
        if len(tables) == 1:
            data["template"] = data["template"][0]
        text = toml_of(data, comments_of(file.text))
        new = shown if shown.endswith(".toml") else f"{shown}.toml"
        made.files.append(ConfdirFile(new, text.encode()))

    def _table(self, table: dict[str, object]) -> dict[str, object]:
        new = {key: value for key, value in table.items() if key != "output_format"}
        src = os.path.normpath(str(table["src"]))
        row = self._templates[src][1]
        new["src"] = renamed(src) if row.done else src
        if not row.done:
            new["engine"] = "go"
        return new

    def _other_commands(
        self, taken: ConfdFile, resources: list[Resource]
    ) -> Iterator[tuple[str, int]]:
        """The commands that have another meaning in a tree of pyconfd."""
        lines = taken.lines()
        for nth, resource in enumerate(resources):
            own = lines.get(("template", nth), {})
            for key, command in (("check_cmd", resource.check), ("reload_cmd", resource.reload)):
                line = own.get(key, resource.origin.line)
                if command is None or "{{" not in command.text:
                    continue
                if command.expansion is Expansion.NONE:
                    yield f"{key} holds {{{{, which is a placeholder in pyconfd", line
                elif has_actions(command.text):
                    more = "with more than {{.src}} and {{.dest}}"
                    yield f"{key} is a Go template {more}", line
                elif where := refusal(command.text):
                    yield f"{key} has a placeholder {where}", line

    def _without_format(
        self, shown: str, taken: ConfdFile, resources: list[Resource]
    ) -> MigrationRow:
        """The row of a resource file; output_format has no counterpart."""
        lines = taken.lines()
        for nth, resource in enumerate(resources):
            if resource.output_format:
                line = lines.get(("template", nth), {}).get("output_format", resource.origin.line)
                return MigrationRow(
                    shown, "output_format is left out: let check_cmd parse the file", line
                )
        return MigrationRow(shown)

    def _template(self, name: str, resource: Resource | None, failed: dict[str, str]) -> None:
        """A template and those that it includes."""
        if name in self._templates:
            return
        from pyconfd.pipeline.render.gotemplate.functions.signatures import SIGNATURES
        from pyconfd.pipeline.render.gotemplate.migration.template import (
            Untranslatable,
            jinja2_of,
        )

        shown = f"templates/{name}"
        path = os.path.join(self._confdir, shown)
        try:
            with open(path, encoding="utf-8", newline="") as stream:
                source = stream.read()
        except (OSError, UnicodeDecodeError):
            return  # a fault of the resource
        if (resource and resource.engine == "jinja2") or "{%" in source:
            self._templates[name] = (source, MigrationRow(shown))
            return
        included: list[str] = []

        def new_name(other: str) -> str:
            included.append(other)
            return renamed(other)

        try:
            text = jinja2_of(source, SIGNATURES[self._settings.compat], new_name)
        except Untranslatable as error:
            self._templates[name] = (source, MigrationRow(shown, error.what, error.line))
            return
        why = failed.get(name, "")
        self._templates[name] = (source if why else text, MigrationRow(shown, why))
        for other in included:
            self._template(os.path.normpath(other), None, failed)

    def _settings_file(self, made: Migrated) -> None:
        path = self._settings.config_file
        if not os.path.isfile(path):
            return
        shown = self._shown(path) if path.startswith(self._confdir) else path
        try:
            file = read_toml(path, SettingsError)
        except SettingsError as error:
            made.rows.append(MigrationRow(shown, error.what))
            return
        data, by_hand = settings_of(file.data)
        why = f"{', '.join(by_hand)}: pyconfd has no such setting" if by_hand else ""
        made.rows.append(MigrationRow(shown, why, file.line_of(by_hand[0]) if by_hand else 0))
        text = toml_of(data, comments_of(file.text))
        made.files.append(ConfdirFile("pyconfd.toml", text.encode()))


def renamed(name: str) -> str:
    """The name of a template in the new tree."""
    stem, ending = os.path.splitext(name)
    if ending in (".j2", ".jinja2"):
        return name
    return f"{stem if ending == '.tmpl' else name}.j2"
