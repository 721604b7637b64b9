"""
Regular expressions of templates, matched with limits. Pure; imported when a template uses one.

The package `regex` has Python's syntax, lets other threads run while it matches, and has a timeout.
`re` has neither: one pattern with a hostile value would stop the whole process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import regex

from pyconfd.pipeline.render.function_errors import FunctionFault

#: Characters that a pattern is matched with, and seconds for that.
LONGEST_TEXT, LONGEST_S = 64 * 1024, 0.5
_LIMITED = {"concurrent": True, "timeout": LONGEST_S}
# What can take no time worth a limit, which costs more than such a match itself: the cube of this
# many characters at most, as no repeated group can be behind it.
_SHORT, _FEW = 100, 3
_REPEATS = re.compile(r"[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")

#: What a match is here: as one of `re`.
Match = Any

BadPattern = regex.error


class Pattern:
    """A compiled pattern. Its methods raise FunctionFault for a text that takes too long."""

    def __init__(self, pattern: str) -> None:
        """Raises BadPattern."""
        self._compiled = regex.compile(pattern, regex.VERSION0)
        bare = re.sub(r"\\.", "", pattern, flags=re.DOTALL)
        few = len(_REPEATS.findall(bare)) <= _FEW and not _REPEATED_GROUP.search(bare)
        self._short = _SHORT if few else 0

    def search(self, text: str) -> Match | None:
        """The first match."""
        if len(text) <= self._short:
            return self._compiled.search(text)
        try:
            return self._compiled.search(_bounded(text), **_LIMITED)
        except TimeoutError as error:
            raise _too_slow() from error

    def matches(self, text: str) -> Iterator[Match]:
        """All of them, from left to right."""
        try:
            yield from self._compiled.finditer(_bounded(text), **_LIMITED)
        except TimeoutError as error:
            raise _too_slow() from error

    def replaced(self, text: str, new: Callable[[Match], str]) -> str:
        """The text with every match replaced."""
        try:
            made = self._compiled.sub(new, _bounded(text), **_LIMITED)
        except TimeoutError as error:
            raise _too_slow() from error
        return str(made)


#: As Pattern; each is compiled once.
compiled = lru_cache(maxsize=512)(Pattern)


def _bounded(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise FunctionFault(f"a text of more than {LONGEST_TEXT} characters is not matched")
    return text


def _too_slow() -> FunctionFault:
    return FunctionFault(f"a regular expression took longer than {LONGEST_S:g} s to match")
