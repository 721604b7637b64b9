"""Tables and colours for a terminal, and text of other programs without control characters."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import TextIO

from pyconfd.model.safe_text import escaped


class Tone(enum.Enum):
    """The tone of a text, as the code of a colour (ECMA-48, SGR)."""

    BAD = "31"
    WAITING = "33"
    GOOD = "32"
    HEADING = "1"
    NONE = ""


class Terminal:
    """Colour for a terminal; none elsewhere, and none with NO_COLOR (https://no-color.org)."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        plain = environ.get("NO_COLOR") or environ.get("TERM") == "dumb"
        self._on = stream.isatty() and not plain

    def __call__(self, text: str, tone: Tone) -> str:
        """The text in a tone."""
        return f"\x1b[{tone.value}m{text}\x1b[0m" if self._on and tone.value else text

    def table(
        self, rows: Sequence[Sequence[str]], tones: Sequence[Tone] = (), column: int = 1
    ) -> list[str]:
        """
        Lines with aligned columns; the first row is the heading. tones: optional, of the cells of
        this column, one for each row below the heading.
        """
        rows = [[escaped(cell) for cell in row] for row in rows]
        widths = [max(map(columns_of, column)) for column in zip(*rows, strict=True)]
        cells = [
            [_padded(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows
        ]
        for row, tone in zip(cells[1:], tones, strict=False):
            row[column] = self(row[column], tone)
        heading, *lines = ["  ".join(row).rstrip() for row in cells]
        return [self(heading, Tone.HEADING), *lines]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns_of(text))


def columns_of(text: str) -> int:
    """
    The number of columns of a printable text. unicodedata is enough: wcwidth's other rules are
    about joiners and controls, which are escaped before.
    """
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width, normalize

    return sum(
        0 if category(char) in ("Mn", "Me") else 2 if east_asian_width(char) in ("F", "W") else 1
        for char in normalize("NFC", text)
    )


def printable(text: str) -> str:
    """Text of other programs, without characters that would move the cursor."""
    return escaped(text, "\n")
