"""
The functions that every Go template has, after text/template/funcs.go. Pure.

`and`, `or` and `not` are operators of the translated template; print and printf are made by
functions.py, which knows whether values are checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NoReturn
from urllib.parse import quote_plus

from pyconfd.pipeline.render.functions.host import SrvTarget
from pyconfd.pipeline.render.gotemplate.errors import GoFault
from pyconfd.pipeline.render.gotemplate.printing import printed, verb_v
from pyconfd.pipeline.render.gotemplate.values import (
    NOTHING,
    NilMap,
    Slice,
    Uint8,
    go_type,
    to_bytes,
    to_text,
)


def _kind(value: Any) -> str:
    """The basic kind of a value for comparisons; empty for what has none."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"  # also what Go has as unsigned, which it compares with int
    if isinstance(value, float):
        return "float"
    return "complex" if isinstance(value, complex) else ""


def eq(first: Any, *others: Any) -> bool:
    """Whether the first argument equals one of the others."""
    if len(others) == 1 and type(first) is str and type(others[0]) is str:
        return bool(first == others[0])
    if not others:
        raise GoFault("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def ne(first: Any, second: Any) -> bool:
    """Whether two values differ."""
    return not eq(first, second)


def _equal(first: Any, second: Any) -> bool:
    first_kind, second_kind = _kind(first), _kind(second)
    if first_kind != second_kind:
        if _is_nil_value(first) or _is_nil_value(second):
            return False
        raise _incompatible(first, second)
    if first_kind:
        return bool(first == second)
    return _equal_compounds(first, second)


def _is_nil_value(value: Any) -> bool:
    return value is None or value is NOTHING


def _is_nil(value: Any) -> bool:
    return _is_nil_value(value) or isinstance(value, NilMap) or getattr(value, "is_nil", False)


def _equal_compounds(first: Any, second: Any) -> bool:
    untyped = _is_nil_value(first) or _is_nil_value(second)
    if not untyped and _shape(first) != _shape(second):
        raise GoFault(f"non-comparable types {go_type(first)} and {go_type(second)}")
    if _is_nil(first) or _is_nil(second):
        return _is_nil(first) == _is_nil(second)
    if isinstance(second, (list, dict)):
        raise GoFault(f"non-comparable type {go_type(second)}")
    if type(first) is SrvTarget:
        return first is second
    return bool(first == second)


def _shape(value: Any) -> type:
    for shape in (list, dict):
        if isinstance(value, shape):
            return shape
    return type(value)


def _incompatible(first: Any, second: Any) -> GoFault:
    types = f"{go_type(first)} and {go_type(second)}"
    return GoFault(f"incompatible types for comparison: {types}")


def lt(first: Any, second: Any) -> bool:
    """Whether the first is less than the second."""
    kind = _kind(first)
    if not kind or not _kind(second):
        raise GoFault("invalid type for comparison")
    if kind != _kind(second):
        raise _incompatible(first, second)
    if kind in ("bool", "complex"):
        raise GoFault("invalid type for comparison")
    if kind == "string":
        return _less(first, second)
    return bool(first < second)


def _less(first: str, second: str) -> bool:
    if first.isascii() and second.isascii():
        return first < second
    return to_bytes(first) < to_bytes(second)


def le(first: Any, second: Any) -> bool:
    """Whether the first is less than or equal to the second."""
    return lt(first, second) or eq(first, second)


def gt(first: Any, second: Any) -> bool:
    """Whether the first is greater than the second."""
    return not le(first, second)


def ge(first: Any, second: Any) -> bool:
    """Whether the first is greater than or equal to the second."""
    return not lt(first, second)


def length(value: Any) -> int:
    """The length of a text in bytes, or of a list or map."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(to_bytes(value))
    if isinstance(value, (list, dict)):
        return len(value)
    if _is_nil_value(value):
        raise GoFault("len of nothing")
    raise GoFault(f"len of type {go_type(value)}")


def index(value: Any, *indexes: Any) -> Any:
    """value[i][j]...: of lists and texts by number, of maps by key."""
    if _is_nil_value(value):
        raise GoFault("index of untyped nil")
    for one in indexes:
        if value is None:
            raise GoFault("index of nil pointer")
        value = _element(value, one)
    return value


def _element(value: Any, at: Any) -> Any:
    if isinstance(value, dict):
        if _is_nil_value(at):
            raise GoFault("value is nil; should be of type string")
        if not isinstance(at, str):
            raise GoFault(f"value has type {go_type(at)}; should be string")
        return value.get(at)
    if not isinstance(value, (list, str)):
        raise GoFault(f"can't index item of type {go_type(value)}")
    items = to_bytes(value) if isinstance(value, str) else value
    at = _position(at, len(items))
    if at == len(items):
        raise GoFault(f"index out of range: {at}")
    return Uint8(items[at]) if isinstance(items, bytes) else items[at]


def _position(at: Any, most: int) -> int:
    if _is_nil_value(at):
        raise GoFault("cannot index slice/array with nil")
    if not isinstance(at, int) or isinstance(at, bool):
        raise GoFault(f"cannot index slice/array with type {go_type(at)}")
    if not 0 <= at <= most:
        raise GoFault(f"index out of range: {at}")
    return int(at)


def slice_of(value: Any, *indexes: Any) -> Any:
    """value[i:j]; a third index says the capacity of a list, which means nothing here."""
    if _is_nil_value(value):
        raise GoFault("slice of untyped nil")
    if len(indexes) > 3:
        raise GoFault(f"too many slice indexes: {len(indexes)}")
    if not isinstance(value, (list, str)):
        raise GoFault(f"can't slice item of type {go_type(value)}")
    if isinstance(value, str) and len(indexes) == 3:
        raise GoFault("cannot 3-index slice a string")
    items: Any = to_bytes(value) if isinstance(value, str) else value
    bounds = [0, len(items)]
    for place, one in enumerate(indexes):
        bounds[place : place + 1] = [_position(one, len(items))]
    for first, second in pairwise(bounds):
        if first > second:
            raise GoFault(f"invalid slice index: {first} > {second}")
    part = items[bounds[0] : bounds[1]]
    if isinstance(part, bytes):
        return to_text(part)
    return type(value)(part) if isinstance(value, Slice) else part


def call(*_: Any) -> NoReturn:
    """Go's call, which no template of confd has a function for."""
    raise GoFault("call: there are no values that are functions")


def joined_texts(values: tuple[Any, ...]) -> str:
    """The text of the arguments of html, js and urlquery."""
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return "".join(sprint_parts([printed(v) if _is_nil_value(v) else v for v in values], str))


def sprint_parts(values: Sequence[Any], literal: Callable[[str], str]) -> list[Any]:
    """The parts of fmt.Sprint: a space between two values of which none is a text."""
    parts: list[Any] = []
    for place, value in enumerate(values):
        is_text = isinstance(value, str)
        if place and not is_text and not isinstance(values[place - 1], str):
            parts.append(literal(" "))
        parts.append(value if is_text else verb_v(value))
    return parts


_HTML = str.maketrans(
    {
        "\0": "\ufffd",
        '"': "&#34;",
        "'": "&#39;",
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
    }
)


def html(*values: Any) -> str:
    """The text of the arguments, escaped for HTML."""
    return joined_texts(values).translate(_HTML)


_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"'}


def js(*values: Any) -> str:
    """The text of the arguments, escaped for JavaScript."""
    return "".join(map(_js_char, joined_texts(values)))


def _js_char(char: str) -> str:
    if char in _JS:
        return _JS[char]
    code = ord(char)
    if char in "<>&=" or code < 0x20:
        return f"\\u{code:04X}"
    if "\udc80" <= char <= "\udcff":
        return "\ufffd"
    return char if code < 0x80 or char.isprintable() else f"\\u{code:04X}"


def urlquery(*values: Any) -> str:
    """The text of the arguments, escaped for the query of a URL."""
    return quote_plus(to_bytes(joined_texts(values)), safe="")


BUILTINS: dict[str, Callable[..., Any]] = {
    "call": call,
    "eq": eq,
    "ge": ge,
    "gt": gt,
    "html": html,
    "index": index,
    "js": js,
    "le": le,
    "len": length,
    "lt": lt,
    "ne": ne,
    "slice": slice_of,
    "urlquery": urlquery,
}
