"""
A file with many services: `[[service]]` tables, with common defaults at the top.

    ttl = 10
    [[service]]
    name = "www.example.com"
    address = ":8080"
    check = "http:/health"

The keys are those of the command line, with "_" for "-". Shell: reads the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyconfd.config.options import BadValue, Option, did_you_mean, from_toml, squash
from pyconfd.config.toml import read_toml
from pyconfd.errors import RegistrationError, SettingsError
from pyconfd.registration.address import parse_address
from pyconfd.registration.agent.options import MEMBER_OPTIONS, declaration
from pyconfd.registration.declaration import Declaration, make_key

_TABLE = "service"
_NAMES = ("name", "address")
_SPELT: Mapping[str, Option] = {
    squash(name): option for option in MEMBER_OPTIONS for name in (option.name, *option.aliases)
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was read. lines: of every key, as in TomlFile."""

    path: str
    data: Mapping[str, object]
    lines: Mapping[tuple[str, int], Mapping[str, int]]


def read_services(path: str, given: Mapping[str, Any]) -> tuple[Declaration, ...]:
    """
    Every member of the file. given: values by field, used where the file has none.

    Raises SettingsError with every fault as `faults`.
    """
    read = read_toml(path, SettingsError)
    file = _File(path, read.data, read.lines())
    faults: list[SettingsError] = []
    tables = file.data.get(_TABLE)
    if not isinstance(tables, list) or not tables:
        raise SettingsError("declares no service", where=path, hint="write [[service]] tables")
    top = {key: value for key, value in file.data.items() if key != _TABLE}
    defaults = {**given, **_values(file, ("", 0), top, faults)}
    found: dict[str, tuple[Declaration, str]] = {}
    for number, table in enumerate(tables):
        made = _service(file, number, table, defaults, faults)
        if made is not None:
            _enter(found, made, _place(file, (_TABLE, number)), faults)
    if faults:
        what = str(faults[0]) if len(faults) == 1 else f"{len(faults)} faults"
        raise SettingsError(what, faults=tuple(faults))
    return tuple(declared for declared, _ in found.values())


def _service(
    file: _File,
    number: int,
    table: object,
    defaults: Mapping[str, Any],
    faults: list[SettingsError],
) -> Declaration | None:
    place = (_TABLE, number)
    if not isinstance(table, dict):
        faults.append(SettingsError("[[service]] is not a table", where=file.path))
        return None
    names: dict[str, str] = {}
    for key in _NAMES:
        name = table.get(key)
        if not isinstance(name, str) or not name:
            what = f"{key}: is missing" if name is None else f"{key}: is not text"
            faults.append(SettingsError(what, where=_place(file, place)))
        else:
            names[key] = name
    rest = {key: value for key, value in table.items() if key not in _NAMES}
    values = {**defaults, **_values(file, place, rest, faults)}
    if len(names) != len(_NAMES):
        return None
    try:
        if parse_address(names["address"]).kind == "auto":
            raise RegistrationError("port:auto needs a command", where="address")
        return declaration(names["name"], names["address"], values, str(defaults["prefix"]))
    except RegistrationError as error:
        key = error.where if error.where in table else ""
        what = f"{error.where}: {error.what}" if error.where else error.what
        faults.append(SettingsError(what, where=_place(file, place, key), hint=error.hint))
        return None


def _values(
    file: _File, place: tuple[str, int], table: Mapping[str, Any], faults: list[SettingsError]
) -> dict[str, Any]:
    """Values by field of the keys of one table."""
    values: dict[str, Any] = {}
    for key, raw in table.items():
        option = _SPELT.get(squash(key))
        try:
            if option is None:
                raise BadValue("unknown key")
            value = from_toml(option, _as_text(option, raw))
        except BadValue as error:
            known = [each.name.replace("-", "_") for each in MEMBER_OPTIONS]
            hint = "" if option else did_you_mean(key, [*known, *_NAMES])
            faults.append(
                SettingsError(f"{key}: {error}", where=_place(file, place, key), hint=hint)
            )
        else:
            if value is not None:
                values[option.field] = value
    return values


def _as_text(option: Option, raw: object) -> object:
    """Numbers and tables in the form of the command line: weight = 5, labels = {a = "b"}."""
    if option.repeatable and isinstance(raw, dict):
        import json

        return [
            f"{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in raw.items()
        ]
    if option.kind == "text" and isinstance(raw, int | float) and not isinstance(raw, bool):
        return str(raw)
    return raw


def _enter(
    found: dict[str, tuple[Declaration, str]],
    declared: Declaration,
    where: str,
    faults: list[SettingsError],
) -> None:
    """Add a member, unless another one has the same key."""
    member_id = declared.member_id or declared.address
    name = member_id.strip("/").replace("/", "-")
    key = make_key(declared.key_pattern, declared.service, name, declared.prefix)
    if key in found:
        first = found[key][1]
        faults.append(SettingsError(f"id: {member_id} is taken by {first}", where=where))
    else:
        found[key] = (declared, where)


def _place(file: _File, table: tuple[str, int], key: str = "") -> str:
    lines = file.lines.get(table, {})
    number = lines.get(key) or lines.get("", 0)
    return f"{file.path}:{number}" if number else file.path
