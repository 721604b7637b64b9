"""What an expression of a template prints. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault


def as_text(value: Any) -> str:
    """
    A value as templates print it: true and false as confd writes them, numbers as they are.

    Raises FunctionFault for what is no text and would only print Python's own notation: nothing,
    lists, mappings, bytes, functions, generators.
    """
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    text = str(value)
    if not text:
        return text  # also what an inline `if` without `else` leaves, which is nothing by intent
    if value is None:
        raise FunctionFault("nothing (none) cannot be printed: give it a default")
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        raise FunctionFault(f"a pair cannot be printed: print its .{' or .'.join(value._fields)}")
    if isinstance(value, (list, tuple, set, frozenset)) or hasattr(value, "__next__"):
        raise FunctionFault("a list cannot be printed: loop over it, or use join or toJson")
    if isinstance(value, Mapping):
        raise FunctionFault("a mapping cannot be printed: print its members, or use toJson")
    bare = getattr(type(value), "__str__", None) is object.__str__
    plain = bare and not isinstance(value, (int, float))
    if plain or isinstance(value, bytes) or callable(value):
        raise FunctionFault(f"a {type(value).__name__} cannot be printed: is a call missing?")
    return text
