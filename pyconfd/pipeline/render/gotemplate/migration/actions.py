"""
Splits a Go template into texts and actions, with their trim markers. Pure.

The parser's tree has texts after trimming, but a conversion has to keep the layout of the source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyconfd.pipeline.render.gotemplate.language.lexer import SPACES

_ACTION = re.compile(
    r"""\{\{(?P<left>-(?=[ \t\r\n]))?
    (?P<inside>[ \t\r\n]*/\*.*?\*/
    |(?:"(?:\\.|[^"\\\n])*"|`[^`]*`|'(?:\\.|[^'\\\n])*'|(?!(?:[ \t\r\n]-)?\}\}).)*)
    (?P<right>[ \t\r\n]-)?\}\}""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class SourceAction:
    """
    One action or comment of the source.

    begin, end: its place in characters, delimiters included.
    inside: what stands between the delimiters.
    left, right: whether it trims.
    """

    begin: int
    end: int
    inside: str
    left: bool
    right: bool

    @property
    def word(self) -> str:
        """Its keyword, if it begins with one."""
        found = re.match(r"\s*([a-z]+)", self.inside)
        return found[1] if found else ""

    @property
    def comment(self) -> str | None:
        """The text of a comment; None if it is not one."""
        text = self.inside.strip()
        return text[2:-2] if text.startswith("/*") else None


def actions(source: str) -> list[SourceAction]:
    """The actions of a text that is a Go template, in order."""
    return [
        SourceAction(
            found.start(), found.end(), found["inside"], bool(found["left"]), bool(found["right"])
        )
        for found in _ACTION.finditer(source)
    ]


def trimmed(text: str, before: SourceAction | None, after: SourceAction | None) -> str:
    """The printed part of a text between two actions."""
    text = text.lstrip(SPACES) if before and before.right else text
    return text.rstrip(SPACES) if after and after.left else text
