"""
`pyconfd status`: how a running daemon is, and the members of its etcd.

Exit status: 0 the daemon answered (with --store: a member did); 1 it did not; 2 wrong usage. With
--nagios those of monitoring plugins (cli/nagios.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyconfd.cli.daemon_query import DaemonQuery, read_query
from pyconfd.cli.main import DONE, FAILED
from pyconfd.cli.terminal import Terminal, printable, tone_of
from pyconfd.config.option_table import CONNECTION, OPTIONS
from pyconfd.config.options import Option, from_environment
from pyconfd.config.settings import Settings
from pyconfd.errors import PyconfdError, SettingsError, SourceError, SourceUnavailable
from pyconfd.status.summary import span

if TYPE_CHECKING:
    from pyconfd.backends.base import StoreStatus

STATUS = "Status"
STATUS_OPTIONS = (
    Option("json", "flag", False, "as JSON", STATUS, in_file=False),
    Option("store", "flag", False, "only the members of etcd; no daemon is needed", STATUS,
           in_file=False),
    Option("nagios", "flag", False, "one line for monitoring, with its exit statuses", STATUS,
           in_file=False),
)  # fmt: skip
#: The members are asked for so long; a store that is away must not hold up the answer.
STORE_S = 3.0

_HELP = """\
usage: pyconfd status [--json] [OPTIONS]
       pyconfd status --store [--json] [OPTIONS]
       pyconfd status --nagios [OPTIONS]

Shows how the daemon of this confdir is: first in one line what is wrong and what is still fine,
then its store, its services and every destination. If etcd answers, its members too: version,
leader, revision, size and alarms. With --nagios, the first line alone as a monitoring plugin says
it: 0 OK, 1 WARNING (held back, or a reload owed), 2 CRITICAL (refused, failed, or the store is
away), 3 UNKNOWN (no daemon runs there).
"""

Plain = Mapping[str, Any]


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Ask and show; returns the exit status. Raises StateError when no daemon runs."""
    return _plugin(argv, environ) if _for_monitoring(argv, environ) else _show(argv, environ)


