"""
`pyconfd log-level`: sets what the running daemon logs, until it is restarted.

Exit status: 0 done; 1 no daemon runs; 2 wrong usage.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from pyconfd.cli.daemon_query import read_query
from pyconfd.cli.main import DONE
from pyconfd.config.option_table import LOG_LEVELS
from pyconfd.errors import SettingsError

_HELP = f"""\
usage: pyconfd log-level [LEVEL] [OPTIONS]

Sets the lowest level that the running daemon logs ({", ".join(LOG_LEVELS)}), until
it is restarted; without LEVEL, shows it.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Set or show; returns the exit status. Raises StateError, and SettingsError for a level."""
    query = read_query(argv, environ, _HELP, words=1, least=0)
    if query is None:
        return DONE
    level = query.words[0] if query.words else ""
    if level and level not in LOG_LEVELS:
        raise SettingsError("no such level", where=level, hint=", ".join(LOG_LEVELS))
    from pyconfd.daemon.control_socket import ask

    answer = ask(query.settings.state_folder, {"do": "log-level", "level": level})
    was = f" (was {answer['before']})" if level else ""
    sys.stdout.write(f"log level: {answer['level']}{was}\n")
    return DONE
