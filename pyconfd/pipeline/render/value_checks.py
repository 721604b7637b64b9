"""
Checks what a resource with a format prints: values are data, never configuration. Pure.

The first line of defence: every text that an expression prints is checked for the strictest place,
outside quotes, unless the template's author wrote it, or used `| quoted`, `| words` or `| raw`. A
checked text is a `SafeText`; every operation on it gives a plain text, which is checked again. So
the result of an operation that was forgotten here is refused, not let through. A SafeText also
carries its text with "x" for each value that is not tame, for the second line of defence
(structure.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pyconfd.model.keys import join_paths
from pyconfd.model.resources import VALUE_LIMIT
from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions import bounds
from pyconfd.pipeline.render.functions.json import from_json, json_array, json_object
from pyconfd.pipeline.render.functions.text import as_text, indent, nindent
from pyconfd.pipeline.render.functions.validators import weight_between
from pyconfd.pipeline.render.structure import NEUTRAL

if TYPE_CHECKING:
    from pyconfd.model.resources import Resource
    from pyconfd.pipeline.render.formats import Format

# Also the white space and line ends of Unicode, which some readers split at.
# Controls of direction are no text either: with them a line shows other words than it has.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_SPACE = rf"\s{_CONTROL}"
# Addresses, ports, paths, host names: words in every format, whatever stands beside them, and
# never the name of a directive, which has letters and underscores alone.
# Two patterns, because one that has both would take quadratic time.
_TAME = re.compile(r"[\w.:/\[\]*-]+", re.ASCII)
_TAME_MARKS = ".:/[]*-"
_NO_DIRECTIVE = re.compile(r"[0-9.:/\[\]*-]")


# What a text is called that is neither the value nor the name of a key.
_MADE = "the value"


class TaintedText(str):
    """
    A text from the store.

    key: absolute path of the key that it is the value of.
    """

    __slots__ = ("key",)
    key: str

    @property
    def origin(self) -> str:
        """What to call it in a message."""
        return f"the value of {self.key}"


class NameText(TaintedText):
    """
    A name from the store.

    key: absolute path of the key or folder that it names.
    """

    __slots__ = ()

    @property
    def origin(self) -> str:
        """What to call it in a message."""
        return f"the name of {self.key!r}"


class SafeText(str):
    """
    A text that is safe in the format.

    neutral: the same with "x" for each value that is not tame.
    """

    __slots__ = ("neutral",)
    neutral: str


class RefusedValue(FunctionFault):
    """
    A value that the format would read as more than data.

    made: whether it was made from values, and is not simply the value or name of a key.
    keys: those it was made from, as far as a Tracer has followed it.
    """

    def __init__(self, origin: str, holds: str, hint: str) -> None:
        super().__init__(f"{origin} {holds}")
        self.hint = hint
        self.made = origin == _MADE
        self.keys: frozenset[str] = frozenset()


def key_text(text: str, key: str) -> TaintedText:
    """A value with the key that it came from."""
    made = TaintedText(text)
    made.key = key
    return made


def name_text(text: str, key: str) -> NameText:
    """A name with the path that it stands for."""
    made = NameText(text)
    made.key = key
    return made


def item_text(resource: Resource) -> NameText:
    """The name that a resource was made for by a pattern, with the path that it stands for."""
    return name_text(resource.item, join_paths(resource.prefix, resource.each, resource.item))


def safe_text(text: str, neutral: str | None = None) -> SafeText:
    """A text for which the template's author is responsible, unless `neutral` differs."""
    made = SafeText(text)
    made.neutral = text if neutral is None else neutral
    return made


def is_tame(text: str) -> bool:
    """Whether it is one word in every format, whatever is beside it, and not a directive."""
    return bool(_TAME.fullmatch(text) and _NO_DIRECTIVE.search(text))


