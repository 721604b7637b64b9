"""The faults of command lines: a path that a shell would read as code, and unknown placeholders."""

from __future__ import annotations

import re

from pyconfd.config.options import nearest
from pyconfd.config.table import Table
from pyconfd.model.command_line import VARIABLES, refusal
from pyconfd.model.shell_words import PLACEHOLDER

_BRACES = re.compile(
    r"\{\{-?(?P<body>.*?)(?:-?\}\}|$)|(?<![${])\{\s*\.?(?P<one>src|dest)\s*\}(?!\})", re.M
)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
#: Words that stand alone in Go templates, as docker and kubectl take them.
_GO_WORDS = frozenset(("end", "else", "break", "continue"))


def note_faults(table: Table, key: str, text: str) -> None:
    """Note a fault for each placeholder that is unknown, or stands where a path may become code."""
    _note_unknown(table, key, text)
    where = refusal(text)
    if where:
        what = f"{key} has a placeholder {where}, where its path may not stay one word"
        hint = (
            f"pass it as an argument of its own: sh -c 'check \"$1\"' sh {{{{ src }}}}, "
            f'or refer to "${VARIABLES["src"]}" or "${VARIABLES["dest"]}" within single quotes'
        )
        table.fault(key, what, hint)


def _note_unknown(table: Table, key: str, text: str) -> None:
    for found in _BRACES.finditer(PLACEHOLDER.sub("\0", text)):
        meant = _meant(found["body"] if found["one"] is None else found["one"])
        if meant is None:
            continue
        hint = (
            f"did you mean {{{{ {meant} }}}}?"
            if meant
            else ("there are {{ src }} and {{ dest }}; braces for another program are written {'{'")
        )
        table.fault(key, f"{key} has an unknown placeholder: {found[0].strip()}", hint)


def _meant(body: str) -> str | None:
    """
    The placeholder that was probably meant, "" when there is none; None when the braces are another
    program's template, as in `docker ps --format '{{.Names}}'`.
    """
    body = body.strip()
    first = _WORD.search(body)
    if near := nearest(first[0], VARIABLES, beginnings=False) if first else "":
        return near
    name = body.removeprefix(".")
    single = not name or (_WORD.fullmatch(name) and name not in _GO_WORDS)
    return "" if single and not (body.startswith(".") and name[:1].isupper()) else None
