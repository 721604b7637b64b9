"""confd's functions for texts and numbers, as Go's strings, path and strconv have them. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyconfd.pipeline.render.functions import bounds
from pyconfd.pipeline.render.functions.numbers import parse_bool
from pyconfd.pipeline.render.functions.text import base, camelcase, kebabcase, snakecase
from pyconfd.pipeline.render.gotemplate.errors import GoFault
from pyconfd.pipeline.render.gotemplate.functions.patterns import compiled
from pyconfd.pipeline.render.gotemplate.functions.printf import quoted
from pyconfd.pipeline.render.gotemplate.values import (
    MOST_ELEMENTS,
    Ints,
    Strings,
    to_bytes,
    to_text,
    wrapped,
)

if TYPE_CHECKING:  # only templates with regular expressions need them
    from pyconfd.pipeline.render.functions.patterns import Match

_MOST_TEXT = 100_000_000


def directory(path: str) -> str:
    """path.Dir."""
    return clean(path[: path.rfind("/") + 1])


def clean(path: str) -> str:
    """path.Clean."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def split(text: str, separator: str) -> Strings:
    """strings.Split."""
    return Strings(text.split(separator) if separator else list(text))


def to_upper(text: str) -> str:
    """strings.ToUpper, which maps one character to one."""
    return text.upper() if text.isascii() else "".join(map(_upper, text))


def _upper(char: str) -> str:
    upper = char.upper()
    if len(upper) == 1:
        return upper
    title = char.title()
    return title if len(title) == 1 else char


def to_lower(text: str) -> str:
    """strings.ToLower, which maps one character to one."""
    return text.lower() if text.isascii() else "".join(char.lower()[:1] for char in text)


def contains(text: str, part: str) -> bool:
    """strings.Contains."""
    return part in text


def replace(text: str, old: str, new: str, count: int) -> str:
    """strings.Replace."""
    bounds.replacement(text, old, new, count)
    return text.replace(old, new, max(count, -1))


def trim_prefix(text: str, prefix: str) -> str:
    """strings.TrimPrefix."""
    return text.removeprefix(prefix)


def trim_suffix(text: str, suffix: str) -> str:
    """strings.TrimSuffix."""
    return text.removesuffix(suffix)


def base64_encode(text: str) -> str:
    """Standard base64 with padding."""
    import base64

    return base64.b64encode(to_bytes(text)).decode()


def base64_decode(text: str) -> str:
    """What stands behind base64, which may be no UTF-8; line ends are skipped."""
    import base64

    try:
        return to_text(base64.b64decode(re.sub("[\r\n]", "", text), validate=True))
    except ValueError as error:
        raise GoFault(f"illegal base64 data: {error}") from error


def atoi(text: str) -> int:
    """strconv.Atoi."""
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise GoFault("atoi: invalid syntax: not a whole number")
    number = int(text) if len(text) < 1000 else 1 << 64
    if wrapped(number) != number:
        raise GoFault("atoi: value out of range")
    return number


def add(a: int, b: int) -> int:
    """a + b in 64 bits, as the others."""
    return wrapped(a + b)


def sub(a: int, b: int) -> int:
    """a - b"""
    return wrapped(a - b)


def mul(a: int, b: int) -> int:
    """a * b"""
    return wrapped(a * b)


def div(a: int, b: int) -> int:
    """a / b, cut off towards zero."""
    if b == 0:
        raise GoFault("div: division by zero")
    return wrapped(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))


def mod(a: int, b: int) -> int:
    """What div leaves."""
    if b == 0:
        raise GoFault("mod: division by zero")
    return a - b * (abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))


def seq(first: int, last: int) -> Ints:
    """first to last; nothing downwards."""
    if last - first >= MOST_ELEMENTS:
        raise GoFault(f"seq: more than {MOST_ELEMENTS} numbers")
    return Ints(range(first, last + 1), is_nil=last < first)


def seq_both_ways(first: int, last: int) -> Ints:
    """first to last, also downwards."""
    if first <= last:
        return seq(first, last)
    if first - last >= MOST_ELEMENTS:
        raise GoFault(f"seq: more than {MOST_ELEMENTS} numbers")
    return Ints(range(first, last - 1, -1))


def indent(spaces: int, text: str) -> str:
    """Every line pushed in."""
    bounds.indented("indent", spaces, text)
    pad = " " * spaces
    return pad + text.replace("\n", "\n" + pad) if text else ""


def nindent(spaces: int, text: str) -> str:
    """A line break, and every line pushed in."""
    return "\n" + indent(spaces, text)


def single_quote(text: str) -> str:
    """The text in single quotes, those in it doubled."""
    return "'" + text.replace("'", "''") + "'"


def repeat(count: int, text: str) -> str:
    """The text so many times."""
    if count * len(text) > _MOST_TEXT:
        raise GoFault(f"repeat: more than {_MOST_TEXT} characters")
    return text * count


# What unicode.IsSpace has; Python's str.isspace knows four more.
_SPACES = re.compile("[\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def nospace(text: str) -> str:
    """The text without white space."""
    return _SPACES.sub("", text)


def sha256sum(text: str) -> str:
    """The sha-256 in hex."""
    import hashlib

    return hashlib.sha256(to_bytes(text)).hexdigest()


def regex_match(pattern: str, text: str) -> bool:
    """Whether the pattern occurs."""
    return compiled(str(pattern)).search(text) is not None


def regex_find(pattern: str, text: str) -> str:
    """The first match; empty when there is none."""
    found = compiled(str(pattern)).search(text)
    return str(found[0]) if found else ""


def regex_replace_all(pattern: str, text: str, new: str) -> str:
    """
    Every match replaced; `$1` and `${name}` are groups. An empty match right behind another is
    none, unlike in Python.
    """
    made: list[str] = []
    expand = bounds.metered("regexReplaceAll", lambda match: _expanded(new, match))
    done, last = 0, -1
    for found in compiled(str(pattern)).matches(text):
        if found.start() == found.end() == last:
            continue
        made += [text[done : found.start()], expand(found)]
        done = last = found.end()
    return "".join(made) + text[done:]


_REFERENCE = re.compile(r"\$(?:\$|\{([0-9A-Za-z_]+)\}|([0-9A-Za-z_]+))")


def _expanded(template: str, found: Match) -> str:
    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(group, template)


TEXT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": add,
    "atoi": atoi,
    "base": base,
    "base64Decode": base64_decode,
    "base64Encode": base64_encode,
    "camelcase": camelcase,
    "contains": contains,
    "dir": directory,
    "div": div,
    "indent": indent,
    "kebabcase": kebabcase,
    "mod": mod,
    "mul": mul,
    "nindent": nindent,
    "nospace": nospace,
    "parseBool": parse_bool,
    "quote": quoted,
    "regexFind": regex_find,
    "regexMatch": regex_match,
    "regexReplaceAll": regex_replace_all,
    "repeat": repeat,
    "replace": replace,
    "seq": seq,
    "sha256sum": sha256sum,
    "snakecase": snakecase,
    "split": split,
    "squote": single_quote,
    "sub": sub,
    "toLower": to_lower,
    "toUpper": to_upper,
    "trimPrefix": trim_prefix,
    "trimSuffix": trim_suffix,
}
