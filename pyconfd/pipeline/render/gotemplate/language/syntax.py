"""
The tree that the parser makes of a Go template. Pure.

Every node has `at`, its place in characters of the template.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Number:
    """
    A number constant, whose type depends on its place.

    text: as written.
    value: its value if the place does not determine the type: int, float or complex; None if it is
    too large.
    integer: its value where an int is expected; None if it is not one.
    """

    at: int
    text: str
    value: int | float | complex | None
    integer: int | None


@dataclass(frozen=True, slots=True)
class Text:
    """A string constant. written: with its quotes."""

    at: int
    value: str
    written: str


@dataclass(frozen=True, slots=True)
class Bool:
    """true or false."""

    at: int
    value: bool


@dataclass(frozen=True, slots=True)
class Nil:
    """nil."""

    at: int


@dataclass(frozen=True, slots=True)
class Dot:
    """The dot."""

    at: int


@dataclass(frozen=True, slots=True)
class Identifier:
    """The name of a function."""

    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """
    A variable. name: with its dollar sign.
    slot: which declaration it belongs to, unique in the template; 0 is `$` itself, None is a
    variable that was assigned but never declared.
    """

    at: int
    name: str
    slot: int | None


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of something: `.a.b`, `$x.a`, `(f x).a`. fields: their names without dots."""

    at: int
    of: Operand
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline: an operand, and arguments where it is a function or method."""

    at: int
    args: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """
    Commands, each of which gets the result of the one before it as its last argument.

    declared: the variables that take the value, at most two.
    assigns: whether they already exist (`=`).
    """

    at: int
    commands: tuple[Stage, ...]
    declared: tuple[Variable, ...] = ()
    assigns: bool = False


Operand: TypeAlias = Number | Text | Bool | Nil | Dot | Identifier | Variable | Chain | Pipeline


@dataclass(frozen=True, slots=True)
class Literal:
    """Text of the template."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless it declares variables."""

    at: int
    pipe: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """if, with or range. other: what stands after else, None when there is no else."""

    at: int
    kind: str
    pipe: Pipeline
    body: Body
    other: Body | None


@dataclass(frozen=True, slots=True)
class Jump:
    """break or continue."""

    at: int
    kind: str


@dataclass(frozen=True, slots=True)
class Call:
    """A `template` or `block` action."""

    at: int
    name: str
    pipe: Pipeline | None


Statement: TypeAlias = Literal | Action | Branch | Jump | Call
Body: TypeAlias = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """
    A whole template file.

    body: what is printed.
    defined: the templates of its define and block actions.
    assigned: the slots of variables that get another value by `=`.
    """

    body: Body
    defined: dict[str, Body] = field(default_factory=dict)
    assigned: frozenset[int] = frozenset()
