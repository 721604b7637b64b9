"""
`pyconfd completion`: the script for a shell, and the words that it offers.

The scripts ask `pyconfd completion words` at each Tab, so that options, commands and names are
those of this release and this node. Exit status: 0 printed; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from pyconfd.cli.command import read_command
from pyconfd.cli.main import DONE
from pyconfd.config.layers import raise_faults
from pyconfd.config.options import Option
from pyconfd.errors import SettingsError

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "completion")
#: Shell -> its script in FOLDER.
SHELLS: Mapping[str, str] = {"bash": "pyconfd.bash", "zsh": "_pyconfd", "fish": "pyconfd.fish"}

COMPLETION_OPTIONS = (
    Option("line", "text", "", "with words: the command line as it was typed", "Completion", "TEXT",
           in_file=False),
)  # fmt: skip

_HELP = """\
usage: pyconfd completion bash|zsh|fish
       pyconfd completion words [--line TEXT] [-- WORD...]

Prints the script by which a shell completes commands, options, resources, services, recipes and
registered members by Tab. For this session: eval "$(pyconfd completion bash)", the same with zsh,
or pyconfd completion fish | source. docs/installation.md says where it goes for good. words: what
the scripts ask, a candidate and its description a line.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print; returns the exit status. Raises SettingsError."""
    arguments = read_command(argv, _HELP, COMPLETION_OPTIONS)
    if arguments is None:
        return DONE
    verb, *words = arguments.words or [""]
    if verb == "words" and not arguments.faults:
        from pyconfd.cli.completion import candidates, typed_words

        line = arguments.given.get("line")
        found = candidates(typed_words(str(line.value)) if line else words, environ)
        sys.stdout.write("".join(f"{one}\n" for one in found))
        return DONE
    if verb not in SHELLS or words:
        hint = f"pyconfd completion {'|'.join(SHELLS)}"
        arguments.faults.append(SettingsError("no shell is named", where=verb, hint=hint))
    raise_faults(arguments.faults)
    with open(os.path.join(FOLDER, SHELLS[verb]), encoding="utf-8") as stream:
        sys.stdout.write(stream.read())
    return DONE
