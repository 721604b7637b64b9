"""confd's functions for lists and maps, and those that choose. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyconfd.pipeline.render.functions.store import Pair
from pyconfd.pipeline.render.gotemplate.errors import GoFault
from pyconfd.pipeline.render.gotemplate.functions.json import (
    decoded,
    json_array,
    json_object,
    to_json,
    to_pretty_json,
)
from pyconfd.pipeline.render.gotemplate.functions.sorting import sort
from pyconfd.pipeline.render.gotemplate.values import (
    NOTHING,
    Anys,
    Pairs,
    PairSlice,
    Slice,
    Strings,
    to_bytes,
)


def held(value: Any) -> Any:
    """A value as a list or map holds it: nothing is a nil there."""
    return None if value is NOTHING else value


def make_map(*values: Any) -> dict[str, Any]:
    """A map of keys and values in turn."""
    if len(values) % 2:
        raise GoFault("invalid map call: a value is missing")
    if not all(isinstance(key, str) for key in values[::2]):
        raise GoFault("map keys must be strings")
    return dict(zip(map(str, values[::2]), map(held, values[1::2]), strict=True))


def make_list(*values: Any) -> list[Any]:
    """The arguments as a list."""
    return list(map(held, values))


def append(items: list[Any], value: Any) -> list[Any]:
    """A new list with one more item."""
    return [*items, held(value)]


def has_key(mapping: dict[str, Any], key: str) -> bool:
    """Whether the map has this key."""
    return key in mapping


def sorted_keys(mapping: dict[str, Any]) -> Strings:
    """The keys, sorted."""
    return Strings(sorted(mapping))


def sorted_values(mapping: dict[str, Any]) -> list[Any]:
    """The values, sorted by key."""
    return [mapping[key] for key in sorted(mapping)]


def pluck(key: str, *mappings: dict[str, Any]) -> list[Any]:
    """The value of a key in each map that has it."""
    found = [mapping[key] for mapping in mappings if key in mapping]
    return found or Anys(is_nil=True)


def default(fallback: Any, value: Any) -> Any:
    """The value, or another when it is empty."""
    return held(fallback if empty(value) else value)


def ternary(when_true: Any, when_false: Any, condition: bool) -> Any:
    """One of two values."""
    return held(when_true if condition else when_false)


def coalesce(*values: Any) -> Any:
    """The first value that is not empty."""
    return next((value for value in values if not empty(value)), None)


def empty(value: Any) -> bool:
    """Whether a value is the zero of its type."""
    if type(value) is Pair:
        return not any(value)
    return not value


def _changed(items: Slice) -> None:
    """What shares the elements of a slice that was put in order changes with it."""
    behind: Any = items.behind
    while behind is not None:
        behind[:] = items
        behind = getattr(behind, "behind", None)


def sort_by_length(items: Strings) -> Strings:
    """The same list, shortest first."""
    sort(items, lambda item: len(to_bytes(item)))
    _changed(items)
    return items


def sort_pairs_by_length(items: PairSlice) -> PairSlice:
    """The same list as []KVPair, shortest key first."""
    sort(items, lambda pair: len(to_bytes(pair[0])))
    _changed(items)
    return items if type(items) is PairSlice else PairSlice(items, items.is_nil, items)


def _is_reversible(items: Any) -> bool:
    """confd knows []string and []KVPair; what gets returns is of another type."""
    return type(items) is Strings or (isinstance(items, PairSlice) and type(items) is not Pairs)


def reverse_in_place(items: Any) -> Any:
    """The same list, last item first; anything else stays as it is."""
    if _is_reversible(items):
        items.reverse()
        _changed(items)
    return held(items)


def reverse_copy(items: Any) -> Any:
    """A new list, last item first; anything else stays as it is."""
    return type(items)(items[::-1]) if _is_reversible(items) else held(items)


LIST_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "append": append,
    "coalesce": coalesce,
    "default": default,
    "dict": make_map,
    "empty": empty,
    "fromJson": decoded,
    "hasKey": has_key,
    "json": json_object,
    "jsonArray": json_array,
    "keys": sorted_keys,
    "list": make_list,
    "map": make_map,
    "pluck": pluck,
    "reverse": reverse_in_place,
    "sortByLength": sort_by_length,
    "sortKVByLength": sort_pairs_by_length,
    "ternary": ternary,
    "toJson": to_json,
    "toPrettyJson": to_pretty_json,
    "values": sorted_values,
}
