"""Errors of Go templates. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pyconfd.pipeline.render.function_errors import FunctionFault


@dataclass(frozen=True, slots=True)
class Position:
    """
    A place in a template.

    line, column: 1-based, the column in characters.
    """

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class GoSyntaxError(ValueError):
    """
    A text that is not a Go template, or one that cannot be translated.

    at: where. more: what else was found.
    """

    more: tuple[GoSyntaxError, ...] = ()

    def __init__(self, what: str, at: Position) -> None:
        super().__init__(what)
        self.what = what
        self.at = at


class GoFault(FunctionFault):
    """A value or call that Go's text/template refuses when it reaches it."""


def wrong_type(expected: str, found: str) -> GoFault:
    """The fault of an argument of another type, both by their names in Go."""
    return GoFault(f"wrong type for value: expected {expected}, got {found}")
