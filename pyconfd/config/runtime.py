"""runtime and adopt_runtime: the changes that a service takes while it runs, without a reload."""

from __future__ import annotations

import os
import re

from pyconfd.config.options import did_you_mean
from pyconfd.config.table import Table
from pyconfd.model.resources import Runtime

RUNTIME_KEYS = ("runtime", "adopt_runtime")

_URL = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?\Z")
#: The daemons that can be changed so (pipeline/runtime), and what says where each is.
_PLACE = {"haproxy": "socket", "apache": "at"}
_HINTS = {
    "haproxy": 'write runtime = { by = "haproxy", socket = "/run/haproxy-master.sock" }',
    "apache": 'write runtime = { by = "apache", at = "http://127.0.0.1/balancer-manager" }',
}
_KEYS = ("by", "socket", "at")


def read_runtime(table: Table) -> Runtime | None:
    """The runtime of a table; None when every change needs a reload."""
    adopt = table.flag("adopt_runtime")
    if not table.has("runtime"):
        if table.has("adopt_runtime"):
            hint = _HINTS["haproxy"]
            table.fault("adopt_runtime", "adopt_runtime is of use with runtime only", hint)
        return None
    raw = table.values.get("runtime")
    if not isinstance(raw, dict):
        table.fault("runtime", "runtime is not a table", _HINTS["haproxy"])
        return None
    by = raw.get("by", "")
    if not isinstance(by, str) or by not in _PLACE:
        hint = did_you_mean(str(by), _PLACE) or f"there are {', '.join(_PLACE)}"
        what = f"runtime: by {by!r} is not known" if by else "runtime: by is missing"
        table.fault("runtime", what, hint)
        return None
    for key in raw:
        if key not in ("by", _PLACE[by]):
            what = f"runtime: {key} is of no use by {by}" if key in _KEYS else ""
            what = what or f"runtime: unknown key: {key}"
            table.fault("runtime", what, did_you_mean(key, _KEYS) or _HINTS[by])
    place = raw.get(_PLACE[by], "")
    if not isinstance(place, str):
        table.fault("runtime", f"runtime: {_PLACE[by]} is not a text", _HINTS[by])
        return None
    if by == "apache":
        _url(table, place)
        return Runtime(by=by, at=place, adopt=adopt)
    _absolute(table, place)
    return Runtime(by=by, socket=place, adopt=adopt)


def _absolute(table: Table, socket: str) -> None:
    if not os.path.isabs(socket):
        what = f"runtime: socket is not an absolute path: {socket}"
        hint = "it is the socket of the master (haproxy -S), or an admin socket of a worker"
        table.fault("runtime", what if socket else "runtime: socket is missing", hint)


def _url(table: Table, at: str) -> None:
    if not _URL.match(at):
        what = f"runtime: at is not a URL: {at}" if at else "runtime: at is missing"
        table.fault("runtime", what, "it is the address of the balancer manager")
