"""
The functions of templates that only look at their arguments. Pure.

Names and order of arguments are confd's and its active fork's, except that nothing is changed
in place and that no fault prints a value. Numbers are whole, as in Go's add and div.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pyconfd.pipeline.faults import FunctionFault


def as_text(value: Any) -> str:
    """
    A value as templates print it: true and false as confd writes them, numbers as they are.

    Raises FunctionFault for what is no text and would only print Python's own notation: nothing,
    lists, mappings, bytes, functions, generators.
    """
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    text = str(value)
    if not text:
        return text  # also what an inline `if` without `else` leaves, which is nothing by intent
    if value is None:
        raise FunctionFault("nothing (none) cannot be printed: give it a default")
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        raise FunctionFault(f"a pair cannot be printed: print its .{' or .'.join(value._fields)}")
    if isinstance(value, (list, tuple, set, frozenset)) or hasattr(value, "__next__"):
        raise FunctionFault("a list cannot be printed: loop over it, or use join or toJson")
    if isinstance(value, Mapping):
        raise FunctionFault("a mapping cannot be printed: print its members, or use toJson")
    bare = getattr(type(value), "__str__", None) is object.__str__
    plain = bare and not isinstance(value, (int, float))
    if plain or isinstance(value, bytes) or callable(value):
        raise FunctionFault(f"a {type(value).__name__} cannot be printed: is a call missing?")
    return text


# --- text


def base(path: str) -> str:
    """The last name of a path, as Go's path.Base: "." for nothing, "/" for only slashes."""
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def directory(path: str) -> str:
    """A path without its last name, cleaned, as Go's path.Dir: "." when nothing is left."""
    import posixpath

    cleaned = posixpath.normpath(path.rpartition("/")[0] + ("/" if path.startswith("/") else ""))
    return "/" if cleaned == "//" else cleaned


def split(text: str, separator: str) -> list[str]:
    """The parts between separators; single characters when the separator is empty."""
    return text.split(separator) if separator else list(text)


def join(items: Iterable[Any], separator: str = "") -> str:
    """All items as text, with the separator between them."""
    return separator.join(map(as_text, items))


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """`old` replaced by `new`, `count` times from the left; -1 is everywhere."""
    return text.replace(old, new, count)


def contains(text: Any, part: Any) -> bool:
    """Whether `part` occurs in a text or list."""
    return part in text


def trim_prefix(text: str, prefix: str) -> str:
    """The text without `prefix` at its start, if it is there."""
    return text.removeprefix(prefix)


def trim_suffix(text: str, suffix: str) -> str:
    """The text without `suffix` at its end, if it is there."""
    return text.removesuffix(suffix)


def repeat(count: int, text: str) -> str:
    """The text `count` times; empty for zero and less."""
    return text * count


def nospace(text: str) -> str:
    """The text without any white space."""
    return "".join(text.split())


def indent(spaces: int, text: str) -> str:
    """Every line pushed in by so many spaces; the empty text stays empty."""
    pad = " " * spaces
    return pad + text.replace("\n", "\n" + pad) if text else ""


def nindent(spaces: int, text: str) -> str:
    """`indent` with a line break before it."""
    return "\n" + indent(spaces, text)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a"}
_ESCAPES.update({"\b": "\\b", "\f": "\\f", "\v": "\\v"})


def quote(text: str) -> str:
    """The text in double quotes, escaped as Go's %q does."""
    return '"' + "".join(_ESCAPES.get(char) or _printable(char) for char in text) + '"'


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def single_quote(text: str) -> str:
    """The text between single quotes, not escaped, as the fork has it."""
    return f"'{text}'"


def words(text: str) -> list[str]:
    """The words of "HTTPServer", "http_server", "http-server" or "http server"."""
    found: list[str] = []
    for part in re.split(r"[-_ ]+", text):
        start = 0
        for at in range(1, len(part)):
            ends = part[at].isupper() and (
                not part[at - 1].isupper() or part[at + 1 : at + 2].islower()
            )
            if ends:
                found.append(part[start:at])
                start = at
        found.append(part[start:])
    return [word.lower() for word in found if word]


def snakecase(text: str) -> str:
    """http_server"""
    return "_".join(words(text))


def kebabcase(text: str) -> str:
    """http-server"""
    return "-".join(words(text))


