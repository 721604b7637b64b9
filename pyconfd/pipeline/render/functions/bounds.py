"""
Limits of what one call of a template may make. Pure.

Such calls are one step for Python, which a time limit cannot interrupt, and their numbers may come
from values of keys.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Mapping, Sequence, Sized
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


def filled(name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja2 that makes as much as a number says: a large one is a FunctionFault."""

    @functools.wraps(filter_)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        numbers = (one for one in (*args[1:], *kwargs.values()) if isinstance(one, int))
        if any(abs(number) > MOST_ITEMS for number in numbers):
            raise FunctionFault(f"{name}: more than {MOST_ITEMS} characters or items")
        return filter_(*args, **kwargs)

    return bounded


def method(called: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """
    Raises FunctionFault for a call of a text's or list's method that would make or read too much.
    """
    of, name = getattr(called, "__self__", None), called.__name__
    if isinstance(of, (str, bytes, list)) and len(of) > MOST_ITEMS:
        raise FunctionFault(f"{name}: more than {MOST_ITEMS} {_unit(of)}")
    if not isinstance(of, (str, bytes)):
        return
    if name == "replace" and len(args) > 1:
        replacement(of, *args[:3])
    elif name == "join" and args and isinstance(args[0], (list, tuple)):
        separators(of, args[0])
    elif name == "format" and isinstance(of, str):
        _widths(of, (*args, *kwargs.values()))
    elif name in _FILLING and any(isinstance(a, int) and a > MOST_ITEMS for a in args):
        raise FunctionFault(f"{name}: more than {MOST_ITEMS} {_unit(of)}")


def replacement(text: Any, old: Any, new: Any, count: Any = -1) -> None:
    """Raises FunctionFault when `text.replace(old, new, count)` would be too long."""
    if not all(isinstance(one, (str, bytes)) for one in (text, old, new)):
        return  # the call says what is wrong
    more = len(new) - len(old)
    if more <= 0 or len(text) + (len(text) + 1) * more <= MOST_CHARACTERS:
        return
    times = text.count(old)
    if isinstance(count, int) and count >= 0:
        times = min(times, count)
    if len(text) + times * more > MOST_CHARACTERS:
        raise FunctionFault(f"replace: more than {MOST_CHARACTERS} characters")


def separators(separator: Sized, items: Sized) -> None:
    """Raises FunctionFault when all that stand between these items are too long."""
    if len(separator) * len(items) > MOST_CHARACTERS:
        raise FunctionFault(f"join: more than {MOST_CHARACTERS} characters")


def indented(name: str, spaces: int, text: str) -> None:
    """Raises FunctionFault when the lines of a text, pushed in so far, would be too long."""
    if spaces > 0 and len(text) + spaces * (text.count("\n") + 1) > MOST_CHARACTERS:
        raise FunctionFault(f"{name}: more than {MOST_CHARACTERS} characters")


def metered(name: str, make: Callable[[Any], str]) -> Callable[[Any], str]:
    """What makes parts of a text. It raises FunctionFault when all of them are too long."""
    made = 0

    def part(of: Any) -> str:
        nonlocal made
        text = make(of)
        made += len(text)
        if made > MOST_CHARACTERS:
            raise FunctionFault(f"{name}: more than {MOST_CHARACTERS} characters")
        return text

    return part


#: Methods of a text that fill it up to a number of characters.
_FILLING = ("center", "expandtabs", "ljust", "rjust", "zfill")
_NUMBER = re.compile("[0-9]+")
_MOST_DIGITS = len(str(MOST_ITEMS))


def _widths(text: str, args: Sequence[Any]) -> None:
    """Raises FunctionFault for a width in `text.format(*args)` that is too large."""
    try:
        specs = [spec for _, _, spec, _ in string.Formatter().parse(text) if spec]
    except ValueError:
        return  # the call says what is wrong
    for spec in specs:
        numbers = _NUMBER.findall(spec)
        wide = any(len(n) > _MOST_DIGITS or int(n) > MOST_ITEMS for n in numbers)
        if wide or ("{" in spec and any(isinstance(a, int) and a > MOST_ITEMS for a in args)):
            raise FunctionFault(f"format: more than {MOST_ITEMS} characters")


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
