"""The environment of commands: nothing in it could be a secret."""

from __future__ import annotations

from collections.abc import Collection, Mapping

#: What programs commonly need. systemctl --user needs the two of the session; the last is the
#: process that runs under pyconfd (daemon/supervised.py).
_ALLOWED = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "LANG", "LANGUAGE",
    "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "PYCONFD_CHILD_PID",
))  # fmt: skip


def child_environment(environ: Mapping[str, str], also: Collection[str] = ()) -> dict[str, str]:
    """The variables that a command gets. also: further names that the operator allows."""
    return {
        name: value
        for name, value in environ.items()
        if name in _ALLOWED or name.startswith("LC_") or name in also
    }
