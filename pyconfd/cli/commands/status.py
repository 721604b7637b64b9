"""
`pyconfd status`: shows the state of a running daemon, and the members of its etcd.

With --watch the page is refreshed until Ctrl-C.

Exit status: 0 the daemon answered (with --store: a member did); 1 it did not; 2 wrong usage. With
--nagios those of monitoring plugins (cli/nagios.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyconfd.cli import nagios
from pyconfd.cli.daemon_query import DaemonQuery, read_query
from pyconfd.cli.listing import Form, Printout, form_of, form_options, show
from pyconfd.cli.main import DONE, FAILED
from pyconfd.cli.status_page import member_lines, page
from pyconfd.cli.terminal import Terminal
from pyconfd.config.option_table import CONNECTION, OPTIONS
from pyconfd.config.options import Option, from_environment
from pyconfd.config.settings import Settings
from pyconfd.errors import (
    PyconfdError,
    SettingsError,
    SourceError,
    SourceUnavailable,
    StateError,
)
from pyconfd.status.summary import DaemonState, FileState

if TYPE_CHECKING:
    from pyconfd.backends.base import StoreStatus

STATUS = "Status"
STATUS_OPTIONS = (
    *form_options(STATUS),
    Option("store", "flag", False, "only the members of etcd; no daemon is needed", STATUS,
           in_file=False),
    Option("nagios", "flag", False, "one line for monitoring, with its exit statuses", STATUS,
           in_file=False),
)  # fmt: skip
#: For the members of etcd: one that does not answer must not hold up the rest.
STORE_S = 3.0
#: Between two looks with --watch.
WATCH_S = 1.0
_CLEAR = "\x1b[H\x1b[2J"

_HELP = """\
usage: pyconfd status [-o FORM] [OPTIONS]
       pyconfd status --watch [-o FORM] [OPTIONS]
       pyconfd status --store [-o FORM] [OPTIONS]
       pyconfd status --nagios [OPTIONS]

Shows the state of the daemon of this confdir: first in one line what is wrong and what is still
fine, then its store, its services and every destination, and the members of etcd: version, leader,
revision, size and alarms. With --watch it is kept up to date, until Ctrl-C; where that is no
terminal, it is printed whenever its first line changes. With --nagios only that line, as monitoring
plugins print it, with their exit statuses: 0 OK, 1 WARNING (held back, or a reload is pending),
2 CRITICAL (refused, failed, or the store is unavailable), 3 UNKNOWN (no daemon runs there).
"""

Plain = Mapping[str, Any]
_COLUMNS = ("name", "group", "state", "since_at", "live.revision", "dest", "service")
_STORE_COLUMNS = (
    "endpoint", "error", "member", "version", "leader", "revision", "db_size", "alarms",
)  # fmt: skip
#: Something waits in these states; in all others but OK something is wrong.
_WAITING = frozenset(
    (FileState.HELD, FileState.LEFT_OUT, DaemonState.PENDING, DaemonState.STARTING,
     DaemonState.ORPHANED, DaemonState.HALTED, DaemonState.PINNED)
)  # fmt: skip


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Ask and show; returns the exit status. Raises StateError when no daemon runs."""
    return _plugin(argv, environ) if _for_monitoring(argv, environ) else _show(argv, environ)


