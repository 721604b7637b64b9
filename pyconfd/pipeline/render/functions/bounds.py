"""
Limits of what one call of a template may make. Pure.

Such calls are one step for Python, which a time limit cannot interrupt, and their numbers may come
from values of keys.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sized
from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault

#: Items of a list or range, characters of a text.
MOST_ITEMS, MOST_CHARACTERS = 1_000_000, 10_000_000
#: Binary digits of a number.
_MOST_BITS = 100_000
# What `*` repeats.
_REPEATED = (str, list, tuple, bytes)


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


def few(name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
    """A slow filter of Jinja2, which raises FunctionFault for large inputs."""
    # What Jinja2 reads off a filter: which of its own objects it wants first.
    first = 1 if hasattr(filter_, "jinja_pass_arg") else 0

    @functools.wraps(filter_)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        given = args[first] if len(args) > first else None
        if isinstance(given, Sized) and len(given) > MOST_ITEMS:
            raise FunctionFault(f"{name}: more than {MOST_ITEMS} {_unit(given)}")
        return filter_(*args, **kwargs)

    return bounded


def method(called: Any, args: tuple[Any, ...]) -> None:
    """
    Raises FunctionFault for a call of a text's or list's method that would make or read too much.
    """
    of = getattr(called, "__self__", None)
    if isinstance(of, (str, bytes, list)) and len(of) > MOST_ITEMS:
        raise FunctionFault(f"{called.__name__}: more than {MOST_ITEMS} {_unit(of)}")
    if isinstance(of, (str, bytes)) and any(isinstance(a, int) and a > MOST_ITEMS for a in args):
        raise FunctionFault(f"{called.__name__}: more than {MOST_ITEMS} {_unit(of)}")


def _unit(of: Any) -> str:
    return "characters" if isinstance(of, (str, bytes)) else "items"


def product(left: Any, right: Any) -> Any:
    """The `*` of templates. Raises FunctionFault when it repeats too often."""
    if type(left) is type(right) is float:
        return left * right
    if isinstance(right, int) and isinstance(left, _REPEATED):
        _repeats(left, right)
    elif isinstance(left, int) and isinstance(right, _REPEATED):
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
        raise FunctionFault(f"*: more than {most} {_unit(what)}")


def _bits(number: Any) -> int:
    return number.bit_length() if isinstance(number, int) else 0
