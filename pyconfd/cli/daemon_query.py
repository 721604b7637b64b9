"""The command lines of `pyconfd status`, `explain` and `release`: how they find the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyconfd.cli.command import expect_words, read_command
from pyconfd.config.layers import raise_faults, resolve_all
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import Option
from pyconfd.config.settings import Settings, settings_and_faults

#: What finds the daemon. Every other option of pyconfd is accepted too, so that the command line of
#: a unit can be used as it is.
FINDING = tuple(
    option for option in OPTIONS if option.name in ("confdir", "config-file", "state-dir")
)


@dataclass(frozen=True, slots=True)
class DaemonQuery:
    """
    A command line that was read.

    settings: where the daemon is, and how its store is reached.
    words: its arguments.
    flags: the options of the command itself, by field; from the environment too.
    """

    settings: Settings
    words: Sequence[str]
    flags: Mapping[str, Any]


def read_query(
    argv: Sequence[str],
    environ: Mapping[str, str],
    usage: str = "",
    own: Sequence[Option] = (),
    *,
    words: int = 0,
    least: int | None = None,
    listed: Sequence[Option] = (),
) -> DaemonQuery | None:
    """
    The query; None when --help was asked for and printed. own: options of the command itself.
    words: how many arguments it needs; least: if fewer will do. listed: further options for help.
    Raises SettingsError with every fault.
    """
    known = (*own, *OPTIONS)
    arguments = read_command(argv, usage, known, listed=(*own, *FINDING, *listed), foreign=True)
    if arguments is None:
        return None
    expect_words(
        arguments,
        words,
        least=words if least is None else least,
        missing="needs a resource, a group or a destination",
    )
    settings, faults = settings_and_faults(arguments, environ, known)
    flags, _ = resolve_all(own, arguments, environ, known)  # its faults are among those above
    raise_faults(faults)
    return DaemonQuery(settings, arguments.words, flags)
