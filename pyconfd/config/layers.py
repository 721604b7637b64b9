"""
The layers of options: command line over environment over config file over defaults.

Shell: reads the config file and the password file. The environment is passed in.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyconfd.config.arguments import Arguments
from pyconfd.config.confd.detection import TreeKind, is_confds
from pyconfd.config.option_table import OPTIONS, TABLES
from pyconfd.config.options import (
    BadValue,
    Given,
    Layer,
    Option,
    did_you_mean,
    from_environment,
    from_toml,
    layered,
    squash,
)
from pyconfd.errors import SettingsError


def resolve(
    options: Sequence[Option],
    arguments: Arguments,
    environ: Mapping[str, str],
    *,
    known: Sequence[Option] = OPTIONS,
) -> dict[str, Any]:
    """
    The value of each of `options` by field, from all layers, and checked against the others.

    known: options that the config file and the environment may have although they are not in
    `options`. Raises SettingsError with every fault as `faults`. Words that are not options are
    left to the caller.
    """
    values, faults = resolve_all(options, arguments, environ, known)
    raise_faults(faults)
    return values


def raise_faults(faults: Sequence[SettingsError]) -> None:
    """Raise them as one SettingsError, if there are any."""
    if faults:
        what = str(faults[0]) if len(faults) == 1 else f"{len(faults)} faults"
        raise SettingsError(what, faults=tuple(faults))


def resolve_all(
    options: Sequence[Option],
    arguments: Arguments,
    environ: Mapping[str, str],
    known: Sequence[Option],
    tree: TreeKind | None = None,
) -> tuple[dict[str, Any], list[SettingsError]]:
    """
    Like `resolve`, but returns the faults beside the values; a faulty value counts as not given.

    tree: of the main program; notes are added to it.
    """
    tree = tree or TreeKind()
    faults = list(arguments.faults)
    everything = tuple(
        {each.name: each for each in (*known, *options) if each not in TABLES}.values()
    )
    variables = from_environment(everything, environ, faults)
    layers: list[Layer] = [arguments.given, variables]
    if tree.compat:
        from pyconfd.config.confd.options import from_confd_environment

        layers.append(from_confd_environment(environ, tree.compat, everything, faults))
    place = layered(everything, *layers, tree.defaults).get("config-file")
    stored = _config_file(place, (*known, *everything, *TABLES), faults, tree) if place else {}
    # A key of the daemon's is not that of a command which has an option of the same name.
    not_there = {each.name for each in everything if not each.in_file}
    layers.append({name: given for name, given in stored.items() if name not in not_there})
    _compat(tree, layers)
    if arguments.foreign:
        from pyconfd.config.confd.options import take

        layers[0] = {
            **take(arguments.foreign, tree.compat, everything, faults),
            **arguments.given,
        }
    if tree.compat:
        from pyconfd.config.confd.options import nodes_of_etcdctl

        layers.append(nodes_of_etcdctl(environ))
    found = layered(options, *layers, tree.defaults)
    _together(found, layers, faults)
    return {option.field: found[option.name].value for option in options}, faults


def _compat(tree: TreeKind, layers: Sequence[Layer]) -> None:
    """Whose tree it is, after the config file was read: it may name `compat` or the folder."""
    if tree.compat or not tree.defaults:
        return
    named = {name: layer[name] for layer in reversed(layers) for name in layer}
    if "compat" in named:
        tree.compat = str(named["compat"].value)
    elif "confdir" in named and is_confds(str(named["confdir"].value)):
        tree.compat = "confd"
        tree.defaults = {**tree.defaults, "compat": Given(tree.compat, "")}


def _config_file(
    place: Given, known: Sequence[Option], faults: list[SettingsError], tree: TreeKind
) -> Layer:
    """
    The values of the config file, by name of option. Only the default file may be absent; in a
    tree of confd any file may be, and an unknown key is only noted.
    """
    path = str(place.value)
    if not path:
        faults.append(SettingsError("names no file", where=place.where))
        return {}
    if not (place.where and not tree.compat) and not os.path.lexists(path):
        return {}
    from pyconfd.config.toml import read_toml

    try:
        file = read_toml(path, SettingsError)
    except SettingsError as error:
        faults.append(error)
        return {}
    spelt = {
        squash(name): option
        for option in known
        if option.in_file
        for name in (option.name, *option.aliases)
    }
    lines = file.lines()
    layer: dict[str, Given] = {}
    for key, raw in file.data.items():
        number = lines[("", 0)].get(key) or lines.get((key, 0), {}).get("", 0)
        where = f"{path}:{number}" if number else path
        option = spelt.get(squash(key))
        try:
            if option is None:
                _unknown_key(key, raw, where, tree)
                continue
            if option.name in layer:
                raise BadValue(f"is given twice; see {layer[option.name].where}")
            value = from_toml(option, raw)
        except BadValue as error:
            hint = "" if option else _key_hint(key, spelt.values())
            faults.append(SettingsError(f"{key}: {error}", where=where, hint=hint))
        else:
            if value is not None:
                layer[option.name] = Given(value, f"{where}: {key}")
    return layer


def _unknown_key(key: str, raw: object, where: str, tree: TreeKind) -> None:
    """Raises BadValue; in a tree of confd only for confd's own keys that are refused."""
    if not tree.compat:
        raise BadValue("unknown key")
    from pyconfd.config.confd.options import FOREIGN, foreign_key

    row = FOREIGN.get(foreign_key(key))
    if row is None:
        tree.notes.append(f"{where}: {key}: unknown key, which is ignored as by confd")
    elif raw and tree.compat not in row.taken:
        raise BadValue("not a key of pyconfd")


