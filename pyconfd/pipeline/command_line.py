"""
The operator's command lines with the paths filled in. Pure.

confd puts the bare path where `{{ .src }}` stands. Here it is written so that the shell reads it
as one word, whatever it holds and whether or not the operator put quotes around the placeholder;
a path of harmless characters comes out bare, as with confd.
"""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"\{\{-?\s*\.?(src|dest)\s*-?\}\}")
#: What the shell takes literally outside of quotes; a tilde only within a name.
_HARMLESS = re.compile(r"(?:[\w@%+=:,./-]|(?<=[^:=])~)+", re.ASCII)


def fill(text: str, *, src: str, dest: str) -> str:
    """The command line with `{{ src }}`, `{{.src}}`, `{{ dest }}`, `{{.dest}}` replaced."""
    values = {"src": src, "dest": dest}
    parts: list[str] = []
    done, quote = 0, ""
    for found in _PLACEHOLDER.finditer(text):
        before = text[done : found.start()]
        quote = _quote_after(before, quote)
        parts += (before, _as_word(values[found[1]], quote))
        done = found.end()
    return "".join(parts) + text[done:]


def _as_word(path: str, quote: str) -> str:
    if _HARMLESS.fullmatch(path):
        return path
    if quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", path)
    inside = path.replace("'", "'\\''")
    return inside if quote == "'" else f"'{inside}'"


def _quote_after(text: str, quote: str) -> str:
    """Which quote is open after `text` when `quote` was open before: "", "'" or '"'."""
    escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return quote
