"""
Go's regular expressions (RE2's syntax) as Python's. Pure.

What both have means the same in both but for `$`, the classes of ASCII letters, and names of
groups; what only Python has is an error, as it is in Go; a script (`\\p{Greek}`) is one here.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from pyconfd.pipeline.render.gotemplate.errors import GoFault

if TYPE_CHECKING:  # only templates with regular expressions need it
    from pyconfd.pipeline.render.functions.patterns import Pattern

_WORD = "0-9A-Za-z_"
_CLASSES = {"d": "0-9", "w": _WORD, "s": r"\t\n\f\r "}
_NAMED = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": _WORD,
    "xdigit": "0-9A-Fa-f",
}
_BOUNDARY = rf"(?:(?<![{_WORD}])(?=[{_WORD}])|(?<=[{_WORD}])(?![{_WORD}]))"
_NO_BOUNDARY = rf"(?:(?<![{_WORD}])(?![{_WORD}])|(?<=[{_WORD}])(?=[{_WORD}]))"
_PLAIN_ESCAPES = "afnrtv"
_GROUP_BEGINS = re.compile(r"(?<!\\)\((?:\?[imsU-]*[:)]|\?P?<\w+>)?$")


class NoPattern(GoFault):
    """A pattern that Go has and Python has not."""


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern:
    """The pattern for Python. Raises GoFault for one that Go refuses, NoPattern."""
    from pyconfd.pipeline.render.functions import patterns

    try:
        return patterns.compiled(_Translation(pattern).text())
    except (patterns.BadPattern, RecursionError, OverflowError) as error:
        raise GoFault(f"error parsing regexp {pattern!r}: {error}") from error


class _Translation:
    """One pass over a pattern. Its state is where it is, and the flags in force."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._flags = [""]
        self._open = 0

    def text(self) -> str:
        """All of it. Inline flags in the middle become groups of the rest."""
        made: list[str] = []
        while self._at < len(self._pattern):
            made.append(self._piece())
        return "".join(made) + ")" * self._open

    def _take(self, count: int = 1) -> str:
        taken = self._pattern[self._at : self._at + count]
        self._at += count
        return taken

    def _fail(self, what: str) -> GoFault:
        return GoFault(f"error parsing regexp {self._pattern!r}: {what}")

    def _piece(self) -> str:
        char = self._take()
        if char == "\\":
            return self._escape()
        if char == "[":
            return self._set()
        if char == "(":
            return self._group()
        if char == ")":
            return self._close()
        if char == "$":
            return r"(?:(?=\n)|\Z)" if self._has("m") else r"\Z"
        if char in "*+?" or (char == "{" and self._is_repeat()):
            return self._repeat(char)
        return "\\{" if char == "{" else char

    def _has(self, flag: str) -> bool:
        return flag in self._flags[-1]

    def _is_repeat(self) -> bool:
        return re.compile(r"[0-9]+(?:,[0-9]*)?\}").match(self._pattern, self._at) is not None

    def _repeat(self, char: str) -> str:
        if char == "{":
            char += self._take(self._pattern.index("}", self._at) + 1 - self._at)
            if any(int(number) > 1000 for number in re.findall("[0-9]+", char)):
                raise self._fail("invalid repeat count")
        lazy = self._pattern.startswith("?", self._at)
        if lazy:
            self._at += 1
        follows = self._pattern[self._at : self._at + 1]
        if follows and follows in "*+?":
            raise self._fail("invalid nested repetition operator")
        return char + ("?" if lazy != self._has("U") else "")

    def _group(self) -> str:
        if not self._pattern.startswith("?", self._at):
            self._flags.append(self._flags[-1])
            return "("
        named = re.compile(r"\?P?<(\w+)>").match(self._pattern, self._at)
        if named:
            self._at = named.end()
            self._flags.append(self._flags[-1])
            return f"(?P<{named[1]}>"
        flags = re.compile(r"\?([imsU]*)(?:-([imsU]+))?([:)])").match(self._pattern, self._at)
        if flags is None or flags[0] == "?)":
            raise self._fail("invalid or unsupported Perl syntax")
        before = self._pattern[: self._at - 1]
        if flags[3] == ")" and before and not _GROUP_BEGINS.search(before):
            raise NoPattern("the pattern has flags in the middle: write them at its beginning")
        self._at = flags.end()
        now = "".join(sorted((set(self._flags[-1]) | set(flags[1])) - set(flags[2] or "")))
        return self._flagged(now, flags[3])

    def _flagged(self, now: str, end: str) -> str:
        on = "".join(flag for flag in now if flag in "ims")
        off = "".join(flag for flag in "ims" if flag not in now)
        opening = f"(?{on}{'-' + off if off else ''}:"
        if end == ":":
            self._flags.append(now)
            return opening
        # Flags for the rest of the group around them: a group that ends with it.
        self._flags[-1] = now + ")" * (self._flags[-1].count(")") + 1)
        if len(self._flags) == 1:
            self._open += 1
        return opening

    def _close(self) -> str:
        if len(self._flags) == 1:
            raise self._fail("unexpected )")
        return ")" * (self._flags.pop().count(")") + 1)

    def _escape(self) -> str:
        char = self._take()
        if char == "":
            raise self._fail("trailing backslash at end of expression")
        if char in "dws":
            return f"[{_CLASSES[char]}]"
        if char in "DWS":
            return f"[^{_CLASSES[char.lower()]}]"
        if char in "bB":
            return _BOUNDARY if char == "b" else _NO_BOUNDARY
        if char in "Az":
            return r"\A" if char == "A" else r"\Z"
        if char in "pP":
            return f"[{'^' if char == 'P' else ''}{self._property()}]"
        if char == "Q":
            end = self._pattern.find("\\E", self._at)
            end = len(self._pattern) if end < 0 else end
            literal = self._take(end - self._at)
            self._at += 2
            return re.escape(literal)
        return self._literal(char)

    def _literal(self, char: str) -> str:
        if char == "x":
            return self._hexadecimal()
        if char in _PLAIN_ESCAPES:
            return f"\\{char}"
        if char in "01234567":
            digits = re.compile("[0-7]{0,2}").match(self._pattern, self._at)
            if char != "0" and (digits is None or len(digits[0]) < 2):
                raise self._fail("invalid escape sequence")
            return re.escape(chr(int(char + self._take(len(digits[0]) if digits else 0), 8)))
        if char.isalnum():
            raise self._fail(f"invalid escape sequence: \\{char}")
        return re.escape(char)

    def _hexadecimal(self) -> str:
        found = re.compile(r"\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2})").match(self._pattern, self._at)
        if found is None or int(found[1] or found[2], 16) > sys.maxunicode:
            raise self._fail("invalid escape sequence")
        self._at = found.end()
        return re.escape(chr(int(found[1] or found[2], 16)))

    def _property(self) -> str:
        found = re.compile(r"\{(\^?)(\w+)\}|(\w)").match(self._pattern, self._at)
        if found is None:
            raise self._fail("invalid character class range")
        self._at = found.end()
        name = found[2] or found[3]
        if found[1]:
            raise NoPattern(f"the pattern holds \\p{{^{name}}}: write \\P{{{name}}}")
        return "" if name == "Any" else _category(name)

    def _set(self) -> str:
        made = ["["]
        if self._pattern.startswith("^", self._at):
            made.append(self._take())
        first = True
        while first or not self._pattern.startswith("]", self._at):
            if self._at >= len(self._pattern):
                raise self._fail("missing closing ]")
            made.append(self._member())
            first = False
        self._at += 1
        return "".join(made) + "]"

    def _member(self) -> str:
        named = re.compile(r"\[:(\^?)(\w+):\]").match(self._pattern, self._at)
        if named:
            self._at = named.end()
            if named[2] not in _NAMED:
                raise self._fail("invalid character class range")
            if named[1]:
                raise NoPattern(f"the pattern holds {named[0]}, which Python has no class for")
            return _NAMED[named[2]]
        char = self._take()
        if char != "\\":
            return f"\\{char}" if char in "[&~|^]" else char
        char = self._take()
        if char in "dws":
            return _CLASSES[char]
        if char == "D":
            return r"\x00-/:-\U0010ffff"
        if char in "WS":
            raise NoPattern(f"the pattern holds \\{char} in brackets, which Python reads otherwise")
        if char == "p":
            return self._property()
        if char == "P":
            raise NoPattern("the pattern holds \\P in brackets, which Python has no class for")
        return self._literal(char)


@lru_cache(maxsize=32)
def _category(name: str) -> str:
    """The characters of a general category of Unicode, as they stand between brackets."""
    if not _CATEGORIES.fullmatch(name):
        raise NoPattern(f"the pattern holds \\p{{{name}}}, which Python has no class for")
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith(name):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)


# Those of Unicode that RE2 knows.
_CATEGORIES = re.compile("C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")
