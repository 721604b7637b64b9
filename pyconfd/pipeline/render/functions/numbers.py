"""The functions of templates for whole numbers, and `fail`. Pure."""

from __future__ import annotations

import re
from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.names import template_filter, template_function


@template_filter()
def atoi(text: str) -> int:
    """A whole decimal number."""
    if not re.fullmatch(r"[+-]?[0-9]{1,4000}", text):
        raise FunctionFault("atoi: not a whole number")
    return int(text)


@template_filter("parseBool")
def parse_bool(text: str) -> bool:
    """1, t, T, true, True, TRUE and 0, f, F, false, False, FALSE; anything else is a fault."""
    if text in ("1", "t", "T", "true", "True", "TRUE"):
        return True
    if text in ("0", "f", "F", "false", "False", "FALSE"):
        return False
    raise FunctionFault("parseBool: neither true nor false")


@template_function()
def add(a: int, b: int) -> int:
    """a + b"""
    _whole("add", a, b)
    return a + b


@template_function()
def sub(a: int, b: int) -> int:
    """a - b"""
    _whole("sub", a, b)
    return a - b


@template_function()
def mul(a: int, b: int) -> int:
    """a * b"""
    _whole("mul", a, b)
    return a * b


@template_function()
def div(a: int, b: int) -> int:
    """a / b without its fraction, as in Go: div(-7, 2) is -3."""
    _divisor("div", a, b)
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


@template_function()
def mod(a: int, b: int) -> int:
    """What div leaves; it has the sign of `a`, as in Go."""
    _divisor("mod", a, b)
    return a - b * div(a, b)


# A slip in a value must not fill the memory of the machine: the kernel would end others for it.
_LONGEST_SEQ = 1_000_000


@template_function()
def seq(first: int, last: int) -> list[int]:
    """
    Whole numbers from first to last, both included; empty when first is the larger, a fault when
    there are more than a million.
    """
    _whole("seq", first, last)
    if last - first >= _LONGEST_SEQ:
        raise FunctionFault(f"seq: more than {_LONGEST_SEQ} numbers")
    return list(range(first, last + 1))


@template_function()
def fail(message: str) -> str:
    """Ends the render with this message. Name the key in it, never its value."""
    raise FunctionFault(message)


def _divisor(name: str, a: int, b: int) -> None:
    _whole(name, a, b)
    if b == 0:
        raise FunctionFault(f"{name}: division by zero")


def _whole(name: str, *numbers: Any) -> None:
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            kind = "text" if isinstance(number, str) else type(number).__name__
            raise FunctionFault(f"{name} wants whole numbers, not {kind}: use atoi")
