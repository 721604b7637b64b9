"""
`pyconfd release`: lets a held change through, or retries a version that its service has refused.

Exit status: 0 released; 1 nothing is held back, or no daemon runs to tell; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence

from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.main import DONE
from pyconfd.cli.operator import user
from pyconfd.errors import StateError

_HELP = """\
usage: pyconfd release RESOURCE|GROUP|DESTINATION [OPTIONS]

Lets the newest version through that a guard holds back, or retries one that its service has
refused, for the resource or its whole group. It is still checked like any other. This holds for one
change only: the next is guarded again. Where no daemon runs, the next run does it: type
`pyconfd --onetime` then.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Release; returns the exit status. Raises StateError."""
    query = read_query(argv, environ, _HELP, words=1)
    if query is None:
        return DONE
    from pyconfd.daemon.control_socket import ask

    word = query.words[0]
    by = user()
    question = {"do": "release", "name": word, "path": os.path.abspath(word), "by": by}
    folder = query.settings.state_folder
    try:
        released = ask(folder, question)["released"]
        later = ""
    except StateError:
        released = _release_here(folder, word, by)
        if not released:
            raise
        later = " (no pyconfd runs here: the next run, such as pyconfd --onetime, does it)"
    sys.stdout.write(f"released: {', '.join(released)}{later}\n")
    return DONE


def _release_here(folder: str, name: str, by: str) -> Sequence[str]:
    """
    The resources whose change the next run may make; none while pyconfd runs. Its log names the
    user.
    """
    from pyconfd.apply.guard_state import HeldNotes
    from pyconfd.apply.quarantine import Quarantine
    from pyconfd.apply.release_notes import ReleaseNote, ReleaseNotes
    from pyconfd.system.locks import InstanceLock
    from pyconfd.system.state_format import check_folder

    if not os.path.isdir(folder):
        return ()
    check_folder(folder)
    try:
        with InstanceLock(folder):
            quarantine = Quarantine(os.path.join(folder, "quarantine.json"))
            held = HeldNotes(os.path.join(folder, "keys.json")).release(name)
            released = (*quarantine.release(quarantine.declared(name)), *held)
            notes = [ReleaseNote(one, by, time.time()) for one in dict.fromkeys(released)]
            if notes:
                ReleaseNotes(folder).add(notes)
            return released
    except StateError:
        return ()
