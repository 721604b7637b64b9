"""
check = "nginx" and what goes with it: how nginx runs here, and how it is reloaded.

The facts about the command line are nginx's own (`nginx -h`): -c the main file, -p the prefix.
"""

from __future__ import annotations

import os

from pyconfd.config.options import did_you_mean
from pyconfd.config.table import Table
from pyconfd.model.resources import Nginx

_COMPANY = ("nginx_conf", "nginx_bin", "nginx_prefix")
#: nginx starts new workers at every reload; a stream of changes must not pile up old ones.
INTERVAL_S = 1.0


def read_nginx(table: Table) -> Nginx | None:
    """How nginx runs, for a table with check = "nginx"."""
    check = table.text("check")
    if not check:
        for key in _COMPANY:
            if table.has(key) and "check" not in table.faulty:
                table.fault(key, f'{key} is of use with check = "nginx" only')
        return None
    if check != "nginx":
        hint = did_you_mean(check, ["nginx"]) or "a command goes into check_cmd"
        table.fault("check", f"check {check!r} is not known", hint)
        return None
    usual = Nginx()
    return Nginx(
        conf=_path(table, "nginx_conf") or usual.conf,
        binary=_program(table) or usual.binary,
        prefix=_path(table, "nginx_prefix"),
    )


def usual_reload(nginx: Nginx) -> str:
    """The command line that reloads this nginx."""
    import shlex

    words = [nginx.binary, "-s", "reload"]
    if nginx.conf != Nginx().conf:
        words += ["-c", nginx.conf]
    if nginx.prefix:
        words += ["-p", nginx.prefix]
    return shlex.join(words)


def _path(table: Table, key: str) -> str:
    """An absolute path: a relative one would start at nginx's prefix, not at the current folder."""
    path = table.text(key)
    if path and not os.path.isabs(path):
        table.fault(key, f"{key} is not an absolute path: {path}")
    return path


def _program(table: Table) -> str:
    program = table.text("nginx_bin")
    if "/" in program and not os.path.isabs(program):
        what = f"nginx_bin is not an absolute path: {program}"
        table.fault("nginx_bin", what, "a name without / is found on PATH")
    return program
