"""Command lines of a table: those that would make code of a path are refused."""

from __future__ import annotations

from pyconfd.config.table import Table
from pyconfd.model.command_line import VARIABLES, refusal


def note_refusal(table: Table, key: str, text: str) -> None:
    """Note a fault when a placeholder of the command line stands where it is no single word."""
    where = refusal(text)
    if where:
        what = f"{key} has a placeholder {where}, where its path may not stay one word"
        hint = (
            f"pass it as an argument of its own: sh -c 'check \"$1\"' sh {{{{ src }}}}, "
            f'or refer to "${VARIABLES["src"]}" or "${VARIABLES["dest"]}" within single quotes'
        )
        table.fault(key, what, hint)
