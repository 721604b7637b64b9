"""The functions of templates that read and write JSON. Pure."""

from __future__ import annotations

from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.names import template_filter


@template_filter("fromJson")
def from_json(text: str) -> Any:
    """Any JSON value; whole numbers stay whole."""
    import json

    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise FunctionFault("not JSON: nested too deeply") from None
    except ValueError as error:
        raise FunctionFault(f"not JSON: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


@template_filter("json")
def json_object(text: str) -> dict[str, Any]:
    """A JSON object as a mapping."""
    value = from_json(text)
    if not isinstance(value, dict):
        raise FunctionFault("json: the text holds no object: use jsonArray or fromJson")
    return value


@template_filter("jsonArray")
def json_array(text: str) -> list[Any]:
    """A JSON array as a list."""
    value = from_json(text)
    if not isinstance(value, list):
        raise FunctionFault("jsonArray: the text holds no array: use json or fromJson")
    return value


@template_filter("toJson")
def to_json(value: Any) -> str:
    """JSON on one line, without spaces, members sorted by name."""
    return _dump(value, None, (",", ":"))


@template_filter("toPrettyJson")
def to_pretty_json(value: Any) -> str:
    """JSON over several lines, two spaces a level, members sorted by name."""
    return _dump(value, 2, (",", ": "))


def _dump(value: Any, spaces: int | None, separators: tuple[str, str]) -> str:
    import json

    try:
        return json.dumps(
            _whole(value),
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=True,
            indent=spaces,
            separators=separators,
        )
    except RecursionError:
        raise FunctionFault("cannot be JSON: nested too deeply, or within itself") from None
    except (TypeError, ValueError) as error:
        raise FunctionFault(f"cannot be JSON: {error}") from error


def _whole(value: Any) -> Any:
    """The value with whole numbers instead of floats such as 1.0, as Go writes them."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXPONENT else value
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return value


#: From here on Go writes floats with an exponent.
_EXPONENT = 1e21