def _for_monitoring(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Known before the rest is read: wrong options, too, are a plugin's line then."""
    if not {"--nagios", "-nagios"}.isdisjoint(argv):
        return True
    nagios = [option for option in STATUS_OPTIONS if option.name == "nagios"]
    found = from_environment(nagios, environ, []).get("nagios")
    return bool(found and found.value) and "--no-nagios" not in argv


def _query(argv: Sequence[str], environ: Mapping[str, str]) -> DaemonQuery | None:
    backend = (option for option in OPTIONS if option.name == "backend")
    return read_query(argv, environ, _HELP, STATUS_OPTIONS, listed=(*backend, *CONNECTION))


def _plugin(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from pyconfd.cli import nagios
    from pyconfd.daemon.control_socket import ask

    try:
        query = _query(argv, environ)
        if query is None:
            return DONE
        picture = ask(query.settings.state_folder, {"do": "status"})
    except PyconfdError as error:
        status, line = nagios.UNKNOWN, nagios.plugin_line(nagios.UNKNOWN, str(error))
    else:
        status, line = nagios.daemon_line(picture)
    sys.stdout.write(line)
    return status


def _show(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    query = _query(argv, environ)
    if query is None:
        return DONE
    as_json = query.flags["json"]
    paint = Terminal(sys.stdout, environ)
    if query.flags["store"]:
        return _store_alone(query.settings, environ, as_json, paint)
    from pyconfd.daemon.control_socket import ask

    picture = ask(query.settings.state_folder, {"do": "status"})
    members = _members_of(picture, query.settings, environ)
    if as_json:
        record = {**picture, "members": [asdict(member) for member in members]}
        sys.stdout.write(json.dumps(record, indent=2) + "\n")
        return DONE
    sys.stdout.write("\n".join([*page(picture, paint), *member_lines(members, paint)]) + "\n")
    return DONE


def _store_alone(
    settings: Settings, environ: Mapping[str, str], as_json: bool, paint: Terminal
) -> int:
    if not settings.backend.startswith("etcd"):
        raise SettingsError(f"the backend {settings.backend!r} has no members", where="--store")
    members = _members(settings, environ)
    if as_json:
        record = {"members": [asdict(member) for member in members]}
        sys.stdout.write(json.dumps(record, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(member_lines(members, paint)[1:]) + "\n")
    if any(not member.error for member in members):
        return DONE
    if not as_json:
        raise SourceUnavailable("no member of etcd answers", hint="see --node")
    return FAILED


def _members_of(
    picture: Plain, settings: Settings, environ: Mapping[str, str]
) -> Sequence[StoreStatus]:
    """The members of the daemon's own store: its nodes count where the command names none."""
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


def page(picture: Plain, paint: Terminal) -> list[str]:
    """The lines for people. picture: as made by status/report.py."""
    tone = {"ok": "good", "starting": "wait"}.get(picture["kind"], "bad")
    lines = [
        paint(printable(picture["line"]), tone),
        "",
        f"pyconfd {picture['version']}, process {picture['pid']}, since {picture['started_at']}, "
        f"{picture['confdir']}",
        _source_line(picture["source"], picture["mode"]),
        "",
        *paint.table(_service_rows(picture["services"]), state=1),
        "",
        *paint.table(_resource_rows(picture["resources"]), state=1),
    ]
    return [
        *lines,
        *_words(picture["resources"]),
        *_undeclared(picture.get("undeclared", ())),
        *_configuration(picture.get("configuration", {})),
    ]


def _configuration(found: Plain) -> list[str]:
    """Faults of conf.d and the templates, and what was edited and is not in use."""
    lines: list[str] = []
    if faults := found.get("faults"):
        what = "the former configuration runs" if found["former_runs"] else "left out"
        lines += ["", f"{what}; mend these and send SIGHUP:"]
        lines += [printable(fault) for fault in faults]
    if edited := found.get("edited_templates"):
        named = printable(", ".join(edited))
        lines += ["", f"edited since they were read, SIGHUP takes them: {named}"]
    return lines


def _undeclared(owed: Sequence[Plain]) -> list[str]:
    """Reloads that nobody is going to do, and what an operator can do about each."""
    from pyconfd.apply.orphaned_debts import shortened

    lines = []
    for one in owed:
        dests = shortened(one["dests"])
        lines += ["", printable(f"a reload is owed for {dests}: {one['service']}")]
        lines.append(
            "no resource has this command any more, so it is not run: declare it again, or"
        )
        name = next(iter(one["dests"]), one["service"])
        lines.append(printable(f"tell the service by hand, then: pyconfd release {name}"))
    return lines


def _source_line(source: Plain, mode: str) -> str:
    below = ", ".join(source["watched"][:5]) or "no keys"
    more = len(source["watched"]) - 5
    text = f"store {source['name']}, {mode}: {below}" + (f" and {more} more" if more > 0 else "")
    if source["lost"]:
        text += f", lost for {span(source['lost']['for_s'])}"
    elif not source["listed"]:
        text += ", not read yet"
    return text + (f", revision {source['revision']}" if source["revision"] else "")


def _service_rows(services: Sequence[Plain]) -> list[Sequence[str]]:
    """One row for each service that is told of its files, or has work."""
    rows: list[Sequence[str]] = [("SERVICE", "STATE", "FILES", "LAST RELOAD")]
    for one in services:
        if one["reloads"] or one["running"] or one["waiting"]:
            count = str(len(one["resources"]))
            rows.append((printable(one["name"]), service_state(one), count, last_reload(one)))
    return rows if len(rows) > 1 else [*rows, ("-", "-", "-", "nothing is reloaded")]


def service_state(service: Plain) -> str:
    """`ok`, `running`, or what is owed."""
    owed = service["owed"]
    if owed and owed["failed_attempts"]:
        next_try = owed["next_try_s"]
        then = "being tried" if next_try is None else f"next try in {span(next_try)}"
        return f"owed for {span(owed['for_s'])}, {owed['failed_attempts']} failed, {then}"
    if service["running"]:
        return "running"
    if owed:
        return f"due in {span(owed['next_try_s'] or 0)}"
    return "waiting for quiet" if service["waiting"] else "ok"


def last_reload(service: Plain) -> str:
    """How the last reload ended."""
    last = service["last_reload"]
    if not last:
        return "none yet"
    if last["ok"]:
        return f"{last['at']}, {last['duration_s']:.2f} s"
    return printable(f"{last['at']}, {last['what']}")


def _resource_rows(resources: Sequence[Plain]) -> list[Sequence[str]]:
    """One row for each destination, those in trouble first."""
    rows: list[Sequence[str]] = [("RESOURCE", "STATE", "SINCE", "LIVE REVISION", "DESTINATION")]
    for one in _worst_first(resources):
        revision = str(one["live"]["revision"] or "-") if one["live"] else "-"
        cells = (one["name"], one["state"], one["since_at"] or "-", revision, one["dest"])
        rows.append(tuple(printable(cell) for cell in cells))
    return rows


def _worst_first(resources: Sequence[Plain]) -> list[Plain]:
    order = {"bad": 0, "wait": 1, "good": 2}
    return sorted(resources, key=lambda one: order.get(tone_of(one["state"]), 3))


def _words(resources: Sequence[Plain]) -> list[str]:
    """What is wrong with each destination that is in trouble."""
    lines = []
    for one in _worst_first(resources):
        if one["trouble"]:
            retry = f" (looked at again in {span(one['retry_s'])})" if one["retry_s"] else ""
            lines.append(printable(f"{one['name']}: {one['trouble']['what']}{retry}"))
    return ["", *lines] if lines else []


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1_000_000 else f"{size_bytes // 1000} kB"


def member_lines(members: Sequence[StoreStatus], paint: Terminal) -> list[str]:
    """The members of etcd as a table; nothing when there are none."""
    if not members:
        return []
    rows: list[Sequence[str]] = [
        ("ETCD", "STATE", "MEMBER", "VERSION", "LEADER", "REVISION", "SIZE")
    ]
    for one in members:
        if one.error:
            rows.append((one.endpoint, printable(one.error), "-", "-", "-", "-", "-"))
            continue
        state = f"alarm {', '.join(one.alarms)}" if one.alarms else "ok"
        leader = "leader" if one.leader else "-"
        rows.append(
            (
                one.endpoint,
                state,
                one.member,
                one.version,
                leader,
                str(one.revision),
                _size(one.db_size),
            )
        )
    return ["", *paint.table(rows, state=1)]
