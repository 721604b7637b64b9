"""What `pyconfd status`, `explain` and `release` share: finding the daemon, tables and colours."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from pyconfd.config.arguments import Arguments, read_arguments
from pyconfd.config.layers import raise_faults, resolve_all
from pyconfd.config.option_table import OPTIONS, REFUSED
from pyconfd.config.options import Option
from pyconfd.config.settings import Settings, settings_and_faults
from pyconfd.errors import SettingsError

#: What finds the daemon; every other option of pyconfd is taken too, so that the command line of
#: a unit can be used as it is.
FINDING = tuple(
    option for option in OPTIONS if option.name in ("confdir", "config-file", "state-dir")
)
_CODES = {"bad": "31", "wait": "33", "good": "32", "head": "1"}
_TONES = {
    "fine": "good",
    "ok": "good",
    "waiting": "wait",
    "starting": "wait",
    "held": "wait",
    "left out": "wait",
    "running": "wait",
    "due": "wait",
}


class DaemonQuery(NamedTuple):
    """
    A command line that was read. settings: where the daemon is, and how its store is reached.
    own: the options of the command itself, by field.
    """

    settings: Settings
    words: Sequence[str]
    arguments: Arguments
    own: Mapping[str, Any]

    def flag(self, name: str) -> bool:
        """Whether a flag of the command was given, as an option or in the environment."""
        return bool(self.own[name])


def read_inquiry(
    argv: Sequence[str], environ: Mapping[str, str], own: Sequence[Option], words: int
) -> DaemonQuery:
    """
    The inquiry. own: options of the command itself. words: how many it needs, neither more nor
    fewer. Raises SettingsError with every fault.
    """
    known = (*own, *OPTIONS)
    arguments = read_arguments(argv, known, REFUSED)
    found = [*arguments.words, *(arguments.rest or ())]
    if not arguments.help and len(found) != words:
        arguments.faults.append(_wrong_words(found, words))
    settings, faults = settings_and_faults(arguments, environ, known)
    values, _ = resolve_all(own, arguments, environ, known)  # its faults are among those above
    if not arguments.help:
        raise_faults(faults)
    return DaemonQuery(settings, found, arguments, values)


def _wrong_words(found: Sequence[str], words: int) -> SettingsError:
    if len(found) < words:
        return SettingsError("names no resource, group or destination", hint="see --help")
    return SettingsError("unexpected word", where=found[words], hint="see --help")


def say_help(page: str, options: Sequence[Option]) -> None:
    """The page of --help."""
    from pyconfd.cli.help import grouped

    sys.stdout.write("\n".join([page, *grouped(options)]))


class Terminal:
    """Colour for a terminal; none elsewhere, and none with NO_COLOR (https://no-color.org)."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
        self._on = stream.isatty() and not plain

    def __call__(self, text: str, tone: str) -> str:
        """The text in a tone: "bad", "wait", "good", "head"; "" for none."""
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m" if self._on and tone else text

    def table(self, rows: Sequence[Sequence[str]], state: int = -1) -> list[str]:
        """
        Lines with aligned columns; the first row is the heading. state: the column whose words
        give its colour.
        """
        widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
        lines = []
        for place, row in enumerate(rows):
            cells = [
                self(cell.ljust(width), tone_of(cell) if number == state and place else "")
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            text = "  ".join(cells).rstrip()
            lines.append(text if place else self(text, "head"))
        return lines


def tone_of(state: str) -> str:
    """The tone of a state: `fine` is good, what waits is between, everything else is bad."""
    if state in ("", "-"):
        return ""
    for word, tone in _TONES.items():
        if state == word or state.startswith(f"{word} "):
            return tone
    return "bad"


def printable(text: str) -> str:
    """The words of other programs, without what would move a terminal's cursor."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)
