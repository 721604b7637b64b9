"""The functions of templates for text: printing, paths, words, patterns, encodings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions import bounds
from pyconfd.pipeline.render.functions.names import behind_pipe, template_filter, template_function

if TYPE_CHECKING:  # only templates with regular expressions need them
    from pyconfd.pipeline.render.functions.patterns import Match, Pattern

# From here on Python prints fractions with an exponent.
_FIRST_EXPONENT = 1e16


def as_text(value: Any) -> str:
    """
    A value as templates print it: true, false and whole numbers such as 1.0 as confd writes them.

    Raises FunctionFault for values that would print Python's own notation: none, lists, mappings,
    bytes, functions, generators.
    """
    if isinstance(value, str):
        return value
    if value is True:
        return "true"
    if value is False:
        return "false"
    text = str(value) if not isinstance(value, float) else _float(value)
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


def _float(value: float) -> str:
    whole = value.is_integer() and abs(value) < _FIRST_EXPONENT
    return str(int(value)) if whole else str(value)


@template_filter()
def base(path: str) -> str:
    """The last name of a path, as Go's path.Base: "." for nothing, "/" for only slashes."""
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


@template_filter("dir")
def directory(path: str) -> str:
    """A path without its last name, cleaned, as Go's path.Dir: "." when nothing is left."""
    import posixpath

    cleaned = posixpath.normpath(path.rpartition("/")[0] + ("/" if path.startswith("/") else ""))
    return "/" if cleaned == "//" else cleaned


@template_filter()
def split(text: str, separator: str) -> list[str]:
    """The parts between separators; single characters when the separator is empty."""
    return text.split(separator) if separator else list(text)


@template_function()
def join(items: Iterable[Any], separator: str = "") -> str:
    """All items as text, with the separator between them."""
    texts = list(map(as_text, items))
    bounds.separators(separator, texts)
    return separator.join(texts)


@template_function()
def replace(text: str, old: str, new: str, count: int = -1) -> str:
    """`old` replaced by `new`, `count` times from the left; -1 replaces all."""
    bounds.replacement(text, old, new, count)
    return text.replace(old, new, count)


@template_filter()
def contains(text: Any, part: Any) -> bool:
    """Whether `part` occurs in a text or list."""
    return part in text


@template_filter("trimPrefix")
def trim_prefix(text: str, prefix: str) -> str:
    """The text without `prefix` at its start, if it is there."""
    return text.removeprefix(prefix)


@template_filter("trimSuffix")
def trim_suffix(text: str, suffix: str) -> str:
    """The text without `suffix` at its end, if it is there."""
    return text.removesuffix(suffix)


@template_function()
def repeat(count: int, text: str) -> str:
    """The text `count` times; empty for zero and less."""
    return str(bounds.product(text, count))


behind_pipe("repeat", lambda text, count: repeat(count, text))


@template_filter()
def nospace(text: str) -> str:
    """The text without any white space."""
    return "".join(text.split())


@template_function()
def indent(spaces: int, text: str) -> str:
    """Every line indented by this many spaces; the empty text stays empty."""
    bounds.indented("indent", spaces, text)
    pad = " " * spaces
    return pad + text.replace("\n", "\n" + pad) if text else ""


@template_function()
def nindent(spaces: int, text: str) -> str:
    """`indent` with a line break before it."""
    return "\n" + indent(spaces, text)


behind_pipe("nindent", lambda text, spaces: nindent(spaces, text))


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a"}
_ESCAPES.update({"\b": "\\b", "\f": "\\f", "\v": "\\v"})


@template_filter()
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


@template_filter("squote")
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


@template_filter()
def snakecase(text: str) -> str:
    """http_server"""
    return "_".join(words(text))


@template_filter()
def kebabcase(text: str) -> str:
    """http-server"""
    return "-".join(words(text))


@template_filter()
def camelcase(text: str) -> str:
    """httpServer"""
    first, *rest = words(text) or [""]
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


@template_function("regexMatch")
def regex_match(pattern: str, text: str) -> bool:
    """Whether the pattern occurs in the text. The syntax is Python's."""
    return _compiled(pattern).search(text) is not None


behind_pipe("regexMatch", lambda text, pattern: regex_match(pattern, text))


@template_function("regexFind")
def regex_find(pattern: str, text: str) -> str:
    """The first place where the pattern matches; empty when there is none."""
    found = _compiled(pattern).search(text)
    return str(found[0]) if found else ""


behind_pipe("regexFind", lambda text, pattern: regex_find(pattern, text))


@template_function("regexReplaceAll")
def regex_replace_all(pattern: str, text: str, new: str) -> str:
    """Every match replaced; `$1` and `${name}` are groups, `$$` is a dollar, as in Go."""
    expand = bounds.metered("regexReplaceAll", lambda match: _expand(new, match))
    return _compiled(pattern).replaced(text, expand)


behind_pipe("regexReplaceAll", lambda text, pattern, new: regex_replace_all(pattern, text, new))


def _expand(template: str, match: Match) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return re.sub(r"\$(?:\$|\{(\w+)\}|(\w+))", group, template)


def _compiled(pattern: str) -> Pattern:
    from pyconfd.pipeline.render.functions import patterns

    try:
        return patterns.compiled(pattern)
    except patterns.BadPattern as error:
        raise FunctionFault(f"malformed regular expression {pattern!r}: {error}") from error


@template_filter("base64Encode")
def base64_encode(text: str) -> str:
    """The UTF-8 of the text in base64."""
    import base64 as codec

    return codec.b64encode(text.encode()).decode()


@template_filter("base64Decode")
def base64_decode(text: str) -> str:
    """The text decoded from base64, which may only contain line breaks in addition."""
    import base64 as codec

    try:
        return codec.b64decode(text.replace("\n", "").replace("\r", ""), validate=True).decode()
    except UnicodeDecodeError as error:
        raise FunctionFault("base64Decode: what it decodes to is not UTF-8 text") from error
    except ValueError as error:
        raise FunctionFault(f"base64Decode: not base64: {error}") from error


@template_filter()
def sha256sum(text: str) -> str:
    """The sha-256 of the text's UTF-8 in hex."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


template_filter("toLower")(str.lower)
template_filter("toUpper")(str.upper)
