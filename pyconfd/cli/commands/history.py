"""
`pyconfd history`: the versions of a resource that went live.

Exit status: 0 shown; 1 there is none; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.main import DONE
from pyconfd.cli.terminal import Terminal, print_json
from pyconfd.config.options import Option
from pyconfd.errors import StateError

HISTORY = "History"
HISTORY_OPTIONS = (
    Option("json", "flag", False, "as JSON", HISTORY, in_file=False),
)  # fmt: skip
#: So many are shown; --json shows all.
SHOWN = 20

_HELP = """\
usage: pyconfd history RESOURCE|DESTINATION [--json] [OPTIONS]

Shows the versions that went live on this node: when, at which revision of the store, which keys
made the difference, and what became of them. pyconfd diff RESOURCE --from N --to M shows the
difference, as long as etcd has those revisions.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Show; returns the exit status. Raises StateError when nothing is known."""
    query = read_query(argv, environ, _HELP, HISTORY_OPTIONS, words=1)
    if query is None:
        return DONE
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
    if query.flags["json"]:
        print_json(found)
    else:
        paint = Terminal(sys.stdout, environ)
        rows = [("WHEN", "REVISION", "RESULT", "KEYS"), *map(_row, found[-SHOWN:])]
        sys.stdout.write("\n".join(paint.table(rows)) + "\n")
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
