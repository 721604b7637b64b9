"""The pages that --help prints, made from the tables of options."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple

from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import Option

_COLUMN = 30

USAGE = """\
usage: pyconfd [OPTIONS]
       pyconfd COMMAND [OPTIONS]

Keeps configuration files up to date with a live store: reads its keys, renders templates, checks
the result, swaps it in atomically and reloads the services that use it.
"""

_EXAMPLES = """\
Examples
  pyconfd --onetime --node 10.0.0.5:2379      bring every file up to date once
  pyconfd --watch --node 10.0.0.5:2379        follow the store
  pyconfd --noop --diff                       show what would change
  pyconfd check --values keys.yaml            try the templates without a store
"""

_REST = """\
Every option can also be given as an environment variable (in brackets) or, with "_" for "-",
as a key of the config file. The command line comes before the environment, that before the file.
Long options take one dash or two; flags can be switched off with --no-NAME.

Exit status
  0  done
  1  at least one resource failed; the others were done
  2  wrong usage or configuration; nothing was done
  3  --noop --detailed-exitcode, and something would change
"""


class HelpPage(NamedTuple):
    """The help of a command: its usage in words, and the options that it lists."""

    usage: str
    options: Sequence[Option]


#: Where pages are collected instead of being printed (cli/command_pages.py).
COLLECTED: ContextVar[list[HelpPage] | None] = ContextVar("COLLECTED", default=None)


def show_help(usage: str, options: Sequence[Option], text: str = "") -> None:
    """Print the page of a command. text: the whole page, when it is not made from its options."""
    if (pages := COLLECTED.get()) is not None:
        pages.append(HelpPage(usage, options))
    else:
        sys.stdout.write(text or "\n".join([usage, *grouped(options)]))


def main_page(commands: Mapping[str, str]) -> str:
    """The help of pyconfd itself. commands: name -> one line."""
    listed = "".join(f"  {name:<11}{line}\n" for name, line in commands.items())
    head = f"{USAGE}\nCommands (pyconfd COMMAND --help)\n{listed}"
    return "\n".join([head, *grouped(OPTIONS), _EXAMPLES, _REST])


def grouped(options: Sequence[Option]) -> list[str]:
    """One paragraph for each group of options, in order of first appearance."""
    groups: dict[str, list[Option]] = {}
    for option in options:
        groups.setdefault(option.group, []).append(option)
    return [f"{name}\n{_lines(members)}" for name, members in groups.items()]


def default_of(option: Option) -> str:
    """The default in words; "" for flags and for options that are not given by default."""
    if option.default_text:
        return option.default_text
    if option.kind in ("duration", "wait"):
        return "" if option.default is None else f"{option.default:g}"
    return str(option.default) if option.default else ""


def _lines(options: Iterable[Option]) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines: list[str] = []
    for option in options:
        left = f"  --{option.name}"
        if option.kind != "flag":
            word = "|".join(option.choices) if 0 < len(option.choices) < 4 else option.metavar
            left += f" {word or ('TIME' if option.kind != 'text' else 'WORD')}"
        default = default_of(option)
        note = f"{'default ' + default + '; ' if default else ''}{option.variable}"
        text = textwrap.wrap(f"{option.help} [{note}]", max(width - _COLUMN, 30))
        if len(left) > _COLUMN - 2:
            lines.append(left)
            left = ""
        lines.append(f"{left:<{_COLUMN}}{text[0]}")
        lines += [" " * _COLUMN + line for line in text[1:]]
    return "\n".join(lines) + "\n"
