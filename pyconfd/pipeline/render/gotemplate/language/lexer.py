"""
The tokens of a Go template. Pure.

After text/template/parse/lex.go: what is a space, where trim markers and comments may stand and
what ends a word are as there. Texts come trimmed; comments come not at all.
"""

from __future__ import annotations

import enum
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from pyconfd.pipeline.render.gotemplate.errors import GoSyntaxError, Position

SPACES = " \t\r\n"


class Kind(enum.Enum):
    """What a token is; the value is what messages call it."""

    TEXT = "text"
    LEFT = "{{"
    RIGHT = "}}"
    SPACE = "space"
    ASSIGN = "="
    DECLARE = ":="
    PIPE = "|"
    OPEN = "("
    CLOSE = ")"
    DOT = "."
    FIELD = "field"
    VARIABLE = "variable"
    IDENTIFIER = "identifier"
    KEYWORD = "keyword"
    BOOL = "constant"
    NIL = "nil"
    STRING = "string"
    RAW_STRING = "raw string"
    CHAR_CONSTANT = "character constant"
    NUMBER = "number"
    CHAR = "character"
    END = "EOF"


KEYWORDS = frozenset(
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"]
)


@dataclass(frozen=True, slots=True)
class Token:
    """
    kind: what it is.
    text: as it stands in the template; trimmed where it is text.
    at: where it begins, counted in characters of the template.
    """

    kind: Kind
    text: str
    at: int

    def __str__(self) -> str:
        if self.kind is Kind.END:
            return "the end of the template"
        if self.kind is Kind.KEYWORD:
            return f"<{self.text}>"
        return f'"{self.text[:20]}"'


class LineIndex:
    """Line and column of each place in a text."""

    def __init__(self, source: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", source))]

    def line(self, at: int) -> int:
        """The line, 1-based."""
        return bisect_right(self._starts, at)

    def position(self, at: int) -> Position:
        """Line and column."""
        line = self.line(at)
        return Position(line, at - self._starts[line - 1] + 1)


_NUMBER = (
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
# One alternative a token; \w is what Go calls alphanumeric but for a few letters of number.
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<declare>:=)|(?P<assign>=)|(?P<pipe>\|)|(?P<open>\()|(?P<close>\))"
    r'|(?P<string>"(?:[^"\\\n]|\\[^\n])*")'
    r"|(?P<raw>`[^`]*`)"
    r"|(?P<char>'(?:[^'\\\n]|\\[^\n])*')"
    r"|(?P<variable>\$\w*)"
    r"|(?P<field>\.(?![0-9])\w+)"
    r"|(?P<dot>\.(?![0-9]))"
    rf"|(?P<number>(?=[+\-.0-9]){_NUMBER}(?:[+-]{_NUMBER})?)"
    r"|(?P<word>\w+)"
    r"|(?P<other>[!-~])"
)
_SIMPLE = {
    "space": Kind.SPACE,
    "declare": Kind.DECLARE,
    "assign": Kind.ASSIGN,
    "pipe": Kind.PIPE,
    "string": Kind.STRING,
    "raw": Kind.RAW_STRING,
    "char": Kind.CHAR_CONSTANT,
    "dot": Kind.DOT,
    "other": Kind.CHAR,
}
_OPENING = frozenset(f"-{space}" for space in SPACES)
_ENDS_A_WORD = frozenset(SPACES + ".,|:)(")
_UNTERMINATED = {
    '"': "unterminated quoted string",
    "`": "unterminated raw quoted string",
    "'": "unterminated character constant",
}


def tokens(source: str, places: LineIndex) -> Iterator[Token]:
    """Every token of a template, the last one END. Raises GoSyntaxError."""
    at = 0
    trim = False
    while True:
        left = source.find("{{", at)
        text = source[at:] if left < 0 else source[at:left]
        opening = left >= 0 and source[left + 2 : left + 4] in _OPENING
        begins = at + (len(text) - len(text.lstrip(SPACES)) if trim else 0)
        text = text.lstrip(SPACES) if trim else text
        text = text.rstrip(SPACES) if opening else text
        if text:
            yield Token(Kind.TEXT, text, begins)
        if left < 0:
            yield Token(Kind.END, "", len(source))
            return
        inside = left + 4 if opening else left + 2
        if source.startswith("/*", inside):
            at, trim = _comment(source, inside, left, places)
            continue
        yield Token(Kind.LEFT, "{{", left)
        for token in _action(source, inside, places):
            yield token
        at = token.at + len(token.text)
        trim = token.text != "}}"


