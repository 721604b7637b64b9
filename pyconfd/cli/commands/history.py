"""
`pyconfd history`: lists the versions of a resource that went live.

Exit status: 0 shown; 1 there is none; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.listing import Printout, form_of, form_options, show
from pyconfd.cli.main import DONE
from pyconfd.cli.terminal import Terminal
from pyconfd.errors import StateError

HISTORY = "History"
HISTORY_OPTIONS = form_options(HISTORY)
#: So many are in the table; the other forms have all.
SHOWN = 20
_COLUMNS = ("at", "revision", "gated", "result", "name", "dest", "keys", "more")

_HELP = """\
usage: pyconfd history RESOURCE|DESTINATION [-o FORM] [OPTIONS]

Shows the versions that went live on this node: when, at which revision of the store, which keys
made the difference, and what became of them. pyconfd diff RESOURCE --from N --to M shows the
difference, as long as etcd has those revisions.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Show; returns the exit status. Raises StateError when nothing is known."""
    query = read_query(argv, environ, _HELP, HISTORY_OPTIONS, words=1)
    if query is None:
        return DONE
    form = form_of(query.flags)
    from pyconfd.daemon.version_log import VersionLog
    from pyconfd.system.state_format import check_folder

    folder = query.settings.state_folder
    check_folder(folder)
    word = query.words[0]
    names = {word, os.path.abspath(word)}
    found = [
        one
        for one in VersionLog(folder).read()
        if one.get("name") in names
        or one.get("dest") in names
        or str(one.get("name")).startswith(f"{word}[")
    ]
    if not found:
        hint = "pyconfd status lists resources; versions of before this release are not known"
        raise StateError("no version went live here", where=word, hint=hint)
    paint = Terminal(sys.stdout, environ)
    head = ("WHEN", "REVISION", "RESULT", "KEYS")
    printout = Printout(found, found, _COLUMNS)
    show(form, printout, lambda: paint.table([head, *map(_row, found[-SHOWN:])]))
    return DONE


def _row(one: Mapping[str, Any]) -> tuple[str, str, str, str]:
    from pyconfd.status.summary import utc

    revision = str(one.get("revision") or "-")
    if one.get("gated"):
        revision += f" (settings {one['gated']})"
    keys = " ".join(map(str, one.get("keys") or ())) or "-"
    if one.get("more"):
        keys += f" and {one['more']} more"
    return utc(float(one.get("at") or 0)), revision, str(one.get("result")), keys
