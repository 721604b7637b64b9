"""
Go's values in Python. Pure.

str is a string, with bytes that are not UTF-8 as surrogates; int, float, bool, complex are int,
float64, bool, complex128; list is []interface{} and dict map[string]interface{}; Pair is memkv's
KVPair. Other types of Go have a class here. All of them are true in Python if they are in Go.

None is a nil in an interface, such as JSON's null; NOTHING is no value at all, such as a missing
member. Both print the same; only a member of None is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, final

from pyconfd.pipeline.render.functions.host import SrvTarget
from pyconfd.pipeline.render.functions.store import Pair
from pyconfd.pipeline.render.gotemplate.errors import GoFault

_INT_BITS = 64


@final
class Nothing:
    """The type of NOTHING."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = Nothing()


class Slice(list[Any]):
    """
    A slice of one type of elements.

    is_nil: whether it is a nil slice, which toJson writes as null.
    behind: the list that shares its elements, so that a change is visible in both.
    """

    __slots__ = ("behind", "is_nil")
    go_type = "[]interface {}"

    def __init__(
        self, items: Iterable[Any] = (), is_nil: bool = False, behind: list[Any] | None = None
    ) -> None:
        super().__init__(items)
        self.is_nil = is_nil
        self.behind = behind


class Strings(Slice):
    """[]string."""

    __slots__ = ()
    go_type = "[]string"


class Ints(Slice):
    """[]int."""

    __slots__ = ()
    go_type = "[]int"


class PairSlice(Slice):
    """[]memkv.KVPair."""

    __slots__ = ()
    go_type = "[]memkv.KVPair"


class Pairs(PairSlice):
    """memkv.KVPairs, which `gets` returns."""

    __slots__ = ()
    go_type = "memkv.KVPairs"


class SrvTargets(Slice):
    """[]*net.SRV."""

    __slots__ = ()
    go_type = "[]*net.SRV"


class Anys(Slice):
    """[]interface{} that is nil."""

    __slots__ = ()


class NilMap(dict[str, Any]):
    """A map that is nil."""

    __slots__ = ()


class Uint8(int):
    """A byte of a string."""

    __slots__ = ()
    go_type = "uint8"


class Uint16(int):
    """A port or weight of an SRV record."""

    __slots__ = ()
    go_type = "uint16"


_SRV_FIELDS = ("Target", "Port", "Priority", "Weight")
_NAMES = {
    SrvTarget: "net.SRV",
    int: "int",
    float: "float64",
    bool: "bool",
    complex: "complex128",
    list: "[]interface {}",
    Pair: "memkv.KVPair",
    type(None): "interface {}",
    Nothing: "<nil>",
}


def go_type(value: Any) -> str:
    """The name of a value's type in Go."""
    name = getattr(type(value), "go_type", None) or _NAMES.get(type(value))
    if name is not None:
        return str(name)
    if isinstance(value, str):
        return "string"
    return "map[string]interface {}" if isinstance(value, dict) else "<nil>"


def wrapped(number: int) -> int:
    """A whole number wrapped to 64 bits."""
    if -(1 << 63) <= number < 1 << 63:
        return number
    number &= (1 << _INT_BITS) - 1
    return number - (1 << _INT_BITS) if number >> 63 else number


def to_bytes(text: str) -> bytes:
    """The bytes of a string."""
    return text.encode("utf-8", "surrogateescape")


def to_text(data: bytes) -> str:
    """The string of these bytes."""
    return data.decode("utf-8", "surrogateescape")


def settled(value: Any) -> Any:
    """The value of a pipeline, in which a nil in an interface becomes no value."""
    return NOTHING if value is None else value


def member(value: Any, name: str) -> Any:
    """`value.name` without arguments. Raises GoFault."""
    kind = type(value)
    if kind is Pair:
        if name == "Key":
            return value[0]
        if name == "Value":
            return value[1]
    elif kind is SrvTarget:
        if name in _SRV_FIELDS:
            return value[_SRV_FIELDS.index(name)]
    elif kind is dict or isinstance(value, dict):
        return value.get(name, NOTHING)
    elif value is NOTHING:
        return NOTHING
    elif value is None:
        raise GoFault(f"nil pointer evaluating interface {{}}.{name}")
    elif hasattr(kind, "go_member"):
        return value.go_member(name)
    raise GoFault(f"can't evaluate field {name} in type {go_type(value)}{_meant(kind, name)}")


def _meant(kind: type, name: str) -> str:
    """The field of this name in Go's spelling with a capital letter, such as `.Value` of a pair."""
    fields = {Pair: ("Key", "Value"), SrvTarget: _SRV_FIELDS}.get(kind, ())
    found = (field for field in fields if field.lower() == name.lower())
    return "".join(f"; did you mean .{field}?" for field in found)


def invoked(value: Any, name: str, *args: Any) -> Any:
    """`value.name` with arguments, which only a method takes. Raises GoFault."""
    if value is NOTHING:
        return NOTHING
    if hasattr(type(value), "go_call"):
        return value.go_call(name, *args)
    member(value, name)
    raise GoFault(f"{name} is not a method but has arguments")


def elements(value: Any, several: bool = False) -> Any:
    """
    The elements that a range goes over: something with a length, empty for nothing.

    several: whether there are two variables. Raises GoFault.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value[name] for name in sorted(value)]
    if value is None or value is NOTHING:
        return ()
    if isinstance(value, int) and not isinstance(value, bool):
        return _counted(value, several)
    raise GoFault(f"range can't iterate over a value of type {go_type(value)}")


#: A range over more than this is an error: it would hold up everything else.
MOST_ELEMENTS = 1_000_000


def _counted(value: int, several: bool) -> range:
    if several:
        raise GoFault("can't use a number to iterate over more than one variable")
    if value > MOST_ELEMENTS:
        raise GoFault(f"a range over more than {MOST_ELEMENTS} numbers")
    return range(value)


def indexed(value: Any) -> Any:
    """Pairs of index and element, or of key and value, for a range with two variables."""
    if isinstance(value, dict):
        return sorted(value.items(), key=lambda item: item[0])
    return enumerate(elements(value, several=True))
