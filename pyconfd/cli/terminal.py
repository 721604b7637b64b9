"""Tables and colours for a terminal, and text of other programs without control characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TextIO

from pyconfd.model.safe_text import escaped

_CODES = {"bad": "31", "wait": "33", "good": "32", "head": "1"}
_TONES = {
    "fine": "good",
    "ok": "good",
    "waiting": "wait",
    "starting": "wait",
    "held": "wait",
    "left out": "wait",
    "running": "wait",
    "due": "wait",
}


class Terminal:
    """Colour for a terminal; none elsewhere, and none with NO_COLOR (https://no-color.org)."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
        self._on = stream.isatty() and not plain

    def __call__(self, text: str, tone: str) -> str:
        """The text in a tone: "bad", "wait", "good", "head"; "" for none."""
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m" if self._on and tone else text

    def table(self, rows: Sequence[Sequence[str]], state: int = -1) -> list[str]:
        """
        Lines with aligned columns; the first row is the heading. state: the column whose words
        give its colour.
        """
        rows = [[escaped(cell) for cell in row] for row in rows]
        widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
        lines = []
        for place, row in enumerate(rows):
            cells = [
                self(cell.ljust(width), tone_of(cell) if number == state and place else "")
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            text = "  ".join(cells).rstrip()
            lines.append(text if place else self(text, "head"))
        return lines


def tone_of(state: str) -> str:
    """The tone of a state: `fine` is good, what waits is between, everything else is bad."""
    if state in ("", "-"):
        return ""
    for word, tone in _TONES.items():
        if state == word or state.startswith(f"{word} "):
            return tone
    return "bad"


def printable(text: str) -> str:
    """The words of other programs, without what would move a terminal's cursor."""
    return escaped(text, "\n")
