"""
nginx configuration text: the places of a statement's words, and edits that keep its lines. Pure.

A parser finds the statements (shadow.py). Here they are only located, so that a single argument can
be replaced without changing another byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: What separates words: to nginx these four alone (ngx_conf_read_token), to parsers often more.
_SPACE = r" \t\r\n"
#: Between two words: spaces, line ends, comments.
_GAP = re.compile(rf"(?:[{_SPACE}]+|#[^\n]*(?:\n|\Z))*")
_WORD = re.compile(
    rf"""
    "(?P<double>(?:\\.|[^"\\])*)"
    | '(?P<single>(?:\\.|[^'\\])*)'
    | (?P<bare>(?:\\.|\$\{{[^}}]*\}}|[^{_SPACE};{{}}"'\\\#])
        (?:\\.|\$\{{[^}}]*\}}|[^{_SPACE};{{}}\\])*)
    """,
    re.VERBOSE | re.DOTALL,
)


#: Directives of lua-nginx-module whose block is Lua.
LUA_BLOCK = "_by_lua_block"
#: What may hold a brace that counts for nothing in Lua, and the braces that count.
_LUA = re.compile(
    r"""
    --\[(?P<comment>=*)\[ .*? \](?P=comment)\]
    | --[^\n]*
    | \[(?P<string>=*)\[ .*? \](?P=string)\]
    | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
    | [{}]
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """
    A directive as a parser found it.

    line: of its name, 1-based.
    depth: 0 outside of blocks.
    """

    name: str
    line: int
    args: tuple[str, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class StatementSpan:
    """
    Offsets into the text.

    start, end: of the whole statement without its ";".
    args: (start, end) of each argument.
    """

    start: int
    end: int
    args: tuple[tuple[int, int], ...]


class NotFound(Exception):
    """The text does not have the statement in the form in which it was parsed."""


class ConfigText:
    """One file's text, in which statements are located in their order."""

    def __init__(self, text: str) -> None:
        self._text = without_lua(text)
        self._lines = [0] + [found.end() for found in re.finditer("\n", text)]
        self._from = 0

    def locate(self, statement: Statement) -> StatementSpan:
        """The place of a statement, at or after the last one located. Raises NotFound."""
        if statement.line > len(self._lines):
            raise NotFound
        begin = max(self._from, self._lines[statement.line - 1])
        name = re.compile(
            rf"(?<![^{_SPACE};{{}}]){re.escape(statement.name)}(?![^{_SPACE};{{}}\"'])"
        )
        for found in name.finditer(self._text, begin):
            args = self._words(found.end(), statement.args)
            if args is not None:
                end = args[-1][1] if args else found.end()
                self._from = end
                return StatementSpan(found.start(), end, tuple(args))
        raise NotFound

    def _words(self, at: int, expected: Sequence[str]) -> list[tuple[int, int]] | None:
        """The places of exactly these words, which end the statement; None for other words."""
        places = []
        for word in expected:
            gap = _GAP.match(self._text, at)
            found = _WORD.match(self._text, gap.end() if gap else at)
            if found is None or _meaning(found) != word:
                return None
            places.append(found.span())
            at = found.end()
        gap = _GAP.match(self._text, at)
        ended = self._text[gap.end() if gap else at :][:1] in (";", "{")
        return places if ended else None


def _meaning(found: re.Match[str]) -> str:
    """The word without its quotes, as crossplane returns it."""
    double, single = found["double"], found["single"]
    if double is not None:
        return double.replace('\\"', '"')
    if single is not None:
        return single.replace("\\'", "'")
    return found[0]


def without_lua(text: str) -> str:
    """The text with blanks instead of Lua; everything else stays in place, line ends too."""
    if LUA_BLOCK not in text:
        return text
    parts: list[str] = []
    done = 0
    for start, end in _lua_blocks(text):
        parts += (text[done:start], re.sub(r"[^\n]", " ", text[start:end]))
        done = end
    return "".join(parts) + text[done:]


def _lua_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of what stands between the braces."""
    at, name = 0, ""
    while at < len(text):
        gap = _GAP.match(text, at)
        at = gap.end() if gap else at
        word = _WORD.match(text, at)
        if word:
            name, at = name or word[0], word.end()
        elif text.startswith("{", at) and name.endswith(LUA_BLOCK):
            end = _end_of_lua(text, at + 1)
            yield at + 1, end
            name, at = "", end + 1
        else:
            name, at = "", at + 1


def _end_of_lua(text: str, at: int) -> int:
    depth = 1
    for found in _LUA.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            return found.start()
    return len(text)


def edited(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """
    The text with each (start, end, new) replaced. Line ends inside a replaced part are kept after
    it, so that later lines keep their numbers.
    """
    parts: list[str] = []
    done = 0
    for start, end, new in sorted(edits):
        parts += (text[done:start], new, "\n" * text.count("\n", start, end))
        done = end
    return "".join(parts) + text[done:]


def quoted(path: str) -> str:
    """A path as one word of an nginx configuration."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
