"""
The output of monitoring plugins: one line that begins with the state, and an exit status. Pure.

https://nagios-plugins.org/doc/guidelines.html; Icinga, Naemon, Sensu and others read the same.
"""

from __future__ import annotations

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


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
    """`name=value[unit];warning;critical;least;most`, without unknown parts at the end."""
    numbers = ["" if limit is None else f"{limit:g}" for limit in (warning, critical, 0, most)]
    tail = ";".join(("", *numbers)).rstrip(";")
    if warning is None and critical is None and most is None:
        tail = ""
    shown = f"{value:.3f}" if unit == "s" else f"{value:g}"
    return f"{name}={shown}{unit}{tail}"
