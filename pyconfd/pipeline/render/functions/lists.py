"""The functions of templates for lists and mappings, and those that choose. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.names import behind_pipe, template_filter, template_function


@template_function("dict", "map")
def make_map(*pairs: Any, **members: Any) -> dict[str, Any]:
    """A mapping of `"key", value, "key", value, ...` and of `key=value`."""
    if len(pairs) % 2:
        raise FunctionFault("a mapping wants keys and values in turn: one is missing")
    keys = pairs[::2]
    if not all(isinstance(key, str) for key in keys):
        raise FunctionFault("the keys of a mapping must be text")
    return {**dict(zip(keys, pairs[1::2], strict=True)), **members}


@template_function("list")
def make_list(*items: Any) -> list[Any]:
    """The arguments as a list."""
    return list(items)


@template_filter("hasKey")
def has_key(mapping: Mapping[str, Any], key: str) -> bool:
    """Whether the mapping has this key."""
    return key in mapping


@template_filter("keys")
def sorted_keys(mapping: Mapping[str, Any]) -> list[str]:
    """The keys, sorted."""
    return sorted(mapping)


@template_filter("values")
def sorted_values(mapping: Mapping[str, Any]) -> list[Any]:
    """The values, sorted by key."""
    return [mapping[key] for key in sorted(mapping)]


@template_filter()
def append(items: Sequence[Any], item: Any) -> list[Any]:
    """A new list with one more item at its end."""
    return [*items, item]


@template_function()
def pluck(key: str, *mappings: Mapping[str, Any]) -> list[Any]:
    """The value of `key` in each mapping that has it."""
    return [mapping[key] for mapping in mappings if key in mapping]


behind_pipe("pluck", lambda mappings, key: pluck(key, *mappings))


@template_function()
def reverse(items: Iterable[Any]) -> list[Any]:
    """A new list, last item first."""
    return list(items)[::-1]


@template_filter("sortByLength")
def sort_by_length(items: Iterable[str]) -> list[str]:
    """A new list, shortest first by bytes; what is as long as another keeps its order."""
    return sorted(items, key=lambda item: len(item.encode()))


@template_filter("sortKVByLength")
def sort_pairs_by_length(pairs: Iterable[Any]) -> list[Any]:
    """A new list of pairs, shortest key first by bytes."""
    return sorted(pairs, key=lambda pair: len(pair.key.encode()))


@template_function()
def default(fallback: Any, value: Any) -> Any:
    """`value`, or `fallback` when it is empty, zero, false or none."""
    return value or fallback


@template_function()
def ternary(when_true: Any, when_false: Any, condition: Any) -> Any:
    """One of two values."""
    return when_true if condition else when_false


behind_pipe(
    "ternary", lambda condition, when_true, when_false: ternary(when_true, when_false, condition)
)


@template_function()
def coalesce(*values: Any) -> Any:
    """The first value that is not empty, zero, false or none."""
    return next((value for value in values if value), None)


@template_filter()
def empty(value: Any) -> bool:
    """Whether a value is empty, zero, false or none."""
    return not value
