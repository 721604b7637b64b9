"""JSON as Go's encoding/json reads and writes it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from pyconfd.pipeline.render.functions.host import SrvTarget
from pyconfd.pipeline.render.functions.store import Pair
from pyconfd.pipeline.render.gotemplate.errors import GoFault
from pyconfd.pipeline.render.gotemplate.printing import digits_of, plain, unusual
from pyconfd.pipeline.render.gotemplate.values import NOTHING, Anys, NilMap, go_type

if TYPE_CHECKING:
    from json import JSONDecoder

_REPLACEMENT = "\ufffd"
_NO_UTF8 = re.compile("[\udc80-\udcff]")
# A number that may be too large for a float64.
_LARGE = re.compile(r"[eE][+]?[0-9]{3}|[0-9]{300}")
_SURROGATES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def decoded(text: str) -> Any:
    """Any JSON value; every number is a float. Raises GoFault, which never holds the text."""
    if not text.isascii():
        text = _NO_UTF8.sub(_REPLACEMENT, text)
    if "\\u" in text:
        text = _SURROGATES.sub(lambda found: r"\ufffd" if found[1] else found[0], text)
    number = _number if _LARGE.search(text) else float
    try:
        return _decoder(number).decode(text)
    except RecursionError:
        raise GoFault("not JSON: nested too deeply") from None
    except ValueError as error:
        raise GoFault(f"not JSON: {error}") from error


@lru_cache(maxsize=2)
def _decoder(number: Callable[[str], float]) -> JSONDecoder:
    """Kept, because making one costs more than most texts."""
    from json import JSONDecoder

    return JSONDecoder(parse_int=number, parse_float=number, parse_constant=_no_constant)


def _number(digits: str) -> float:
    value = float(digits)
    if unusual(value):
        raise ValueError("a number is too large")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def json_object(text: str) -> dict[str, Any]:
    """A JSON object; null is a nil map."""
    value = decoded(text)
    if value is None:
        return NilMap()
    if not isinstance(value, dict):
        raise GoFault("json: the text holds no object: use jsonArray")
    return value


def json_array(text: str) -> list[Any]:
    """A JSON array; null is a nil slice."""
    value = decoded(text)
    if value is None:
        return Anys(is_nil=True)
    if not isinstance(value, list):
        raise GoFault("jsonArray: the text holds no array: use json")
    return value


def to_json(value: Any) -> str:
    """JSON on one line, members sorted by name."""
    return _encoded(value, "", "")


def to_pretty_json(value: Any) -> str:
    """JSON over several lines, two spaces a level."""
    return _encoded(value, "\n", "  ")


def _encoded(value: Any, line: str, indent: str) -> str:
    """line: what begins a new line at this depth; empty when all stands on one."""
    if isinstance(value, str):
        return _text(value)
    if value is None or value is NOTHING or isinstance(value, NilMap):
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return _float(value)
    if getattr(value, "is_nil", False):
        return "null"
    return _compound(value, line, indent)


def _compound(value: Any, line: str, indent: str) -> str:
    below = line + indent
    if isinstance(value, list):
        return _enclosed("[]", [_encoded(item, below, indent) for item in value], line, below)
    if type(value) is Pair:
        value = {"Key": value[0], "Value": value[1]}
        names = list(value)
    elif type(value) is SrvTarget:
        names = ["Target", "Port", "Priority", "Weight"]
        value = dict(zip(names, value, strict=True))
    elif isinstance(value, dict):
        names = sorted(value)
    elif hasattr(type(value), "go_json"):
        return _text(value.go_json())
    else:
        raise GoFault(f"json: unsupported type: {go_type(value)}")
    colon = ": " if indent else ":"
    parts = [f"{_text(name)}{colon}{_encoded(value[name], below, indent)}" for name in names]
    return _enclosed("{}", parts, line, below)


def _enclosed(brackets: str, parts: list[str], line: str, below: str) -> str:
    if not parts:
        return brackets
    return brackets[0] + below + f",{below}".join(parts) + line + brackets[1]


_ESCAPED = re.compile('[\\\\"\x00-\x1f<>&\u2028\u2029\udc80-\udcff]')
_SHORT = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _text(value: str) -> str:
    return '"' + _ESCAPED.sub(_escape, value) + '"'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    if "\udc80" <= char <= "\udcff":
        return _REPLACEMENT
    return _SHORT.get(char) or f"\\u{ord(char):04x}"


def _float(value: float) -> str:
    if unusual(value):
        raise GoFault("json: unsupported value: a number that is not finite")
    sign, digits, point = digits_of(value)
    if value and not 1e-6 <= abs(value) < 1e21:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"
    return sign + plain(digits, point)
