"""
conf.d: from TOML tables to resources, with every fault of every file and its line.

Reads the TOML files and asks the system for user names and for which templates exist; loads no
template. A faulty table yields no resource, its neighbours still do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pyconfd.config.guards import GUARD_KEYS, read_guard
from pyconfd.config.options import did_you_mean
from pyconfd.config.table import Table
from pyconfd.config.toml import TomlFile, read_toml
from pyconfd.errors import ConfigError, ResourceError
from pyconfd.model.keys import join_paths, key_path
from pyconfd.model.resources import Command, Origin, Resource, ResourceSet


class Defaults(Protocol):
    """What resources take from the settings."""

    @property
    def prefix(self) -> str: ...
    @property
    def resource(self) -> tuple[str, ...]: ...
    @property
    def check_cmd_timeout_s(self) -> float: ...
    @property
    def reload_cmd_timeout_s(self) -> float: ...


KEYS = (
    "src", "dest", "keys", "prefix", "mode", "uid", "gid", "owner", "group", "make_dirs",
    "check_cmd", "check_cmd_timeout", "reload_cmd", "reload_cmd_timeout", "min_reload_interval",
    "hold_min", "hold_max", "debounce", "format", *GUARD_KEYS,
)  # fmt: skip

_HOLD_MAX_S = 10.0
_FORMATS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "recipes", "formats")


class _Found:
    """One table, or one file that could not be read. resource: None when it is faulty."""

    def __init__(
        self, name: str, file: str, resource: Resource | None, faults: list[ConfigError]
    ) -> None:
        self.name = name
        self.file = file
        self.resource = resource
        self.faults = faults


def load_resources(confdir: str, settings: Defaults) -> ResourceSet:
    """
    Everything below `confdir`/conf.d, or of it what --resource names.

    Raises ConfigError when there is nothing that could be done: no folder, no resource, no good
    one, or a name that does not exist.
    """
    folder = os.path.join(confdir, "conf.d")
    _must_exist(confdir, folder)
    templates = _Templates(os.path.join(confdir, "templates"))
    found: list[_Found] = []
    for path in _files(folder, found):
        found += _load_file(path, folder, templates, settings)
    _drop_clashes(found)
    if settings.resource:
        found = _named(found, settings.resource)
    resources = tuple(one.resource for one in found if one.resource)
    faults = tuple(fault for one in found for fault in one.faults)
    if not resources:
        what = "no usable resource" if faults else "no resource file (*.toml)"
        raise ResourceError(what, where=folder, faults=faults)
    return ResourceSet(resources, faults)


def _must_exist(confdir: str, folder: str) -> None:
    for path in (confdir, folder):
        if not os.path.isdir(path):
            what = "is not a folder" if os.path.lexists(path) else "does not exist"
            hint = "name the folder that holds conf.d and templates with --confdir"
            raise ResourceError(what, where=path, hint=hint)


def _files(folder: str, found: list[_Found], above: tuple[str, ...] = ()) -> Iterator[str]:
    """
    Paths of all *.toml files, sorted, below links too. Hidden names are left out: editors' locks,
    and the versioned folders of mounted config maps.
    """
    real = os.path.realpath(folder)
    if real in above:
        return  # a link to a folder that contains it
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        fault = ResourceError(f"cannot be read: {error.strerror}", where=folder)
        found.append(_Found(folder, folder, None, [fault]))
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if name.endswith(".toml"):
            yield path
        elif os.path.isdir(path):
            yield from _files(path, found, (*above, real))


def _load_file(
    path: str, folder: str, templates: _Templates, settings: Defaults
) -> Iterator[_Found]:
    name = os.path.relpath(path, folder).removesuffix(".toml")
    try:
        file = read_toml(path, ResourceError)
    except ResourceError as error:
        yield _Found(name, name, None, [error])
        return
    strange, tables = _tables(file)
    if strange:
        yield _Found(name, name, None, strange)
    for index, table in enumerate(tables):
        own = f"{name}#{index + 1}" if index else name
        resource = _resource(own, table, templates, settings)
        yield _Found(own, name, resource, table.faults)


def _tables(file: TomlFile) -> tuple[list[ConfigError], list[Table]]:
    """The [template] or [[template]] tables of a file, and faults of what else is in it."""
    lines = file.lines()
    faults: list[ConfigError] = []
    for key in file.data:
        if key != "template":
            number = lines[("", 0)].get(key) or lines.get((key, 0), {}).get("", 0)
            hint = "a resource is a [template] table" if key in KEYS else ""
            hint = hint or did_you_mean(key, ["template"])
            where = str(Origin(file.path, number))
            faults.append(ResourceError(f"unknown key or table: {key}", where=where, hint=hint))
    raw = file.data.get("template", [] if faults else None)
    tables = raw if isinstance(raw, list) else [raw]
    if any(not isinstance(table, dict) for table in tables) or (not tables and not faults):
        faults.append(ResourceError("no [template] table", where=file.path))
        return faults, []
    inline = {"": lines[("", 0)].get("template", 0)}
    return faults, [
        Table(file.path, table, lines.get(("template", index), inline))
        for index, table in enumerate(tables)
    ]


def _resource(
    name: str, table: Table, templates: _Templates, settings: Defaults
) -> Resource | None:
    """The resource of one table, None when it has faults."""
    table.only(KEYS)
    src, dest = table.required_text("src"), table.required_text("dest")
    if src:
        templates.look(table, src)
    if dest:
        dest = _destination(table, dest)
    hold_min_s = _hold_min(table)
    hold_max_s = table.seconds("hold_max", max(_HOLD_MAX_S, hold_min_s))
    if hold_max_s < hold_min_s:
        table.fault("hold_max", "hold_max is less than hold_min")
    resource = Resource(
        name=name,
        origin=Origin(table.file, table.line()),
        src=os.path.normpath(src),
        dest=dest,
        prefix=join_paths(settings.prefix, table.text("prefix")),
        keys=_keys(table),
        mode=table.mode(),
        uid=table.account("uid", "owner"),
        gid=table.account("gid", "group"),
        make_dirs=table.flag("make_dirs"),
        check=_command(table, "check_cmd", settings.check_cmd_timeout_s),
        reload=_command(table, "reload_cmd", settings.reload_cmd_timeout_s),
        format=_format(table),
        guard=read_guard(table),
        hold_min_s=hold_min_s,
        hold_max_s=hold_max_s,
        min_reload_interval_s=table.seconds("min_reload_interval", 0.0),
    )
    return None if table.faults else resource


def _keys(table: Table) -> tuple[str, ...]:
    if not table.has("keys"):
        hint = "name the key paths the template reads; keys = [] if it reads none"
        table.fault("", "keys is missing", hint)
        return ()
    keys = table.texts("keys")
    if "" in keys:
        table.fault("keys", "keys holds an empty path", 'write "/" for the whole store')
    return tuple(dict.fromkeys(key_path(key) for key in keys))


def _destination(table: Table, dest: str) -> str:
    """The absolute path. A relative one starts at the current folder, as with confd."""
    if dest.endswith("/") or os.path.isdir(dest):
        table.fault("dest", f"dest is a folder: {dest}", "name the file")
    return os.path.abspath(dest)


def _hold_min(table: Table) -> float:
    if table.has("debounce") and table.has("hold_min"):
        table.fault("debounce", "debounce is another name of hold_min, and both are given")
    return table.seconds("debounce" if table.has("debounce") else "hold_min", 0.0)


def _command(table: Table, key: str, timeout_s: float) -> Command | None:
    """A command line; the empty string is none, as with confd."""
    timeout_s = table.seconds(f"{key}_timeout", timeout_s, above=0.0)
    if isinstance(table.values.get(key), list):
        table.fault(key, f"{key} is a list", "write one string; the shell takes it apart")
        return None
    text = table.text(key)
    return Command(text, timeout_s) if text.strip() else None


def _format(table: Table) -> str:
    """How the destination is read; "" when nothing is said."""
    name = table.text("format")
    if not name:
        return ""
    known = sorted(file.removesuffix(".toml") for file in os.listdir(_FORMATS))
    if name not in known:
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        table.fault("format", f"format {name!r} is not known", hint)
    return name


class _Templates:
    """The templates folder: is a template there, and if not, which one was meant?"""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def look(self, table: Table, src: str) -> None:
        """Add a fault to the table when `src` is no file within the folder."""
        if os.path.isabs(src) or os.path.normpath(src).split("/")[0] == "..":
            table.fault("src", f"src leaves the templates folder: {src}", f"it is {self._folder}")
            return
        path = os.path.join(self._folder, src)
        if os.path.isfile(path):
            return
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        table.fault("src", f"template {what}: {path}", self._meant(src))

    def _meant(self, src: str) -> str:
        """The template of this name in another folder, else the nearest name."""
        names = list(self._names())
        same = [name for name in names if os.path.basename(name) == os.path.basename(src)]
        return did_you_mean(src, same, 0.0) or did_you_mean(src, names)

    def _names(self) -> Iterator[str]:
        for folder, _, names in os.walk(self._folder):
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), self._folder)


def _drop_clashes(found: Sequence[_Found]) -> None:
    """Two resources with one destination: neither is done, since nobody can say which is right."""
    by_dest: dict[str, _Found] = {}
    real: dict[str, str] = {}
    clashing: list[_Found] = []
    for one in found:
        if one.resource is None:
            continue
        first = by_dest.setdefault(_real_path(one.resource.dest, real), one)
        if first is one or first.resource is None:
            continue
        what = f"dest is the same file as that of {first.resource.origin}: {one.resource.dest}"
        where = str(one.resource.origin)
        one.faults.append(ResourceError(what, where=where, hint="neither is written"))
        clashing += (first, one)
    for one in clashing:
        one.resource = None


def _real_path(dest: str, known: dict[str, str]) -> str:
    """The file behind all links. known: folders that were resolved already."""
    folder, name = os.path.split(dest)
    if folder not in known:
        known[folder] = os.path.realpath(folder)
    path = os.path.join(known[folder], name)
    return os.path.realpath(path) if os.path.islink(path) else path


def _named(found: Iterable[_Found], names: Sequence[str]) -> list[_Found]:
    """What --resource asks for: a resource by its name, or all of a file by `file.toml`."""
    everything = list(found)
    faults: list[ConfigError] = []
    chosen: set[str] = set()
    for name in names:
        file = name.removesuffix(".toml") if name.endswith(".toml") else None
        matching = {one.name for one in everything if one.name == name or one.file == file}
        if not matching:
            hint = did_you_mean(name, [one.name for one in everything])
            faults.append(
                ResourceError(f"no resource is called {name}", where="--resource", hint=hint)
            )
        chosen |= matching
    if faults:
        raise ResourceError(str(faults[0]), faults=tuple(faults))
    return [one for one in everything if one.name in chosen]
