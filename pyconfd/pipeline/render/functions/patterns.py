"""
Regular expressions of templates, matched with limits. Pure; imported when a template uses one.

The package `regex` reads Python's syntax, lets other threads run while it matches, and gives up
after a time; `re` does neither, and one pattern with a hostile value stops the whole process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import regex

from pyconfd.pipeline.render.function_errors import FunctionFault

#: Characters that a pattern is matched with, and seconds for that.
LONGEST_TEXT, LONGEST_S = 64 * 1024, 0.5

#: What a match is here: as one of `re`.
Match = Any

BadPattern = regex.error


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Any:
    """The pattern. Raises BadPattern."""
    return regex.compile(pattern, regex.VERSION0)


def search(pattern: Any, text: str) -> Match | None:
    """The first match. Raises FunctionFault for a text that is too long or takes too long."""
    try:
        return pattern.search(_bounded(text), concurrent=True, timeout=LONGEST_S)
    except TimeoutError as error:
        raise _too_slow() from error


def matches(pattern: Any, text: str) -> Iterator[Match]:
    """All of them, from left to right. Raises as `search` does."""
    try:
        yield from pattern.finditer(_bounded(text), concurrent=True, timeout=LONGEST_S)
    except TimeoutError as error:
        raise _too_slow() from error


def replaced(pattern: Any, text: str, new: Callable[[Match], str]) -> str:
    """The text with every match replaced. Raises as `search` does."""
    try:
        made = pattern.sub(new, _bounded(text), concurrent=True, timeout=LONGEST_S)
    except TimeoutError as error:
        raise _too_slow() from error
    return str(made)


def _bounded(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise FunctionFault(f"a text of more than {LONGEST_TEXT} characters is not matched")
    return text


def _too_slow() -> FunctionFault:
    return FunctionFault(f"a regular expression took longer than {LONGEST_S:g} s to match")