class ValueChecker:
    """
    Everything about values in one format; has no state.

    limit: the most characters of a value.
    """

    def __init__(self, format: Format, limit: int = VALUE_LIMIT) -> None:  # noqa: A002
        self._format = format
        self._limit = limit
        self._refused = re.compile(f"[{_SPACE}{re.escape(format.refused)}]")
        self._first = re.compile(f"[{re.escape(format.first)}]") if format.first else None
        self._tame_is_safe = not set(_TAME_MARKS) & set(format.refused + format.first)
        self._unquotable = re.compile(f"[{_CONTROL}{re.escape(format.quoted.refused)}]")

    def text(self, value: Any) -> str:
        """The text that an expression prints. Raises RefusedValue."""
        if type(value) is SafeText:
            return value
        if not isinstance(value, str):
            text = as_text(value)
            if isinstance(value, (bool, int, float)) or not text:
                return text
            value = text
        self._bound(value)
        if self._tame_is_safe and is_tame(value) and value.lower() not in self._format.directives:
            return safe_text(str(value))
        found = self._refused.search(value) or (self._first and self._first.match(value))
        if found:
            raise self._refusal(value, found[0])
        return safe_text(str(value), NEUTRAL if value else "")

    def _bound(self, value: Any) -> None:
        if isinstance(value, str) and len(value) > self._limit:
            what = f"is longer than value_limit = {self._limit} characters"
            raise RefusedValue(_origin(value), what, "")

    def concat(self, pieces: Iterable[str]) -> SafeText:
        """Pieces of output as one text: each was checked, or written by the author."""
        pieces = list(pieces)
        return safe_text("".join(pieces), neutral(pieces))

    def joined(self, parts: Iterable[Any]) -> str:
        """The `~` of templates: a SafeText if every part is safe, else a text to check later."""
        parts = list(parts)
        try:
            return self.concat(list(map(self.text, parts)))
        except FunctionFault:
            text = "".join(map(str, parts))
            key = next((part.key for part in parts if isinstance(part, TaintedText)), None)
            return key_text(text, key) if key else text

    def raw(self, value: Any) -> SafeText:
        """The value unchanged: the template's author is responsible for it."""
        return safe_text(as_text(value))

    def quoted(self, value: Any) -> SafeText:
        """The value in the format's quotes, between which nearly everything is data."""
        text, rules = as_text(value), self._format.quoted
        self._bound(text)
        first = text.lstrip(" ")[:1]
        if first and first in rules.first:
            raise RefusedValue(_origin(value), _holds(first, self._format, " at the beginning"), "")
        found = self._unquotable.search(text)
        if found:
            raise RefusedValue(
                _origin(value), _holds(found[0], self._format, " even in quotes"), ""
            )
        text = text.translate({ord(char): "\\" + char for char in rules.escaped})
        return safe_text(rules.mark + text + rules.mark, rules.mark + NEUTRAL + rules.mark)

    def words(self, value: Any) -> SafeText:
        """Several words with spaces between them, each checked by itself."""
        key = getattr(value, "key", None)
        parts = [part for part in as_text(value).split(" ") if part]
        checked = [self.text(key_text(part, key) if key else part) for part in parts]
        return safe_text(" ".join(checked), " ".join(NEUTRAL for _ in checked))

    def join(self, items: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
        """Jinja2's join, each item checked by itself."""
        if attribute is not None:
            items = [_member(item, attribute) for item in items]
        items = list(items)
        bounds.separators(str(d), items)
        parts: list[Any] = []
        for item in items:
            parts += [d, item] if parts else [item]
        return self.joined(parts)

    def keeping(self, change: Callable[..., str]) -> Callable[..., str]:
        """A filter that only changes the layout: a safe text stays safe."""

        def changed(value: Any, *args: Any, **kwargs: Any) -> str:
            given = [*args, *kwargs.values()]
            if type(value) is SafeText and not any(_is_plain(each) for each in given):
                return safe_text(
                    change(str(value), *args, **kwargs), change(value.neutral, *args, **kwargs)
                )
            return change(value, *args, **kwargs)

        return changed

    def filters(self) -> dict[str, Callable[..., Any]]:
        """What stands behind a pipe in this format, beside and instead of the usual."""
        return {
            "fromJson": _traced(from_json),
            "join": self.join,
            "json": _traced(json_object),
            "jsonArray": _traced(json_array),
            "quote": self.quoted,
            "quoted": self.quoted,
            "raw": self.raw,
            "weight": weight_between(self._format.weight),
            "words": self.words,
        }

    def functions(self) -> dict[str, Callable[..., Any]]:
        """What templates call in this format instead of the usual."""
        inner, outer = self.keeping(_text_first(indent)), self.keeping(_text_first(nindent))
        return {
            "fromJson": _traced(from_json),
            "indent": _text_first(inner),
            "join": self.join,
            "json": _traced(json_object),
            "jsonArray": _traced(json_array),
            "nindent": _text_first(outer),
            "quote": self.quoted,
        }

    def _refusal(self, value: str, char: str) -> RefusedValue:
        hint = "| quoted puts it in quotes, | raw prints it as it is"
        if char == " ":
            hint = f"| words where several words are meant, {hint}"
        return RefusedValue(_origin(value), _holds(char, self._format, ""), hint)


def neutral(pieces: Iterable[str]) -> str:
    """Pieces of output with "x" for each value."""
    return "".join([piece.neutral if type(piece) is SafeText else piece for piece in pieces])


def _origin(value: Any) -> str:
    return getattr(value, "origin", _MADE)


def _holds(char: str, format: Format, place: str) -> str:  # noqa: A002
    names = {" ": "a space", "\n": "a line break", "\t": "a tab", "\0": "a null character"}
    shown = names.get(char) or (
        repr(char) if char.isprintable() else f"the control character U+{ord(char):04X}"
    )
    return f"contains {shown}, which {format.name} may read as syntax{place}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) and type(value) is not SafeText


def _text_first(function: Callable[..., str]) -> Callable[..., str]:
    """The same function with its two arguments the other way round."""
    return lambda first, second: function(second, first)


def _member(item: Any, attribute: str | int) -> Any:
    """What Jinja2 calls an attribute: of a pair, a mapping or a list, also through dots."""
    for part in str(attribute).split("."):
        if isinstance(item, dict):
            item = item[part]
        else:
            item = item[int(part)] if part.isdigit() else getattr(item, part)
    return item


def _traced(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """A parser whose texts remember the key that they came from."""

    def traced(text: str) -> Any:
        key = getattr(text, "key", None)
        return with_key(parse(text), key) if key else parse(text)

    return traced


def with_key(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return key_text(value, key)
    if isinstance(value, list):
        return [with_key(item, key) for item in value]
    if isinstance(value, dict):
        return {key_text(name, key): with_key(item, key) for name, item in value.items()}
    return value
