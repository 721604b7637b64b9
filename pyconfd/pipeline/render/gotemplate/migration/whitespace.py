"""
Finds the trim markers that a Jinja2 template needs to print the same white space. Pure.

Two layouts are tried: pyconfd's own, in which a line that holds only a block leaves no line
behind, and "whitespace as written". The one that needs fewer markers is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from pyconfd.pipeline.render.template_files import AS_WRITTEN

_DELIMITERS = {"block": ("{%", "%}"), "output": ("{{", "}}"), "comment": ("{#", "#}")}
#: "+" is known to few.
_COST = {"": 0, "-": 1, "+": 2}
_SYNTAX = re.compile(r"\{[%#]")


@dataclass(frozen=True, slots=True)
class Code:
    """
    A block, an output or a comment of Jinja2.

    kind: of _DELIMITERS.
    inside: without delimiters.
    """

    kind: str
    inside: str


@dataclass(frozen=True, slots=True)
class Gap:
    """
    The text between two of them.

    raw: in the source.
    printed: the part that is printed.
    trims: whether the source has a marker before it, and after it.
    """

    raw: str
    printed: str
    trims: tuple[bool, bool] = (False, False)


class Unkeepable(ValueError):
    """White space that Jinja2 cannot reproduce. at: the text."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def laid_out(gaps: Sequence[Gap], codes: Sequence[Code]) -> str:
    """
    The template. gaps: one more than codes: before, between and after them.

    Raises Unkeepable.
    """
    newline = "\n"
    if any("\r" in text.raw for text in gaps):
        newline = "\r\n"
        gaps = [
            Gap(_unix(one.raw, at), _unix(one.printed, at), one.trims)
            for at, one in enumerate(gaps)
        ]
    own, cost = _marked(gaps, codes, own=True)
    if newline == "\n":
        written, cost_as_written = _marked(gaps, codes, own=False)
        if cost <= cost_as_written + 1:
            return own
    else:
        written, _ = _marked(gaps, codes, own=False)
    return f"{AS_WRITTEN}\n{written}".replace("\n", newline)


def _unix(text: str, at: int) -> str:
    """Raises Unkeepable for a text that mixes line ends."""
    plain = text.replace("\r\n", "\n")
    if "\r" in plain or plain.count("\n") != text.count("\r\n"):
        raise Unkeepable(at)
    return plain


def _marked(gaps: Sequence[Gap], codes: Sequence[Code], *, own: bool) -> tuple[str, int]:
    """The template in one layout, and the cost of its markers for a reader."""
    made: list[str] = []
    cost = 0
    left = ""
    for at, text in enumerate(gaps):
        before = codes[at - 1] if at else None
        after = codes[at] if at < len(codes) else None
        right, next_left = _markers(text, before, after, at, own)
        if before is not None:
            opening, closing = _DELIMITERS[before.kind]
            made.append(f"{opening}{left} {before.inside} {right}{closing}")
        made.append(_SYNTAX.sub(lambda found: f'{{{{ "{found[0]}" }}}}', text.raw))
        cost += _COST[right] + _COST[next_left]
        left = next_left
    return "".join(made), cost


def _markers(
    text: Gap, before: Code | None, after: Code | None, at: int, own: bool
) -> tuple[str, str]:
    """The markers on both sides of a text: that of the code before, and of the code after it."""
    rights = _options(before, own)
    lefts = _options(after, own)
    wanted = text.trims

    def cost(markers: tuple[str, str]) -> tuple[int, bool]:
        """The cost: lower for fewer markers, and for those at the places of the source's."""
        right, left = markers
        return _COST[right] + _COST[left], (right == "-", left == "-") != wanted

    for right, left in sorted(product(rights, lefts), key=cost):
        if _printed(text.raw, before, right, after, left, own) == text.printed:
            return right, left
    raise Unkeepable(at)


def _options(code: Code | None, own: bool) -> tuple[str, ...]:
    if code is None:
        return ("",)
    return ("", "-", "+") if own and code.kind != "output" else ("", "-")


def _printed(
    text: str, before: Code | None, right: str, after: Code | None, left: str, own: bool
) -> str:
    """A text as Jinja2's lexer leaves it."""
    starts_line = before is None
    if right == "-":
        rest = text.lstrip()
        starts_line = text[: len(text) - len(rest)].endswith("\n")
        text = rest
    elif own and before and before.kind != "output" and right != "+" and text.startswith("\n"):
        text, starts_line = text[1:], True
    if left == "-":
        return text.rstrip()
    if own and after and after.kind != "output" and left != "+":
        begin = text.rfind("\n") + 1
        if (begin or starts_line) and not text[begin:].strip():
            return text[:begin]
    return text
