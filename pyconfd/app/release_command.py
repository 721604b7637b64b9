"""
`pyconfd release`: let a change through that a guard holds back, or a version try again that its
service has refused.

Exit status: 0 released; 1 no daemon runs, or nothing is held back; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from pyconfd.app.cli import DONE
from pyconfd.app.inquiry import FINDING, read_inquiry, say_help

_HELP = """\
usage: pyconfd release RESOURCE|GROUP|DESTINATION [OPTIONS]

Lets the newest version through that a guard holds back, or tries one again that its service has
refused, for the resource or its whole group. It is still checked like any other. Holds for this one
change: the next is guarded again.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Release; returns the exit status. Raises StateError."""
    inquiry = read_inquiry(argv, environ, (), words=1)
    if inquiry.arguments.help:
        say_help(_HELP, FINDING)
        return DONE
    from pyconfd.app.control import ask

    word = inquiry.words[0]
    question = {"do": "release", "name": word, "path": os.path.abspath(word)}
    answer = ask(inquiry.settings.state_folder, question)
    sys.stdout.write(f"released: {', '.join(answer['released'])}\n")
    return DONE
