"""Resource files and settings of confd, written as pyconfd's own. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyconfd.config.confd.options import FOREIGN, foreign_key
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import squash

#: Settings that mean the old tree.
_LEFT_OUT = ("confdir", "compat")


def toml_of(tables: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """
    The text of a TOML file of tables: [name], [[name]] for a list of them; keys outside of tables
    come first.

    comments: lines for its top.
    """
    lines = [*comments]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in tables.items() if _plain(value)]
    for name, value in tables.items():
        if _plain(value):
            continue
        for table in value if isinstance(value, list) else [value]:
            header = f"[[{_key(name)}]]" if isinstance(value, list) else f"[{_key(name)}]"
            lines += [*([""] if lines else []), header, *_pairs(table)]
    return "\n".join(lines) + "\n"


def comments_of(text: str) -> list[str]:
    """The lines of a TOML file that are comments."""
    return [line for line in text.splitlines() if line.startswith("#")]


def settings_of(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """pyconfd.toml for a confd.toml, and the keys that must be converted by hand."""
    spelt = {
        squash(name): option
        for option in OPTIONS
        if option.in_file
        for name in (option.name, *option.aliases)
    }
    made: dict[str, Any] = {}
    by_hand: list[str] = []
    for key, value in data.items():
        option = spelt.get(squash(key))
        if option is not None:
            if option.name not in _LEFT_OUT and value not in ("", []):
                made[option.name.replace("-", "_")] = value
        elif value and not FOREIGN.get(foreign_key(key), FOREIGN["srv-record"]).taken:
            by_hand.append(key)
    return made, by_hand


def _plain(value: object) -> bool:
    if isinstance(value, list):
        return not any(isinstance(one, dict) for one in value)
    return not isinstance(value, dict)


def _pairs(table: Mapping[str, Any]) -> Iterable[str]:
    return (f"{_key(key)} = {_value(value)}" for key, value in table.items())


def _key(key: str) -> str:
    plain = key.replace("-", "").replace("_", "").replace(".", "")
    return key if plain.isalnum() and plain.isascii() else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(_pairs(value))} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return _text(value)
    return json.dumps(value) if isinstance(value, (bool, int, float)) else str(value)


def _text(text: str) -> str:
    """A string; a literal one where that saves escapes."""
    escaped = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    if "\\" in escaped and "'" not in text and text.isprintable():
        return f"'{text}'"
    return escaped
