"""How Go prints values: fmt's %v. Pure."""

from __future__ import annotations

from typing import Any

from pyconfd.pipeline.render.functions.host import SrvTarget
from pyconfd.pipeline.render.functions.store import Pair
from pyconfd.pipeline.render.gotemplate.errors import GoFault
from pyconfd.pipeline.render.gotemplate.values import NOTHING

# Floats from here on, and below ten to minus this, print with an exponent.
_FIRST_EXPONENT = 6
_LEAST_EXPONENT = 4


def printed(value: Any) -> str:
    """What `{{value}}` prints. Raises GoFault for what has no text."""
    if isinstance(value, str):
        return value
    if value is None or value is NOTHING:
        return "<no value>"
    return verb_v(value)


def verb_v(value: Any) -> str:
    """What fmt.Sprint makes of one value."""
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return shortest(value)
    return _compound(value)


def _compound(value: Any) -> str:
    if value is None or value is NOTHING:
        return "<nil>"
    if type(value) is Pair or type(value) is SrvTarget:
        return "{" + " ".join(map(verb_v, value)) + "}"
    if isinstance(value, list):
        return "[" + " ".join(map(_element, value)) + "]"
    if isinstance(value, dict):
        members = (f"{name}:{_element(value[name])}" for name in sorted(value))
        return "map[" + " ".join(members) + "]"
    if isinstance(value, complex):
        imaginary = shortest(value.imag)
        sign = "" if imaginary[0] in "+-" else "+"
        return f"({shortest(value.real)}{sign}{imaginary}i)"
    if hasattr(type(value), "go_type"):
        return str(value)
    raise GoFault(f"a {type(value).__name__} cannot be printed")


def _element(value: Any) -> str:
    if type(value) is SrvTarget:
        raise GoFault("a list of SRV records prints as addresses of memory: loop over it")
    return verb_v(value)


def digits_of(value: float) -> tuple[str, str, int]:
    """Sign, shortest digits and decimal point: the value is 0.DIGITS times ten to the point."""
    text = repr(value)
    sign = "-" if text[0] == "-" else ""
    mantissa, _, power = text[len(sign) :].partition("e")
    whole, _, fraction = mantissa.partition(".")
    all_digits = whole + fraction
    digits = all_digits.lstrip("0")
    point = len(whole) + int(power or 0) - (len(all_digits) - len(digits))
    digits = digits.rstrip("0")
    return (sign, digits, point) if digits else (sign, "0", 1)


def unusual(value: float) -> str:
    """The text of what is no finite number; empty for what is one."""
    if value != value:
        return "NaN"
    return {float("inf"): "+Inf", float("-inf"): "-Inf"}.get(value, "")


def shortest(value: float) -> str:
    """%v of a float64: as few digits as tell it from its neighbours."""
    if 1e-4 <= value < 1e6 or value == 0:  # as Python's repr has it
        text = repr(value)
        return text[:-2] if text[-2:] == ".0" else text
    if text := unusual(value):
        return text
    sign, digits, point = digits_of(value)
    if -_LEAST_EXPONENT <= point - 1 < _FIRST_EXPONENT:
        return sign + plain(digits, point)
    return sign + scientific(digits, point - 1)


def scientific(digits: str, exponent: int) -> str:
    """D.DDDe+XX."""
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def plain(digits: str, point: int) -> str:
    """Digits with a decimal point where it belongs."""
    if point <= 0:
        return "0." + "0" * -point + digits
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"
