"""
Places: from a line of the output back to the line of the template and the keys. Pure.

Used after a refusal and never before one: the same render is done once more with a Tracer in it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyconfd.pipeline.values import KeyText

_NONE: frozenset[str] = frozenset()
_MOST_KEYS = 5
# Python has one object for each of these, so who made it cannot be told.
_SHARED_INTS = range(-5, 257)
_SHARED_LENGTH = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """
    A part of the output. template, line: where it begins, 1-based. written: whether it stands so
    in the template, over as many lines; else an expression has made it. keys: whose values or
    names are in it, as far as that could be followed.
    """

    text: str
    template: str
    line: int
    written: bool
    keys: frozenset[str] = _NONE


@dataclass(frozen=True, slots=True)
class Place:
    """What made a line of the output: a line of a template, and the values of these keys."""

    template: str
    line: int
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.template}:{self.line}"
        if not self.keys:
            return text
        more = len(self.keys) - _MOST_KEYS
        shown = ", ".join(self.keys[:_MOST_KEYS]) + (f" and {more} more" if more > 0 else "")
        return f"{text} with {shown}"


def place_of(pieces: Iterable[Piece], line: int) -> Place | None:
    """Where that line of the output comes from, 1-based; None when there is no such line."""
    found: Piece | None = None
    keys: set[str] = set()
    at = 1
    for piece in pieces:
        *whole, rest = piece.text.split("\n")
        parts = [*(f"{text}\n" for text in whole), rest]
        if at <= line < at + len(parts) and (part := parts[line - at]):
            keys |= piece.keys
            if found is None or found.text.isspace():
                number = piece.line + (line - at if piece.written else 0)
                found = replace(piece, text=part, line=number)
        at += len(parts) - 1
    return Place(found.template, found.line, tuple(sorted(keys))) if found else None


class Tracer:
    """
    Follows values through one render: which keys each text and number was made of. Has to be
    kept as long as the render, because it knows the objects by their identity.
    """

    def __init__(self) -> None:
        self._keys: dict[int, frozenset[str]] = {}
        self._held: list[object] = []

    def keys(self, value: object) -> frozenset[str]:
        """The keys that this text or number, or the members of this list, were made of."""
        if isinstance(value, KeyText):
            return frozenset((value.key,))
        if isinstance(value, (list, tuple)):
            return _NONE.union(*map(self.keys, value))
        return self._keys.get(id(value), _NONE)

    def following(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function; what it returns is made of what it was given."""

        @functools.wraps(function)
        def followed(*args: Any, **kwargs: Any) -> Any:
            return self._note(function(*args, **kwargs), (*args, *kwargs.values()))

        return followed

    def following_all(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """A table of functions or filters; what else is in it stays as it is."""
        return {name: self.following(one) if callable(one) else one for name, one in table.items()}

    def joining(self, join: Callable[[Iterable[Any]], Any]) -> Callable[[Iterable[Any]], Any]:
        """A function of a list of parts; the whole is made of all of them."""

        def joined(parts: Iterable[Any]) -> Any:
            known = list(parts)
            return self._note(join(known), known)

        return joined

    def _note(self, made: Any, of: Iterable[object]) -> Any:
        keys = _NONE.union(*map(self.keys, of))
        if keys and not isinstance(made, KeyText) and _is_unique(made):
            self._keys[id(made)] = self.keys(made) | keys
            self._held.append(made)
        return made


def _is_unique(value: object) -> bool:
    if type(value) is str:
        return len(value) > _SHARED_LENGTH
    if type(value) is int:
        return value not in _SHARED_INTS
    return isinstance(value, (str, float))
