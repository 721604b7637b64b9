"""What every command does first: reads its options and words, and answers --help."""

from __future__ import annotations

from collections.abc import Sequence

from pyconfd.config.arguments import Arguments, read_arguments
from pyconfd.config.options import Option
from pyconfd.errors import SettingsError


def read_command(
    argv: Sequence[str],
    usage: str,
    options: Sequence[Option],
    *,
    listed: Sequence[Option] | None = None,
    foreign: bool = False,
) -> Arguments | None:
    """
    The command line with its faults; what follows `--` counts as words. None when help was
    requested
    and printed: the usage, and the options (or those `listed`).

    foreign: as in config/arguments.py.
    """
    arguments = read_arguments(argv, options, foreign=foreign)
    if arguments.help:
        from pyconfd.cli.help import show_help

        show_help(usage, options if listed is None else listed)
        return None
    arguments.words += arguments.rest or ()
    return arguments


def expect_words(
    arguments: Arguments, most: int, *, least: int = 0, missing: str = "", hint: str = "see --help"
) -> None:
    """Note a fault if there are fewer words than `least`, or more than `most`."""
    if len(arguments.words) < least:
        arguments.faults.append(SettingsError(missing, hint=hint))
    for word in arguments.words[most:]:
        arguments.faults.append(SettingsError("unexpected argument", where=word, hint=hint))
