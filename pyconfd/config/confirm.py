"""
confirm, confirm_cmd and confirm_timeout: what proves that a service took its new files.

A resource's setting applies to the whole service, which is reloaded once for all its resources.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from pyconfd.config.options import did_you_mean
from pyconfd.config.shell_commands import note_faults
from pyconfd.config.table import Table
from pyconfd.errors import ResourceError
from pyconfd.model.command_line import names_file
from pyconfd.model.resources import Confirm, Nginx, Resource

CONFIRM_KEYS = ("confirm", "confirm_cmd", "confirm_timeout")
_PLACES = ("by", "at", "log", "pid")
_NONE = ("", "", "", "")
_HINT = 'write confirm = { by = "...", at = "..." }'


def read_confirm(table: Table, nginx: Nginx | None, *, reloads: bool) -> Confirm | None:
    """
    The confirm of a table; None when the exit status of the reload command is enough.

    reloads: whether there is a reload command; if so, nginx checked in context is asked by default.
    """
    by, at, log, pid = _daemon(table, nginx, reloads)
    command = table.text("confirm_cmd").strip()
    note_faults(table, "confirm_cmd", command)
    timeout_s = None
    if table.has("confirm_timeout"):
        timeout_s = table.seconds("confirm_timeout", 0.0, above=0.0)
        if not (by or command) and "confirm" not in table.faulty:
            what = "confirm_timeout is of use with confirm or confirm_cmd only"
            table.fault("confirm_timeout", what)
    if not (by or command):
        return None
    implied = not table.has("confirm")
    return Confirm(
        by=by, at=at, log=log, pid=pid, command=command, timeout_s=timeout_s, implied=implied
    )


def disputes(resources: Iterable[Resource]) -> Iterator[tuple[Resource, Resource, ResourceError]]:
    """
    Pairs of resources of one service with different confirmations, with the fault of the second.
    The group compares its own members.
    """
    first_of: dict[str, Resource] = {}
    for one in resources:
        if one.reload is None or one.service.confirm is None:
            continue
        first = first_of.setdefault(one.service_name, one)
        if _proof(one) == _proof(first) or (one.group and one.group == first.group):
            continue
        called = "service" if one.service.name else "reload_cmd"
        what = f"reloads are confirmed otherwise at {first.origin}, for the same {called}"
        hint = f"write the same for all resources of one {called}; neither is done"
        yield first, one, ResourceError(what, where=str(one.origin), hint=hint)


def _proof(resource: Resource) -> tuple[object, ...]:
    """What is asked, with its placeholders filled in."""
    confirm = resource.service.confirm
    names_dest = confirm is not None and names_file(confirm.command)
    asked_nginx = resource.nginx if confirm and confirm.by and not confirm.at else None
    return (confirm, asked_nginx, resource.dest if names_dest else "")


def _daemon(table: Table, nginx: Nginx | None, reloads: bool) -> tuple[str, str, str, str]:
    """Which daemon is asked, where, its log and its pid file; "" for none."""
    raw = table.values.get("confirm", nginx is not None and reloads)
    if isinstance(raw, dict):
        return _by(table, raw)
    if not isinstance(raw, bool):
        table.fault("confirm", "confirm is neither true, false nor a table", _HINT)
        return _NONE
    if raw and nginx is None:
        if not table.faulty & {"check"}:
            what = 'confirm = true is of use with check = "nginx" only'
            table.fault("confirm", what, _HINT)
        return _NONE
    return ("nginx", "", "", "") if raw else _NONE


def _by(table: Table, raw: dict[str, object]) -> tuple[str, str, str, str]:
    from pyconfd.config.daemons import daemon_names, load_daemon

    place = {key: raw.get(key, "") for key in _PLACES}
    for key in raw:
        if key not in _PLACES:
            table.fault("confirm", f"confirm: unknown key: {key}", did_you_mean(key, _PLACES))
    by, at, log, pid = (value if isinstance(value, str) else "" for value in place.values())
    if (by, at, log, pid) != tuple(place.values()):
        table.fault("confirm", "confirm: by, at, log and pid are texts", _HINT)
        return _NONE
    names = daemon_names()
    if by not in names:
        hint = did_you_mean(by, names) or f"there are {', '.join(names)}"
        what = f"confirm: by {by!r} is not known" if by else "confirm: by is missing"
        table.fault("confirm", what, f"{hint}; for others there is confirm_cmd")
        return _NONE
    daemon = load_daemon(by)
    url = daemon.kind == "page"
    good = re.match(r"https?://[^/]", at) if url else os.path.isabs(at)
    if not good:
        what = f"confirm: at is not {'a URL' if url else 'an absolute path'}: {at}"
        table.fault("confirm", what if at else "confirm: at is missing", f"it is {daemon.at}")
    for name, path in (("log", log), ("pid", pid)):
        if path and not os.path.isabs(path):
            table.fault("confirm", f"confirm: {name} is not an absolute path: {path}")
    if pid and daemon.kind != "mark":
        table.fault("confirm", f"confirm: pid is of no use by {by}", "leave it out")
    return by, at, log, pid
