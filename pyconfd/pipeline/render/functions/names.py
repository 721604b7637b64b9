"""
Gives each function its names in templates. Pure.

Names and order of arguments are those of confd and its active fork, except that nothing is changed
in place and no fault prints a value. Numbers are whole, as in Go's add and div.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

FUNCTIONS: dict[str, Callable[..., Any]] = {}
# Names that a template language has filters for (default, indent, join, list, map, replace,
# reverse) are left to it.
FILTERS: dict[str, Callable[..., Any]] = {}

Function = TypeVar("Function", bound=Callable[..., Any])


def template_function(*names: str) -> Callable[[Function], Function]:
    """Templates can call it by these names, or by its own."""

    def named(function: Function) -> Function:
        FUNCTIONS.update(dict.fromkeys(names or (function.__name__,), function))
        return function

    return named


def template_filter(name: str = "") -> Callable[[Function], Function]:
    """Templates can call it, and write it behind a pipe."""

    def named(function: Function) -> Function:
        called = name or function.__name__
        behind_pipe(called, function)
        return template_function(called)(function)

    return named


def behind_pipe(name: str, function: Callable[..., Any]) -> None:
    """The filter of a function that takes its arguments in another order after a pipe."""
    FILTERS[name] = function
