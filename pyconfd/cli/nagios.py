"""
What monitoring plugins say: one line with a word for the state, and an exit status for each. Pure.

https://nagios-plugins.org/doc/guidelines.html; Icinga, Naemon, Sensu and others read the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
#: Kinds of trouble (status/summary.py) in which something waits; in all others something is wrong.
_WAITING = frozenset(("held", "left out", "owed", "starting", "undeclared"))


def plugin_line(status: int, text: str, *figures: str) -> str:
    """`PYCONFD OK - text | figures`, on one line. figures: as made by `figure`."""
    words = " ".join(text.replace("|", "/").split())
    tail = f" | {' '.join(figures)}" if figures else ""
    return f"PYCONFD {_WORDS[status]} - {words}{tail}\n"


def figure(
    name: str,
    value: float,
    unit: str = "",
    *,
    warning: float | None = None,
    critical: float | None = None,
    most: float | None = None,
) -> str:
    """`name=value[unit];warning;critical;least;most`, without what is not known at the end."""
    numbers = ["" if limit is None else f"{limit:g}" for limit in (warning, critical, 0, most)]
    tail = ";".join(("", *numbers)).rstrip(";")
    if warning is None and critical is None and most is None:
        tail = ""
    shown = f"{value:.3f}" if unit == "s" else f"{value:g}"
    return f"{name}={shown}{unit}{tail}"


def daemon_line(picture: Mapping[str, Any]) -> tuple[int, str]:
    """The state of a daemon. picture: as made by status/report.py."""
    kinds = set(picture["kind"].split(",")) - {"ok"}
    status = OK
    if kinds:
        status = WARNING if kinds <= _WAITING else CRITICAL
    bad = sum(one["trouble"] is not None for one in picture["resources"])
    owed = sum(one["owed"] is not None for one in picture["services"])
    lost = picture["source"]["lost"]
    figures = [
        figure("resources", len(picture["resources"])),
        figure("bad", bad),
        figure("owed", owed),
        figure("lost", lost["for_s"] if lost else 0, "s"),
    ]
    return status, plugin_line(status, picture["line"], *figures)
