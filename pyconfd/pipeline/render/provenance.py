"""
Provenance: from a line of the output back to the line of the template and the keys. Pure.

Only used after a refusal: the same render is repeated with a Tracer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyconfd.model.first_few import first_few
from pyconfd.model.keys import KeyValue
from pyconfd.pipeline.render.value_checks import RefusedValue, SafeText, TaintedText, safe_text
from pyconfd.pipeline.render.view import View

_NONE: frozenset[str] = frozenset()
_MOST_KEYS = 5
# Python has one object for each of these, so its maker cannot be found.
_SHARED_INTS = range(-5, 257)
_SHARED_LENGTH = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """
    A part of the output.

    template, line: where it begins, 1-based.
    written: whether the template itself has this text, over as many lines; else an expression has
    made it.
    keys: those whose values or names are in it, as far as that could be followed.
    decided: those whose values or names are in the tests and loops around it.
    """

    text: str
    template: str
    line: int
    written: bool
    keys: frozenset[str] = _NONE
    decided: frozenset[str] = _NONE


@dataclass(frozen=True, slots=True)
class Place:
    """
    The origin of a line of the output.

    template, line: that it comes from.
    keys: whose values are in it.
    decided: keys that are not in the line, but because of which it exists.
    """

    template: str
    line: int
    keys: tuple[str, ...] = ()
    decided: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.template}:{self.line}"
        if self.keys:
            text += f" with {some(self.keys)}"
        if self.decided:
            text += f"{',' if self.keys else ''} decided by {some(self.decided)}"
        return text


def some(keys: Iterable[str]) -> str:
    """The first of these keys, and how many more there are."""
    return first_few(sorted(keys), _MOST_KEYS)


def made_of(refused: RefusedValue) -> str:
    """The keys that a refused value was made of, as a tracer has found them, in words."""
    return f" (it is made of {some(refused.keys)})" if refused.keys else ""


def place_of(pieces: Iterable[Piece], line: int) -> Place | None:
    """The origin of this line of the output, 1-based; None if there is no such line."""
    found: Piece | None = None
    keys: set[str] = set()
    decided: set[str] = set()
    at = 1
    for piece in pieces:
        *whole, rest = piece.text.split("\n")
        parts = [*(f"{text}\n" for text in whole), rest]
        if at <= line < at + len(parts) and (part := parts[line - at]):
            keys |= piece.keys
            decided |= _NONE if part.isspace() else piece.decided
            if found is None or found.text.isspace():
                number = piece.line + (line - at if piece.written else 0)
                found = replace(piece, text=part, line=number)
        at += len(parts) - 1
    if found is None:
        return None
    return Place(found.template, found.line, tuple(sorted(keys)), tuple(sorted(decided - keys)))


class TracedView(View):
    """A view that reports every single key that is read, existing or not, to a tracer."""

    __slots__ = ("tracer",)
    tracer: Tracer

    def get(self, key: str) -> KeyValue | None:
        """As View has it."""
        if self.allows(key):
            self.tracer.key_read(self.absolute(key))
        return super().get(key)


class Tracer:
    """
    Follows values through one render: which keys each text and number was made of, and which keys
    decided what is rendered now. Must be kept as long as the render, because it identifies objects
    by their identity.
    """

    def __init__(self) -> None:
        self._keys: dict[int, frozenset[str]] = {}
        self._held: list[object] = []
        self._decisions: list[set[str]] = []  # of the tests and loops that have begun
        self._tests: list[set[str]] = []  # of those whose outcome is not known yet

    @property
    def decisions(self) -> frozenset[str]:
        """The keys that have decided that this is rendered."""
        return _NONE.union(*self._decisions)

    # What marked templates call, see branch_marks.py.

    def begin(self, turn: Iterable[object] = ()) -> None:
        """A branch begins, or a turn of a loop over these values."""
        self._decisions.append(set(_NONE.union(*map(self.keys, turn))))

    def end(self) -> None:
        """The branch or turn that began last is over."""
        self._decisions.pop()

    def testing(self) -> None:
        """A test is about to be made."""
        self._tests.append(set())

    def key_read(self, key: str) -> None:
        """The template has read this key."""
        if self._tests:
            self._tests[-1].add(key)

    def decided(self, _: None, outcome: Any, used: Iterable[object]) -> Any:
        """The outcome of a test, and the variables in it."""
        keys = self._tests.pop().union(self.keys(outcome), *map(self.keys, used))
        self._decisions[-1].update(keys)
        if self._tests:
            self._tests[-1].update(keys)
        return outcome

    def chosen(self, _: None, value: Any) -> Any:
        """The value of an `a if b else c`: a new object, which is also made of what decided it."""
        keys = self._decisions.pop()
        if type(value) is SafeText:
            value = safe_text(str(value), value.neutral)
        elif type(value) is str:
            value = value[:1] + value[1:]
        else:
            return value
        return self._note_keys(value, keys | self.keys(value))

    def keys(self, value: object) -> frozenset[str]:
        """The keys that this text or number, or the members of this list, were made of."""
        if isinstance(value, TaintedText):
            return frozenset((value.key,))
        if isinstance(value, (list, tuple, dict)):
            return _NONE.union(*map(self.keys, value))
        return self._keys.get(id(value), _NONE)

    def following(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose result is made of its arguments."""

        def followed(*args: Any, **kwargs: Any) -> Any:
            given = (*args, *kwargs.values())
            try:
                made = self._note(function(*args, **kwargs), given)
            except RefusedValue as refused:
                refused.keys = refused.keys or self.keys(given)
                raise
            if self._tests:
                self._tests[-1].update(self.keys(made))
            return made

        return marked_like(function, followed)

    def following_all(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """The same table with its functions or filters followed; other entries are unchanged."""
        return {name: self.following(one) if callable(one) else one for name, one in table.items()}

    def joining(self, join: Callable[[Iterable[Any]], Any]) -> Callable[[Iterable[Any]], Any]:
        """A function of a list of parts, whose result is made of all of them."""

        def joined(parts: Iterable[Any]) -> Any:
            known = list(parts)
            return self._note(join(known), known)

        return joined

    def _note(self, made: Any, of: Sequence[object]) -> Any:
        keys = _NONE.union(*map(self.keys, of))
        if isinstance(made, list):
            for part in made:
                self._note(part, of)
        if isinstance(made, TaintedText):
            return made
        return self._note_keys(made, keys)

    def _note_keys(self, made: Any, keys: Iterable[str]) -> Any:
        if keys and _is_unique(made):
            self._keys[id(made)] = self.keys(made).union(keys)
            self._held.append(made)
        return made


def marked_like(function: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    """The other function with Jinja2's marks of functions that get a context."""
    other.__dict__.update(getattr(function, "__dict__", {}))
    return other


def _is_unique(value: object) -> bool:
    if type(value) is str:
        return len(value) > _SHARED_LENGTH
    if type(value) is int:
        return value not in _SHARED_INTS
    return isinstance(value, (str, float))