def _key_hint(key: str, known: Iterable[Option]) -> str:
    from pyconfd.config.confd.options import REFUSED, foreign_key

    if name := foreign_key(key):
        return REFUSED[name]
    if squash(key) == "configfile":
        return "name it with --config-file or PYCONFD_CONFIG_FILE"
    return did_you_mean(key.lower(), [option.name.replace("-", "_") for option in known])


def _together(
    found: dict[str, Given], layers: Sequence[Layer], faults: list[SettingsError]
) -> None:
    """Faults of values that are valid alone but not together; reads the password file."""
    for one, other in (("client-cert", "client-key"), ("client-key", "client-cert")):
        if one in found and found[one].value and not found[other].value:
            faults.append(SettingsError(f"needs --{other} too", where=found[one].where))
    for name in ("diff", "detailed-exitcode"):
        if name in layers[0] and found[name].value and not found["noop"].value:
            faults.append(SettingsError("works with --noop only", where=found[name].where))
    if "backend" in found and found["backend"].value == "file" and not found["file"].value:
        faults.append(
            SettingsError("needs a file to read", where=found["backend"].where, hint="give --file")
        )
    if "node" in found:
        _nodes(found, faults)
    if "metrics-listen" in found and found["metrics-listen"].value:
        _listen(found["metrics-listen"], faults)
    _parts_of_keys(found, faults)
    _whole_number(found, "revision", faults)
    if "password" in found:
        _password(found, layers, faults)


def _nodes(found: Mapping[str, Given], faults: list[SettingsError]) -> None:
    """Whether the nodes are valid addresses; a backend of another package checks its own."""
    nodes, where = found["node"]
    backend = found["backend"].value if "backend" in found else "etcd"
    if not isinstance(nodes, tuple) or not nodes or backend not in ("etcd", "etcdv3"):
        return
    from pyconfd.config.address import split_node

    for node in nodes:
        try:
            split_node(node)
        except BadValue as error:
            faults.append(SettingsError(str(error), where=where))


def _whole_number(found: Mapping[str, Given], name: str, faults: list[SettingsError]) -> None:
    given = found.get(name)
    if given and given.value and not (str(given.value).isdecimal() and int(str(given.value))):
        what = f"{given.value!r} is not a revision"
        faults.append(
            SettingsError(what, where=given.where, hint="pyconfd status shows the newest")
        )


def _parts_of_keys(found: Mapping[str, Given], faults: list[SettingsError]) -> None:
    """Whether the names of the node and the fleet can be part of a key path."""
    for option, what in (("node-name", "node"), ("fleet", "fleet")):
        given = found.get(option)
        if given and isinstance(given.value, str) and given.value:
            import re

            if not re.fullmatch(r"[A-Za-z0-9_.-]+", given.value):
                hint = "use letters, digits, _ - ."
                problem = f"{given.value!r} is no name of a {what}"
                faults.append(SettingsError(problem, where=given.where, hint=hint))


def _listen(place: Given, faults: list[SettingsError]) -> None:
    from pyconfd.config.address import split_listen

    try:
        split_listen(str(place.value))
    except BadValue as error:
        faults.append(SettingsError(str(error), where=place.where))


def _password(
    found: dict[str, Given], layers: Sequence[Layer], faults: list[SettingsError]
) -> None:
    """The password, from --password or --password-file, whichever is given in the higher layer."""
    for layer in layers:
        if "password" in layer and "password-file" in layer:
            where = layer["password-file"].where
            faults.append(SettingsError("is given together with a password", where=where))
            return
        if "password" in layer:
            break
        if "password-file" in layer:
            found["password"] = _read_password(layer["password-file"], faults)
            break
    if found["password"].value and not found["username"].value:
        faults.append(SettingsError("needs --username too", where=found["password"].where))


def _read_password(place: Given, faults: list[SettingsError]) -> Given:
    try:
        with open(str(place.value), encoding="utf-8") as stream:
            return Given(stream.readline().rstrip("\r\n"), place.where)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        faults.append(SettingsError(f"{place.value} cannot be read: {reason}", where=place.where))
        return Given("", place.where)
