"""runtime and adopt_runtime: which changes a service takes while it runs, without a reload."""

from __future__ import annotations

import os

from pyconfd.config.options import did_you_mean
from pyconfd.config.table import Table
from pyconfd.model.resources import Runtime

RUNTIME_KEYS = ("runtime", "adopt_runtime")

#: The daemons that can be changed so (pipeline/runtime).
_DAEMONS = ("haproxy",)
_PLACES = ("by", "socket")
_HINT = 'write runtime = { by = "haproxy", socket = "/run/haproxy-master.sock" }'


def read_runtime(table: Table) -> Runtime | None:
    """The runtime of a table; None when every change is a reload."""
    adopt = table.flag("adopt_runtime")
    if not table.has("runtime"):
        if table.has("adopt_runtime"):
            table.fault("adopt_runtime", "adopt_runtime is of use with runtime only", _HINT)
        return None
    raw = table.values.get("runtime")
    if not isinstance(raw, dict):
        table.fault("runtime", "runtime is not a table", _HINT)
        return None
    for key in raw:
        if key not in _PLACES:
            table.fault("runtime", f"runtime: unknown key: {key}", did_you_mean(key, _PLACES))
    by, socket = raw.get("by", ""), raw.get("socket", "")
    if not isinstance(by, str) or not isinstance(socket, str):
        table.fault("runtime", "runtime: by and socket are texts", _HINT)
        return None
    if by not in _DAEMONS:
        what = f"runtime: by {by!r} is not known" if by else "runtime: by is missing"
        hint = did_you_mean(by, _DAEMONS) or f"there is {', '.join(_DAEMONS)}"
        table.fault("runtime", what, hint)
    if not os.path.isabs(socket):
        what = f"runtime: socket is not an absolute path: {socket}"
        hint = "it is the socket of the master (haproxy -S), or an admin socket of a worker"
        table.fault("runtime", what if socket else "runtime: socket is missing", hint)
    return Runtime(by=by, socket=socket, adopt=adopt)
