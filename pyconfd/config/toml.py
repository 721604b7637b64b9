"""
Reads TOML files and remembers the lines of their keys, so that every fault has a place.

Shell: reads files. The caller knows the meaning of the keys.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Any, NamedTuple

import tomli

from pyconfd.errors import ConfigError

# A configuration larger than this is a mistaken file name (a log, a device), not a configuration.
MAX_BYTES = 4 * 2**20

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]#]+?)\s*\]")
_KEY = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([\w-]+))\s*=""")
_FENCE = re.compile(r'"""|\'\'\'')
_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_LEADING_ZERO = re.compile(r"=\s*0\d")


class TomlFile(NamedTuple):
    """
    A file that was read.

    path: as the operator knows it.
    data: tables and keys as TOML has them.
    text: the whole file, for finding lines.
    """

    path: str
    data: dict[str, Any]
    text: str

    def lines(self) -> dict[tuple[str, int], dict[str, int]]:
        """
        The line of every `key =` by table: (name, index) -> key -> line. Lines count from 1; the
        index counts tables of one name from 0. The table's own line is under "", and keys before
        the first table are in ("", 0). Inline tables and dotted keys are not found.
        """
        table: dict[str, int] = {"": 1}
        found = {("", 0): table}
        counts: dict[str, int] = {}
        fence = ""
        for number, line in enumerate(self.text.splitlines(), start=1):
            inside, fence = fence, _fence_after(line, fence)
            if inside:
                continue
            if header := _HEADER.match(line):
                name = header[2]
                index = counts.get(name, 0)
                counts[name] = index + 1
                table = found[(name, index)] = {"": number}
            elif key := _KEY.match(line):
                table.setdefault(key[1] or key[2] or key[3], number)
        return found

    def lines_of(self, kind: str, name: str) -> dict[str, int]:
        """The lines of the table [kind.name], or those of the first table of its kind."""
        lines = self.lines()
        place = lines.get((f"{kind}.{name}", 0)) or lines.get((f'{kind}."{name}"', 0))
        return place or {"": self.line_of(kind)}

    def line_of(self, key: str) -> int:
        """The line of a key of the outermost table, or of the first table in it."""
        lines = self.lines()
        headers = (table[""] for (name, _), table in lines.items() if _first_of(name) == key)
        return lines[("", 0)].get(key) or next(headers, 0)


def _first_of(header: str) -> str:
    """`group` of `group.web`."""
    return header.partition(".")[0].strip()


def _fence_after(line: str, fence: str) -> str:
    """The delimiter of the multi-line string that is open after this line; "" for none."""
    for mark in _FENCE.findall(line):
        if not fence:
            fence = mark
        elif mark == fence:
            fence = ""
    return fence


def read_toml(path: str, error: type[ConfigError]) -> TomlFile:
    """
    Read one file. Raises `error` with the place when the file is missing, unreadable, a folder, a
    broken link, not UTF-8 or not valid TOML.
    """
    raw = _read(path, error)
    try:
        text = raw.decode("utf-8-sig")  # Windows editors put a byte order mark
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise error(
            f"byte 0x{raw[fault.start]:02x} is not UTF-8",
            where=f"{path}:{line}",
            hint="save the file as UTF-8",
        ) from fault
    try:
        data: dict[str, Any] = tomli.loads(text)
    except tomli.TOMLDecodeError as fault:
        raise _malformed(path, text, str(fault), error) from fault
    except RecursionError as fault:
        raise error("nested too deeply", where=path) from fault
    return TomlFile(path, data, text)


def _read(path: str, error: type[ConfigError]) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO must not hang before we can see that it is one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as fault:
        if os.path.islink(path):
            target = os.readlink(path)
            raise error(f"is a link to {target}, which does not exist", where=path) from fault
        raise error("does not exist", where=path) from fault
    except OSError as fault:
        raise error(f"cannot be read: {fault.strerror}", where=path) from fault
    try:
        if wrong := _not_a_configuration(os.fstat(descriptor)):
            raise error(wrong, where=path)
        with open(descriptor, "rb", buffering=0, closefd=False) as stream:
            return stream.readall()
    except OSError as fault:
        raise error(f"cannot be read: {fault.strerror}", where=path) from fault
    finally:
        os.close(descriptor)


def _not_a_configuration(facts: os.stat_result) -> str:
    """Why an object of this kind and size cannot be a configuration file; "" when it can."""
    if stat.S_ISDIR(facts.st_mode):
        return "is a folder, not a file"
    if not stat.S_ISREG(facts.st_mode):
        return "is not a regular file"
    return f"is larger than {MAX_BYTES} bytes" if facts.st_size > MAX_BYTES else ""


def _malformed(path: str, text: str, message: str, error: type[ConfigError]) -> ConfigError:
    found = _AT.fullmatch(message)
    lines = text.splitlines()
    number = int(found[2]) if found and found[2] else len(lines)
    column = f", column {found[3]}" if found and found[3] else ""
    hint = ""
    if 0 < number <= len(lines) and _LEADING_ZERO.search(lines[number - 1]):
        hint = 'a number cannot begin with 0; write it in quotes: "0644"'
    what = found[1] if found else message
    if what == "Cannot overwrite a value":
        what = "a key is given twice"
    return error(f"is not valid TOML: {what}{column}", where=f"{path}:{number}", hint=hint)