def camelcase(text: str) -> str:
    """httpServer"""
    first, *rest = words(text) or [""]
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def regex_match(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the text. The syntax is Python's."""
    return _regex(pattern).search(text) is not None


def regex_find(pattern: str, text: str) -> str:
    """The first place where the pattern matches; empty when there is none."""
    found = _regex(pattern).search(text)
    return found[0] if found else ""


def regex_replace_all(pattern: str, text: str, new: str) -> str:
    """Every match replaced; `$1` and `${name}` are groups, `$$` is a dollar, as in Go."""
    return _regex(pattern).sub(lambda match: _expand(new, match), text)


def _expand(template: str, match: re.Match[str]) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return re.sub(r"\$(?:\$|\{(\w+)\}|(\w+))", group, template)


def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise FunctionFault(f"malformed regular expression {pattern!r}: {error}") from error


def base64_encode(text: str) -> str:
    """The UTF-8 of the text in base64."""
    import base64 as codec

    return codec.b64encode(text.encode()).decode()


def base64_decode(text: str) -> str:
    """The text behind base64. Line breaks are allowed, nothing else is."""
    import base64 as codec

    try:
        return codec.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode()
    except UnicodeDecodeError as error:
        raise FunctionFault("base64Decode: what it decodes to is not UTF-8 text") from error
    except ValueError as error:
        raise FunctionFault(f"base64Decode: not base64: {error}") from error


def sha256sum(text: str) -> str:
    """The sha-256 of the text's UTF-8 in hex."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


# --- JSON


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
    raise ValueError(f"{name} is no JSON number")


def json_object(text: str) -> dict[str, Any]:
    """A JSON object as a mapping."""
    value = from_json(text)
    if not isinstance(value, dict):
        raise FunctionFault("json: the text holds no object: use jsonArray or fromJson")
    return value


def json_array(text: str) -> list[Any]:
    """A JSON array as a list."""
    value = from_json(text)
    if not isinstance(value, list):
        raise FunctionFault("jsonArray: the text holds no array: use json or fromJson")
    return value


def to_json(value: Any) -> str:
    """JSON on one line, without spaces, members sorted by name."""
    return _dump(value, None, (",", ":"))


def to_pretty_json(value: Any) -> str:
    """JSON over several lines, two spaces a level, members sorted by name."""
    return _dump(value, 2, (",", ": "))


def _dump(value: Any, spaces: int | None, separators: tuple[str, str]) -> str:
    import json

    try:
        return json.dumps(
            value,
            ensure_ascii=False,
            allow_nan=False,
            sort_keys=True,
            indent=spaces,
            separators=separators,
        )
    except (TypeError, ValueError) as error:
        raise FunctionFault(f"cannot be JSON: {error}") from error


# --- lists and mappings


def make_map(*pairs: Any, **members: Any) -> dict[str, Any]:
    """A mapping of `"key", value, "key", value, ...` and of `key=value`."""
    if len(pairs) % 2:
        raise FunctionFault("a mapping wants keys and values in turn: one is missing")
    keys = pairs[::2]
    if not all(isinstance(key, str) for key in keys):
        raise FunctionFault("the keys of a mapping must be text")
    return {**dict(zip(keys, pairs[1::2], strict=True)), **members}


def make_list(*items: Any) -> list[Any]:
    """The arguments as a list."""
    return list(items)


def has_key(mapping: Mapping[str, Any], key: str) -> bool:
    """Whether the mapping has this key."""
    return key in mapping


def sorted_keys(mapping: Mapping[str, Any]) -> list[str]:
    """The keys, sorted."""
    return sorted(mapping)


def sorted_values(mapping: Mapping[str, Any]) -> list[Any]:
    """The values, sorted by key."""
    return [mapping[key] for key in sorted(mapping)]


def append(items: Sequence[Any], item: Any) -> list[Any]:
    """A new list with one more item at its end."""
    return [*items, item]


def pluck(key: str, *mappings: Mapping[str, Any]) -> list[Any]:
    """The value of `key` in each mapping that has it."""
    return [mapping[key] for mapping in mappings if key in mapping]


def reverse(items: Iterable[Any]) -> list[Any]:
    """A new list, last item first."""
    return list(items)[::-1]


def sort_by_length(items: Iterable[str]) -> list[str]:
    """A new list, shortest first by bytes; what is as long as another keeps its order."""
    return sorted(items, key=lambda item: len(item.encode()))


def sort_pairs_by_length(pairs: Iterable[Any]) -> list[Any]:
    """A new list of pairs, shortest key first by bytes."""
    return sorted(pairs, key=lambda pair: len(pair.key.encode()))


# --- choosing


def default(fallback: Any, value: Any) -> Any:
    """`value`, or `fallback` when it is empty, zero, false or none."""
    return value or fallback


def ternary(when_true: Any, when_false: Any, condition: Any) -> Any:
    """One of two values."""
    return when_true if condition else when_false


def coalesce(*values: Any) -> Any:
    """The first value that is not empty, zero, false or none."""
    return next((value for value in values if value), None)


def empty(value: Any) -> bool:
    """Whether a value is empty, zero, false or none."""
    return not value


# --- numbers


def atoi(text: str) -> int:
    """A whole decimal number."""
    if not re.fullmatch(r"[+-]?[0-9]{1,4000}", text):
        raise FunctionFault("atoi: not a whole number")
    return int(text)


def parse_bool(text: str) -> bool:
    """1, t, T, true, True, TRUE and 0, f, F, false, False, FALSE; anything else is a fault."""
    if text in ("1", "t", "T", "true", "True", "TRUE"):
        return True
    if text in ("0", "f", "F", "false", "False", "FALSE"):
        return False
    raise FunctionFault("parseBool: neither true nor false")


def add(a: int, b: int) -> int:
    """a + b"""
    _whole("add", a, b)
    return a + b


def sub(a: int, b: int) -> int:
    """a - b"""
    _whole("sub", a, b)
    return a - b


def mul(a: int, b: int) -> int:
    """a * b"""
    _whole("mul", a, b)
    return a * b


def div(a: int, b: int) -> int:
    """a / b without its fraction, as in Go: div(-7, 2) is -3."""
    _divisor("div", a, b)
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def mod(a: int, b: int) -> int:
    """What div leaves; it has the sign of `a`, as in Go."""
    _divisor("mod", a, b)
    return a - b * div(a, b)


# A slip in a value must not fill the memory of the machine: the kernel would end others for it.
_LONGEST_SEQ = 1_000_000


def seq(first: int, last: int) -> list[int]:
    """
    Whole numbers from first to last, both included; empty when first is the larger, a fault when
    there are more than a million.
    """
    _whole("seq", first, last)
    if last - first >= _LONGEST_SEQ:
        raise FunctionFault(f"seq: more than {_LONGEST_SEQ} numbers")
    return list(range(first, last + 1))


def fail(message: str) -> str:
    """Ends the render with this message. Name the key in it, never its value."""
    raise FunctionFault(message)


def _divisor(name: str, a: int, b: int) -> None:
    _whole(name, a, b)
    if b == 0:
        raise FunctionFault(f"{name}: division by zero")


def _whole(name: str, *numbers: Any) -> None:
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            kind = "text" if isinstance(number, str) else type(number).__name__
            raise FunctionFault(f"{name} wants whole numbers, not {kind}: use atoi")


VALUE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": add,
    "append": append,
    "atoi": atoi,
    "base": base,
    "base64Decode": base64_decode,
    "base64Encode": base64_encode,
    "camelcase": camelcase,
    "coalesce": coalesce,
    "contains": contains,
    "default": default,
    "dict": make_map,
    "dir": directory,
    "div": div,
    "empty": empty,
    "fail": fail,
    "fromJson": from_json,
    "hasKey": has_key,
    "indent": indent,
    "join": join,
    "json": json_object,
    "jsonArray": json_array,
    "kebabcase": kebabcase,
    "keys": sorted_keys,
    "list": make_list,
    "map": make_map,
    "mod": mod,
    "mul": mul,
    "nindent": nindent,
    "nospace": nospace,
    "parseBool": parse_bool,
    "pluck": pluck,
    "quote": quote,
    "regexFind": regex_find,
    "regexMatch": regex_match,
    "regexReplaceAll": regex_replace_all,
    "repeat": repeat,
    "replace": replace,
    "reverse": reverse,
    "seq": seq,
    "sha256sum": sha256sum,
    "snakecase": snakecase,
    "sortByLength": sort_by_length,
    "sortKVByLength": sort_pairs_by_length,
    "split": split,
    "squote": single_quote,
    "sub": sub,
    "ternary": ternary,
    "toJson": to_json,
    "toLower": str.lower,
    "toPrettyJson": to_pretty_json,
    "toUpper": str.upper,
    "trimPrefix": trim_prefix,
    "trimSuffix": trim_suffix,
    "values": sorted_values,
}

# Behind a pipe the value comes first: `text | repeat(3)`. Names that a template language has
# filters for (default, indent, join, list, map, replace, reverse) are left to it.
FILTERS: dict[str, Callable[..., Any]] = {
    "append": append,
    "atoi": atoi,
    "base": base,
    "base64Decode": base64_decode,
    "base64Encode": base64_encode,
    "camelcase": camelcase,
    "contains": contains,
    "dir": directory,
    "empty": empty,
    "fromJson": from_json,
    "hasKey": has_key,
    "json": json_object,
    "jsonArray": json_array,
    "kebabcase": kebabcase,
    "keys": sorted_keys,
    "nindent": lambda text, spaces: nindent(spaces, text),
    "nospace": nospace,
    "parseBool": parse_bool,
    "pluck": lambda mappings, key: pluck(key, *mappings),
    "quote": quote,
    "regexFind": lambda text, pattern: regex_find(pattern, text),
    "regexMatch": lambda text, pattern: regex_match(pattern, text),
    "regexReplaceAll": lambda text, pattern, new: regex_replace_all(pattern, text, new),
    "repeat": lambda text, count: repeat(count, text),
    "sha256sum": sha256sum,
    "snakecase": snakecase,
    "sortByLength": sort_by_length,
    "sortKVByLength": sort_pairs_by_length,
    "split": split,
    "squote": single_quote,
    "ternary": lambda condition, when_true, when_false: ternary(when_true, when_false, condition),
    "toJson": to_json,
    "toLower": str.lower,
    "toPrettyJson": to_pretty_json,
    "toUpper": str.upper,
    "trimPrefix": trim_prefix,
    "trimSuffix": trim_suffix,
    "values": sorted_values,
}
