"""
`pyconfd reload`: makes the daemon read conf.d and the templates again, and waits for the verdict.

Exit status: 0 they are in use; 1 they are not, or no daemon runs; 2 wrong usage.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.main import DONE, FAILED
from pyconfd.cli.usage_errors import say_error, style_asked

_HELP = """\
usage: pyconfd reload [OPTIONS]

Has the daemon of this confdir read conf.d and the templates again, as for SIGHUP: with a fault in
any of them the whole set is refused, and the previous one stays in use. Prints the verdict; exit
status 1 when it was refused. For ExecReload= of a unit, so that `systemctl reload` reports it.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Reload; returns the exit status. Raises StateError."""
    query = read_query(argv, environ, _HELP)
    if query is None:
        return DONE
    from pyconfd.daemon.control_socket import RELOAD_S, ask

    faults = ask(query.settings.state_folder, {"do": "reload"}, RELOAD_S + 1)["faults"]
    if not faults:
        sys.stdout.write("configuration read again\n")
        return DONE
    style = style_asked(argv, environ)
    for fault in faults:
        say_error(fault, style)
    say_error("the new configuration is not used; the running one is kept", style)
    return FAILED
