"""
Resource files of confd and of its fork, read as each of them reads them. Pure.

The only place that knows their format. The result is a file in pyconfd's form, with a note for
each thing that confd accepts but that should be corrected. Sources: confd's resource.go, and the
cases in tests/e2e/test_confd_cases.py, which were run by the real programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pyconfd.config.options import did_you_mean
from pyconfd.config.resource_table import KEYS
from pyconfd.config.toml import TomlFile
from pyconfd.errors import ConfigError, ResourceError
from pyconfd.model.resources import Origin

_CLASSIC = "confd"
#: Of a resource of the fork, where an empty text is none.
_DURATIONS = ("check_cmd_timeout", "reload_cmd_timeout", "min_reload_interval", "debounce")
#: Keys of the fork that classic confd does not have, and that would change what it does.
_IGNORED = ("owner", "group", "output_format")
_TABLES = ("template", "group", "service")
_OCTAL = re.compile(r"0[oO]?_?([0-7_]+)")
_DECIMAL = re.compile(r"[1-7][0-7]{2}")
_PATTERN = re.compile(r"[*?]|\[[^\]]*\]")
_NO_LIMIT = re.compile(r"0+(\.0*)?[a-zµ]*")


class ConfdFile:
    """
    One file of a tree of confd, in pyconfd's form.

    data: its tables with our keys.
    faults: of the whole file; then nothing in it is used.
    notes: what was read as confd does, but should be corrected.
    """

    def __init__(self, file: TomlFile, compat: str, *, global_prefix: bool) -> None:
        """global_prefix: whether a prefix was given for all resources."""
        self.faults: list[ConfigError] = []
        self.notes: list[ConfigError] = []
        self._file = file
        self._compat = compat
        self._drops_prefix = global_prefix and compat == _CLASSIC
        self._lines = {
            (name.lower(), index): {key.lower(): number for key, number in lines.items()}
            for (name, index), lines in file.lines().items()
        }
        self.data = self._tables(file.data)

    def lines(self) -> dict[tuple[str, int], dict[str, int]]:
        """Like TomlFile.lines, with names and keys in lower case."""
        return self._lines

    def _note(self, what: str, hint: str = "", *, line: int = 0) -> None:
        where = str(Origin(self._file.path, line))
        self.notes.append(ResourceError(what, where=where, hint=hint))

    def _tables(self, data: Mapping[str, Any]) -> dict[str, Any]:
        taken: dict[str, Any] = {}
        for key, value in data.items():
            name = key.lower()
            if name == "template":
                taken[name] = self._templates(value)
            elif name in _TABLES and self._is_ours(value):
                taken[name] = value
            elif name == "backend" and _names_backend(value):
                self._backend(key)
            elif name != "backend":
                what = f"unknown key or table: {key}; it is ignored, as by confd"
                self._note(what, line=self._file.line_of(key))
        return taken

    def _is_ours(self, value: object) -> bool:
        return isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())

    def _backend(self, key: str) -> None:
        what = (
            "a [backend] table: this resource has a store of its own, and pyconfd has one for all"
        )
        hint = "keep its keys in the store of --backend, or run a second pyconfd for this resource"
        where = str(Origin(self._file.path, self._file.line_of(key)))
        self.faults.append(ResourceError(what, where=where, hint=hint))

    def _templates(self, value: object) -> object:
        if isinstance(value, list):
            return [self._template(table, index) for index, table in enumerate(value)]
        return self._template(value, 0)

    def _template(self, table: object, index: int) -> object:
        """A [template] table; anything else is left to the reader of all tables."""
        if not isinstance(table, dict):
            return table
        lines = self._lines.get(("template", index), {"": 0})
        taken = self._known(table, lines)
        for name in _DURATIONS:
            if isinstance(text := taken.get(name), str) and _NO_LIMIT.fullmatch(
                text.strip() or "0"
            ):
                del taken[name]
        self._keys(taken, lines)
        self._mode(taken, lines)
        for number, name in (("uid", "owner"), ("gid", "group")):
            if taken.get(number) == -1:
                del taken[number]
            elif number in taken:
                taken.pop(name, None)  # as in the fork, the number counts
        if isinstance(src := taken.get("src"), str):
            taken["src"] = src.lstrip("/")
        if self._drops_prefix:
            taken.pop("prefix", None)
        self._commands(taken, lines)
        return taken

    def _known(self, table: Mapping[str, Any], lines: Mapping[str, int]) -> dict[str, Any]:
        """The known keys, in lower case; of two spellings the exact one wins."""
        taken: dict[str, Any] = {}
        known = (*KEYS, "output_format")
        for key, value in sorted(table.items(), key=lambda one: one[0] in known):
            name = key.lower()
            if name not in known:
                hint = did_you_mean(name, known)
                what = f"unknown key: {key}; it is ignored, as by confd"
                self._note(what, hint, line=lines.get(name, lines[""]))
            elif name in _IGNORED and self._compat == _CLASSIC:
                what = f"{key} is ignored, as by classic confd"
                hint = "--compat confd-fork takes it" + "; uid and gid are taken by both" * (
                    name != "output_format"
                )
                self._note(what, hint, line=lines.get(name, lines[""]))
            else:
                taken[name] = value
        return taken

    def _keys(self, taken: dict[str, Any], lines: Mapping[str, int]) -> None:
        line = lines.get("keys", lines[""])
        missing = "keys" not in taken
        keys = taken.setdefault("keys", [])
        if missing:
            what = "keys is missing: the template sees no key and nothing is watched, as in confd"
            self._note(what, 'write keys = ["/..."], or keys = [] if it reads none', line=line)
        if not isinstance(keys, list):
            return
        if "" in keys:
            what = "keys holds an empty path: it stands for everything below the prefix"
            self._note(what, 'write "/"', line=line)
        for key in keys:
            if isinstance(key, str) and _PATTERN.search(key):
                what = f"keys holds a pattern: {key}; confd takes it for a name, which no key has"
                self._note(what, "a path already covers all keys below it", line=line)
        taken["keys"] = [
            key or "/" for key in keys if not (isinstance(key, str) and _PATTERN.search(key))
        ]

    def _mode(self, taken: dict[str, Any], lines: Mapping[str, int]) -> None:
        """
        Like Go's ParseUint with base 0, except that "644" is octal; confd's reading of it is a
        defect.
        """
        raw, line = taken.get("mode"), lines.get("mode", lines[""])
        if not isinstance(raw, str):
            return
        if _DECIMAL.fullmatch(raw):
            made = int(raw) & 0o777
            taken["mode"] = f"0{raw}"
            what = f'mode = "{raw}" is taken as octal, 0{raw}; confd reads it as a decimal number'
            self._note(f"{what} and makes {made:04o}", f'write mode = "0{raw}"', line=line)
            return
        bits = _go_number(raw)
        if bits is None:
            return  # a fault, as in confd
        taken["mode"] = f"{bits & 0o777:04o}"
        if bits > 0o777:
            what = f'mode = "{raw}": setuid, setgid and sticky are left out, as by confd'
            self._note(what, f'write mode = "{bits & 0o777:04o}"', line=line)

    def _commands(self, taken: Mapping[str, Any], lines: Mapping[str, int]) -> None:
        command = taken.get("reload_cmd")
        if self._compat == _CLASSIC and isinstance(command, str) and "{{" in command:
            what = "reload_cmd holds {{: it is run as it stands, as by classic confd"
            hint = "--compat confd-fork puts the paths in"
            self._note(what, hint, line=lines.get("reload_cmd", lines[""]))


def _go_number(text: str) -> int | None:
    """A number in Go's notation: 0644, 0o644, 0x1a4, 420; None for any other text."""
    if octal := _OCTAL.fullmatch(text):
        return int(octal[1].replace("_", "") or "0", 8)
    try:
        return int(text, 0) if text[:1].isdigit() else None
    except ValueError:
        return None


def _names_backend(value: object) -> bool:
    """Whether a [backend] table names one, so that the fork would use it."""
    if not isinstance(value, dict):
        return False
    names: Iterable[object] = (one for key, one in value.items() if key.lower() == "backend")
    return any(names)
