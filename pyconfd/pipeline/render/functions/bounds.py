"""
What one call of a template may make at most. Pure.

Such calls are one step for Python, which no time limit can interrupt; the numbers may come from
values of keys.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault

#: Items of a list or range, characters of a text.
MOST_ITEMS, MOST_CHARACTERS = 1_000_000, 100_000_000
#: Binary digits of a number.
_MOST_BITS = 100_000


def bounded_range(*limits: Any) -> range:
    """Python's `range`. Raises FunctionFault for one that is too long."""
    numbers = range(*limits)
    try:
        length = len(numbers)
    except OverflowError:
        length = MOST_ITEMS + 1
    if length > MOST_ITEMS:
        raise FunctionFault(f"range: more than {MOST_ITEMS} numbers")
    return numbers


def product(left: Any, right: Any) -> Any:
    """The `*` of templates. Raises FunctionFault when it repeats too often."""
    if isinstance(left, Sized) and isinstance(right, int):
        _repeats(left, right)
    elif isinstance(right, Sized) and isinstance(left, int):
        _repeats(right, left)
    elif _bits(left) + _bits(right) > _MOST_BITS:
        raise FunctionFault(f"*: a number of more than {_MOST_BITS} binary digits")
    return left * right


def power(left: Any, right: Any) -> Any:
    """The `**` of templates. Raises FunctionFault for a number that is too large."""
    if isinstance(right, int) and _bits(left) * right > _MOST_BITS:
        raise FunctionFault(f"**: a number of more than {_MOST_BITS} binary digits")
    return left**right


def _repeats(what: Sized, times: int) -> None:
    most = MOST_CHARACTERS if isinstance(what, (str, bytes)) else MOST_ITEMS
    if len(what) * times > most:
        raise FunctionFault(f"*: more than {most} {'characters' if most > MOST_ITEMS else 'items'}")


def _bits(number: Any) -> int:
    return number.bit_length() if isinstance(number, int) else 0