def _for_monitoring(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """
    Whether --nagios is given; known before the rest is read, so that wrong options also give a
    plugin's line.
    """
    if not {"--nagios", "-nagios"}.isdisjoint(argv):
        return True
    nagios = [option for option in STATUS_OPTIONS if option.name == "nagios"]
    found = from_environment(nagios, environ, []).get("nagios")
    return bool(found and found.value) and "--no-nagios" not in argv


def _query(argv: Sequence[str], environ: Mapping[str, str]) -> DaemonQuery | None:
    backend = (option for option in OPTIONS if option.name == "backend")
    return read_query(argv, environ, _HELP, STATUS_OPTIONS, listed=(*backend, *CONNECTION))


def _plugin(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from pyconfd.daemon.control_socket import ask

    try:
        query = _query(argv, environ)
        if query is None:
            return DONE
        picture = ask(query.settings.state_folder, {"do": "status"})
    except PyconfdError as error:
        status, line = nagios.UNKNOWN, nagios.plugin_line(nagios.UNKNOWN, str(error))
    else:
        status, line = daemon_line(picture)
    sys.stdout.write(line)
    return status


def daemon_line(picture: Plain) -> tuple[int, str]:
    """The state of a daemon. picture: as made by status/report.py."""
    kinds = set(picture["kind"].split(",")) - {DaemonState.OK}
    status = nagios.OK
    if kinds:
        status = nagios.WARNING if kinds <= _WAITING else nagios.CRITICAL
    bad = sum(one["trouble"] is not None for one in picture["resources"])
    pending = sum(one["pending_reload"] is not None for one in picture["services"])
    lost = picture["source"]["lost"]
    figures = [
        nagios.figure("resources", len(picture["resources"])),
        nagios.figure("bad", bad),
        nagios.figure("pending", pending),
        nagios.figure("lost", lost["for_s"] if lost else 0, "s"),
    ]
    return status, nagios.plugin_line(status, picture["line"], *figures)


def _show(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    query = _query(argv, environ)
    if query is None:
        return DONE
    form = form_of(query.flags)
    paint = Terminal(sys.stdout, environ)
    if query.flags["store"]:
        return _store_alone(query.settings, environ, form, paint)
    if not {"--watch", "-watch"}.isdisjoint(argv):  # not what a config file says of the daemon
        return _follow(query.settings, environ, form, paint)
    _print(_picture(query.settings), query.settings, environ, form, paint)
    return DONE


def _picture(settings: Settings) -> Plain:
    from pyconfd.daemon.control_socket import ask

    return ask(settings.state_folder, {"do": "status"})


def _print(
    picture: Plain, settings: Settings, environ: Mapping[str, str], form: Form, paint: Terminal
) -> None:
    members = _members_of(picture, settings, environ)
    value = {**picture, "members": [asdict(member) for member in members]}
    printout = Printout(value, picture["resources"], _COLUMNS)
    show(form, printout, lambda: [*page(picture, paint), *member_lines(members, paint)])


def _follow(settings: Settings, environ: Mapping[str, str], form: Form, paint: Terminal) -> int:
    """
    Show the page until Ctrl-C. The daemon has to answer the first time; later it is waited for.
    """
    import time

    live = sys.stdout.isatty() and form is Form.TABLE
    picture: Plain | None = _picture(settings)
    trouble = shown = ""
    try:
        while True:
            line = picture["line"] if picture else trouble
            if live:
                sys.stdout.write(_CLEAR)
            if picture and (live or line != shown):
                _print(picture, settings, environ, form, paint)
            elif form is Form.TABLE and (live or line != shown):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
            shown = line
            time.sleep(WATCH_S)
            try:
                picture = _picture(settings)
            except StateError as error:
                picture, trouble = None, str(error)
    except KeyboardInterrupt:
        return DONE


def _store_alone(
    settings: Settings, environ: Mapping[str, str], form: Form, paint: Terminal
) -> int:
    if not settings.backend.startswith("etcd"):
        raise SettingsError(f"the backend {settings.backend!r} has no members", where="--store")
    members = _members(settings, environ)
    records = [asdict(member) for member in members]
    printout = Printout({"members": records}, records, _STORE_COLUMNS)
    show(form, printout, lambda: member_lines(members, paint)[1:])
    if any(not member.error for member in members):
        return DONE
    if form is Form.TABLE:
        raise SourceUnavailable("no member of etcd answers", hint="see --node")
    return FAILED


def _members_of(
    picture: Plain, settings: Settings, environ: Mapping[str, str]
) -> Sequence[StoreStatus]:
    """The members of the daemon's own store, unless the command names other nodes."""
    if not str(picture.get("backend", "")).startswith("etcd"):
        return ()
    nodes = settings.node or tuple(picture.get("nodes", ()))
    return _members(settings._replace(node=nodes), environ)


def _members(settings: Settings, environ: Mapping[str, str]) -> Sequence[StoreStatus]:
    from pyconfd.backends.base import StoreStatus
    from pyconfd.backends.etcd.status import etcd_status

    try:
        # half: it gives itself twice the time of one call for all of them
        return etcd_status(settings.source_options(environ), STORE_S / 2)
    except SourceError as error:
        return (StoreStatus(endpoint="-", error=error.what),)
