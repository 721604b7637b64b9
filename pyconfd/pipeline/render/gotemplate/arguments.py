"""
Checks arguments whose type is only known at the call, like Go's validateType. Pure.

One function for each type of a parameter; it returns the value to pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyconfd.pipeline.render.gotemplate.errors import GoFault, wrong_type
from pyconfd.pipeline.render.gotemplate.functions.times import GoName
from pyconfd.pipeline.render.gotemplate.values import (
    NOTHING,
    Anys,
    NilMap,
    PairSlice,
    Strings,
    go_type,
)


def string(value: Any) -> Any:
    """A string."""
    if isinstance(value, str) and type(value) is not GoName:
        return value
    raise _refused(value, "string")


def integer(value: Any) -> Any:
    """An int."""
    if type(value) is int:
        return value
    raise _refused(value, "int")


def boolean(value: Any) -> Any:
    """A bool."""
    if type(value) is bool:
        return value
    raise _refused(value, "bool")


def strings(value: Any) -> Any:
    """A []string."""
    if type(value) is Strings:
        return value
    if value is NOTHING:
        return Strings(is_nil=True)
    raise _refused(value, "[]string")


def pairs(value: Any) -> Any:
    """A []memkv.KVPair."""
    if isinstance(value, PairSlice):
        return value
    if value is NOTHING:
        return PairSlice(is_nil=True)
    raise _refused(value, "[]memkv.KVPair")


def anys(value: Any) -> Any:
    """A []interface{}."""
    if type(value) is list or type(value) is Anys:
        return value
    if value is NOTHING:
        return Anys(is_nil=True)
    raise _refused(value, "[]interface {}")


def mapping(value: Any) -> Any:
    """A map[string]interface{}."""
    if isinstance(value, dict):
        return value
    if value is NOTHING:
        return NilMap()
    raise _refused(value, "map[string]interface {}")


def _refused(value: Any, expected: str) -> GoFault:
    if value is NOTHING:
        return GoFault(f"invalid value; expected {expected}")
    return wrong_type(expected, go_type(value))


#: The type of a parameter -> what checks it; "any" and "value" take everything.
CHECKS: dict[str, Callable[[Any], Any]] = {
    "string": string,
    "int": integer,
    "bool": boolean,
    "strings": strings,
    "pairs": pairs,
    "list": anys,
    "map": mapping,
}

#: As messages call them.
GO_NAMES = {
    "string": "string",
    "int": "int",
    "bool": "bool",
    "strings": "[]string",
    "pairs": "[]memkv.KVPair",
    "list": "[]interface {}",
    "map": "map[string]interface {}",
}