def _comment(source: str, start: int, left: int, places: LineIndex) -> tuple[int, bool]:
    """Where a comment's action ends, and whether the space after it goes."""
    end = source.find("*/", start + 2)
    if end < 0:
        raise GoSyntaxError("unclosed comment", places.position(left))
    right = _right_delimiter(source, end + 2)
    if not right:
        raise GoSyntaxError("comment ends before closing delimiter", places.position(end))
    return end + 2 + len(right), right != "}}"


def _right_delimiter(source: str, at: int) -> str:
    """The right delimiter that begins here, with its trim marker; empty when there is none."""
    if source.startswith("}}", at):
        return "}}"
    if source.startswith("-}}", at + 1) and source[at] in SPACES:
        return source[at : at + 4]
    return ""


def _action(source: str, at: int, places: LineIndex) -> Iterator[Token]:
    """The tokens inside of one action, the last one its right delimiter."""
    depth = 0
    start = at
    while True:
        right = _right_delimiter(source, at)
        if right:
            if depth:
                raise GoSyntaxError("unclosed left paren", places.position(at))
            yield Token(Kind.RIGHT, right, at)
            return
        token = _token(source, at, start, places)
        depth += (token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE)
        if depth < 0:
            raise GoSyntaxError("unexpected right paren", places.position(at))
        yield token
        at += len(token.text)


def _token(source: str, at: int, start: int, places: LineIndex) -> Token:
    match = _TOKEN.match(source, at)
    if match is None or (match.lastgroup == "other" and match[0] in _UNTERMINATED):
        raise _bad_token(source, at, start, places)
    group, text = str(match.lastgroup), match[0]
    if group == "space":
        return Token(Kind.SPACE, _before_trim(source, at, text), at)
    if group == "other" and text == ":":
        raise GoSyntaxError("expected :=", places.position(at))
    if group in _SIMPLE:
        return Token(_SIMPLE[group], text, at)
    if group == "open":
        return Token(Kind.OPEN, text, at)
    if group == "close":
        return Token(Kind.CLOSE, text, at)
    return _word(source, at, group, text, places)


def _before_trim(source: str, at: int, text: str) -> str:
    """A run of spaces without the one that belongs to a right trim marker."""
    end = at + len(text)
    return text[:-1] if source.startswith("-}}", end) and len(text) > 1 else text


def _word(source: str, at: int, group: str, text: str, places: LineIndex) -> Token:
    """Numbers, and what has to end where Go ends words."""
    end = at + len(text)
    follows = source[end : end + 1]
    if group == "number":
        if follows == "_" or follows.isalnum():
            raise GoSyntaxError(f'bad number syntax: "{text}{follows}"', places.position(at))
        return Token(Kind.NUMBER, text, at)
    if follows and follows not in _ENDS_A_WORD and not source.startswith("}}", end):
        raise GoSyntaxError(f"bad character {follows!r}", places.position(end))
    if group == "variable":
        return Token(Kind.VARIABLE, text, at)
    if group == "field":
        return Token(Kind.FIELD, text, at)
    if text in KEYWORDS:
        return Token(Kind.KEYWORD, text, at)
    if text in ("true", "false"):
        return Token(Kind.BOOL, text, at)
    return Token(Kind.NIL if text == "nil" else Kind.IDENTIFIER, text, at)


def _bad_token(source: str, at: int, start: int, places: LineIndex) -> GoSyntaxError:
    if at >= len(source):
        return GoSyntaxError("unclosed action", places.position(start))
    what = _UNTERMINATED.get(source[at])
    what = what or f"unrecognized character in action: {source[at]!r}"
    return GoSyntaxError(what, places.position(at))
