"""
conf.d: from TOML files to resources, with every fault of every file and its line.

Reads the TOML files and asks the system for user names and for which templates exist; loads no
template. A faulty table yields no resource, its neighbours still do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from pyconfd.config.confirm import disputes
from pyconfd.config.groups import ResourceGroups
from pyconfd.config.options import did_you_mean
from pyconfd.config.resource_table import (
    KEYS,
    SHARED_KEYS,
    Defaults,
    Templates,
    read_resource,
)
from pyconfd.config.services import Services
from pyconfd.config.table import Table
from pyconfd.config.toml import TomlFile, read_toml
from pyconfd.errors import ConfigError, ResourceError
from pyconfd.model.keys import key_path
from pyconfd.model.resources import Origin, Resource, ResourceSet

#: Of a file in conf.d.
_TABLES = ("template", "group", "service")


class _Found:
    """
    One table, or one file with faults of its own.

    name: of the resource, or of the file.
    file: the name of the file.
    table: None when there is none to read.
    faults: what is wrong.
    resource: None until the table was read, and when it is faulty.
    """

    def __init__(
        self,
        name: str,
        file: str,
        *,
        table: Table | None = None,
        faults: Iterable[ConfigError] = (),
    ) -> None:
        self.name = name
        self.file = file
        self.table = table
        self.faults = list(faults)
        self.resource: Resource | None = None


def load_resources(confdir: str, settings: Defaults) -> ResourceSet:
    """
    Everything below `confdir`/conf.d, or only what --resource names. Members of a group come in
    the order of the group.

    Raises ConfigError when there is nothing to do: no folder, no resource, no good resource, or a
    name that does not exist.
    """
    folder = os.path.join(confdir, "conf.d")
    _must_exist(confdir, folder)
    found: list[_Found] = []
    groups, services = ResourceGroups(), Services()
    notes: list[ConfigError] = []
    for path in _files(folder, found, "toml" if settings.compat else ".toml"):
        found += _load_file(path, folder, groups, services, settings, notes)
    groups.bind((one.name, one.file) for one in found)
    templates = Templates(os.path.join(confdir, "templates"))
    _read_tables(found, templates, groups, services, settings)
    _drop_clashes(found)
    _complete_services(found, services, settings.prefix)
    _drop_disputes(found)
    _drop_broken_groups(found, groups)
    chosen: list[str] | None = None
    if settings.resource:
        found = _named(found, settings.resource, groups)
        chosen = [one.name for one in found]
    resources = groups.ordered([one.resource for one in found if one.resource])
    faults = tuple(fault for one in found for fault in one.faults)
    faults += (*services.faults(chosen), *groups.faults(chosen))
    if not resources:
        what = "no usable resource" if faults else "no resource file (*.toml)"
        raise ResourceError(what, where=folder, faults=faults)
    if settings.backend == "env":
        resources = tuple(map(_of_variables, resources))
    return ResourceSet(resources, faults, tuple(notes))


def _of_variables(resource: Resource) -> Resource:
    """The resource with /xmpp/domain beside /xmpp_domain, which both mean XMPP_DOMAIN."""
    below = len(resource.prefix.rstrip("/"))
    spelled = (key_path(path.lower().replace("_", "/")) for path in resource.watched)
    return replace(
        resource,
        keys=tuple(dict.fromkeys((*resource.keys, *(path[below:] or "/" for path in spelled)))),
    )


def _must_exist(confdir: str, folder: str) -> None:
    hint = "name the folder that holds conf.d and templates with --confdir"
    for path in (confdir, folder):
        try:
            if stat.S_ISDIR(os.stat(path).st_mode):
                continue
            what = "is not a folder"
        except FileNotFoundError:
            what = "is a link to nothing" if os.path.islink(path) else "does not exist"
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
        raise ResourceError(what, where=path, hint=hint)


def _files(
    folder: str, found: list[_Found], ending: str, above: tuple[str, ...] = ()
) -> Iterator[str]:
    """
    Paths of all files with this ending, sorted, below links too. Hidden names are left out:
    editors' locks, and the versioned folders of mounted config maps.
    """
    real = os.path.realpath(folder)
    if real in above:
        return  # a link to a folder that contains it
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        fault = ResourceError(f"cannot be read: {error.strerror}", where=folder)
        found.append(_Found(folder, folder, faults=[fault]))
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if name.endswith(ending) and not (ending == "toml" and os.path.isdir(path)):
            yield path
        elif os.path.isdir(path):
            yield from _files(path, found, ending, (*above, real))


def _load_file(
    path: str,
    folder: str,
    groups: ResourceGroups,
    services: Services,
    settings: Defaults,
    notes: list[ConfigError],
) -> Iterator[_Found]:
    name = os.path.relpath(path, folder).removesuffix(".toml")
    try:
        file = read_toml(path, ResourceError)
    except ResourceError as error:
        if isinstance(error.__cause__, ValueError):  # it could be read, but is not valid
            groups.add_broken(path, name)
        yield _Found(name, name, faults=[error])
        return
    if settings.compat:
        from pyconfd.config.confd.resource_files import ConfdFile

        taken = ConfdFile(file, settings.compat, global_prefix=settings.prefix != "/")
        notes += taken.notes
        if taken.faults:
            yield _Found(name, name, faults=taken.faults)
            return
        file, lines = file._replace(data=taken.data), taken.lines()
    else:
        lines = file.lines()
    groups.add(file, name, settings)
    services.add(file)
    strange, tables = _tables(file, lines)
    if strange:
        yield _Found(name, name, faults=strange)
    for index, table in enumerate(tables):
        yield _Found(f"{name}#{index + 1}" if index else name, name, table=table)


def _tables(
    file: TomlFile, lines: Mapping[tuple[str, int], dict[str, int]]
) -> tuple[list[ConfigError], list[Table]]:
    """The [template] or [[template]] tables of a file, and the faults of its other contents."""
    faults: list[ConfigError] = []
    for key in file.data:
        if key not in _TABLES:
            number = file.line_of(key)
            hint = "a resource is a [template] table" if key in KEYS else ""
            hint = hint or did_you_mean(key, _TABLES)
            where = str(Origin(file.path, number))
            faults.append(ResourceError(f"unknown key or table: {key}", where=where, hint=hint))
    other = bool(faults) or not file.data.keys().isdisjoint(_TABLES)
    raw = file.data.get("template", [] if other else None)
    tables = raw if isinstance(raw, list) else [raw]
    if any(not isinstance(table, dict) for table in tables):
        faults.append(ResourceError("no [template] table", where=file.path))
        return faults, []
    inline = {"": lines[("", 0)].get("template", 0)}
    return faults, [
        Table(file.path, table, lines.get(("template", index), inline))
        for index, table in enumerate(tables)
    ]


def _read_tables(
    found: Iterable[_Found],
    templates: Templates,
    groups: ResourceGroups,
    services: Services,
    settings: Defaults,
) -> None:
    for one in found:
        if one.table is None:
            continue
        group = groups.of(one.name)
        table = one.table.in_group(group.table, SHARED_KEYS) if group else one.table
        table = services.bind(one.name, table)
        one.resource = read_resource(
            one.name, table, templates, settings, group.name if group else ""
        )
        one.faults += table.faults


def _drop_broken_groups(found: Iterable[_Found], groups: ResourceGroups) -> None:
    left_out = groups.incomplete({one.name: one.resource for one in found if one.resource})
    for one in found:
        if one.name in left_out:
            one.resource = None


def _complete_services(found: Sequence[_Found], services: Services, prefix: str) -> None:
    complete = services.complete([one.resource for one in found if one.resource], prefix)
    for one in found:
        if one.resource and one.name in complete:
            service = complete[one.name]
            one.resource = replace(one.resource, service=service) if service else None


def _drop_clashes(found: Sequence[_Found]) -> None:
    """Two resources with one destination: both are left out, since either may be the right one."""
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


def _drop_disputes(found: Sequence[_Found]) -> None:
    """Leave out resources of one service that confirm its reloads in different ways."""
    named = {one.resource.name: one for one in found if one.resource}
    for first, other, fault in list(disputes(one.resource for one in found if one.resource)):
        named[other.name].faults.append(fault)
        named[first.name].resource = named[other.name].resource = None


def _real_path(dest: str, known: dict[str, str]) -> str:
    """The file behind all links. known: folders that were resolved already."""
    folder, name = os.path.split(dest)
    if folder not in known:
        known[folder] = os.path.realpath(folder)
    path = os.path.join(known[folder], name)
    return os.path.realpath(path) if os.path.islink(path) else path


def _named(found: Sequence[_Found], names: Sequence[str], groups: ResourceGroups) -> list[_Found]:
    """
    What --resource selects: a resource by its name, or all of a file by `file.toml`; for a member
    of a group, the whole group.
    """
    faults: list[ConfigError] = []
    chosen: set[str] = set()
    for name in names:
        file = name.removesuffix(".toml") if name.endswith(".toml") else None
        matching = {one.name for one in found if one.name == name or one.file == file}
        if file is not None:
            matching |= groups.declared_in(file)
        if not matching:
            hint = did_you_mean(name, [one.name for one in found])
            faults.append(
                ResourceError(f"no resource is called {name}", where="--resource", hint=hint)
            )
        chosen |= matching
    if faults:
        raise ResourceError(str(faults[0]), faults=tuple(faults))
    chosen = groups.whole(chosen)
    return [one for one in found if one.name in chosen]
