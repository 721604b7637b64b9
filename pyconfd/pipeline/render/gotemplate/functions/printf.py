"""
Go's fmt.Sprintf, after fmt/print.go and fmt/format.go. Pure.

A format gives parts, so that a value checker sees which of them are the author's text and which
are values. Values that need no layout stay the objects that they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pyconfd.pipeline.render.functions.host import SrvTarget
from pyconfd.pipeline.render.functions.store import Pair
from pyconfd.pipeline.render.gotemplate.errors import GoFault
from pyconfd.pipeline.render.gotemplate.printing import (
    shortest,
    unusual,
    verb_v,
)
from pyconfd.pipeline.render.gotemplate.values import NOTHING, go_type, to_bytes

_TOO_LARGE = 1_000_000
_SIMPLE = re.compile(r"%([svd%])|%|[^%]+")
_FIELDS = {Pair: ("Key", "Value"), SrvTarget: ("Target", "Port", "Priority", "Weight")}


def sprintf_parts(
    format: str,  # noqa: A002 - Go's name
    args: Sequence[Any],
    literal: Callable[[str], str],
) -> list[Any]:
    """The parts of the text, in order; `literal` marks those that the format itself holds."""
    simple = simple_format(str(format))
    if simple is not None and sum(verb != "" for _, verb in simple) == len(args):
        values = iter(args)
        return [part(next(values), verb) if verb else literal(text) for text, verb in simple]
    return _Format(str(format), args, literal).parts()


@lru_cache(maxsize=1024)
def simple_format(format: str) -> tuple[tuple[str, str], ...] | None:  # noqa: A002
    """Text or verb, where all verbs are bare %s, %v and %d; None where they are not."""
    made: list[tuple[str, str]] = []
    for match in _SIMPLE.finditer(format):
        if match[0] == "%":
            return None
        verb = match[1] if match[1] and match[1] != "%" else ""
        made.append(("%" if match[0] == "%%" else match[0], verb))
    return tuple(made)


def part(value: Any, verb: str) -> Any:
    """A value as a bare verb prints it."""
    if verb != "d" and isinstance(value, str):
        return value
    return _Layout().argument(value, verb)


@dataclass(slots=True)
class _Layout:
    """
    What stands between the percent sign and the verb, and how values look with it.

    sharp_v, plus_v: %#v and %+v, which mean something else than the flags alone.
    width, precision: None where there is none.
    """

    sharp: bool = False
    zero: bool = False
    plus: bool = False
    minus: bool = False
    space: bool = False
    sharp_v: bool = False
    plus_v: bool = False
    width: int | None = None
    precision: int | None = None

    def pad(self, text: str, zero: bool | None = None) -> str:
        """The text in its width, in characters."""
        missing = (self.width or 0) - len(text)
        if missing <= 0:
            return text
        if self.minus:
            return text + " " * missing
        return ("0" if (self.zero if zero is None else zero) else " ") * missing + text

    def argument(self, value: Any, verb: str) -> str:
        """A value of a verb."""
        if value is None or value is NOTHING:
            return self.pad("<nil>") if verb in "Tv" else f"%!{verb}(<nil>)"
        if verb == "T":
            return self.pad(self._truncated(_printed_type(value)))
        if verb == "p":
            raise GoFault("%p prints an address of memory, which there is none of here")
        return self._value(value, verb, 0)

    def _value(self, value: Any, verb: str, depth: int) -> str:
        if isinstance(value, bool):
            return self.pad("true" if value else "false") if verb in "tv" else _bad(value, verb)
        if isinstance(value, int):
            return self._integer(value, verb)
        if isinstance(value, float):
            return self._float(value, verb)
        if isinstance(value, str):
            return self._string(value, verb)
        if value is None or value is NOTHING:
            return "interface {}(nil)" if self.sharp_v else "<nil>"
        if isinstance(value, (list, dict)) or type(value) in _FIELDS:
            return self._compound(value, verb, depth)
        return self.pad(verb_v(value)) if verb in "sv" else _bad(value, verb)

    def _compound(self, value: Any, verb: str, depth: int) -> str:
        if type(value) is SrvTarget and depth:
            raise GoFault("a list of SRV records prints as addresses of memory: loop over it")
        if isinstance(value, list):
            parts = [self._value(item, verb, depth + 1) for item in value]
            opening, closing = ("{", "}") if self.sharp_v else ("[", "]")
        elif isinstance(value, dict):
            parts = [
                f"{self._value(name, verb, 1)}:{self._value(value[name], verb, depth + 1)}"
                for name in sorted(value)
            ]
            opening, closing = ("{", "}") if self.sharp_v else ("map[", "]")
        else:
            named = self.plus_v or self.sharp_v
            parts = [
                f"{name}:{self._value(item, verb, 1)}" if named else self._value(item, verb, 1)
                for name, item in zip(_FIELDS[type(value)], value, strict=True)
            ]
            opening, closing = "{", "}"
        if not self.sharp_v:
            return opening + " ".join(parts) + closing
        if getattr(value, "is_nil", False):
            return f"{go_type(value)}(nil)"
        return go_type(value) + opening + ", ".join(parts) + closing

    def _integer(self, value: int, verb: str) -> str:
        bases = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
        if verb in bases:
            hexadecimal = verb == "v" and self.sharp_v and type(value) is not int
            return self._number(value, "x" if hexadecimal else bases[verb], verb, hexadecimal)
        if verb == "c":
            return self.pad(_rune(value))
        if verb == "q":
            return self.pad(_quoted(_rune(value), "'", self.plus))
        if verb == "U":
            return self._unicode(value)
        return _bad(value, verb)

    def _number(self, value: int, base: str, verb: str, sharp: bool) -> str:
        digits = format(abs(value), base)
        signed = value < 0 or self.plus or self.space
        least = self.precision or 0
        if self.precision == 0 and value == 0:
            return self.pad("", zero=False)
        if self.precision is None and self.zero and not self.minus and self.width is not None:
            least = self.width - signed
        digits = digits.rjust(least, "0")
        if self.sharp or sharp:
            prefix = {"b": "0b", "x": "0x", "X": "0X"}.get(base, "")
            prefix = "0" if base == "o" and digits[0] != "0" else prefix
            digits = prefix + digits
        if verb == "O":
            digits = "0o" + digits
        sign = "-" if value < 0 else "+" if self.plus else " " if self.space else ""
        return self.pad(sign + digits, zero=False)

    def _unicode(self, value: int) -> str:
        text = f"U+{value & (1 << 64) - 1:0{max(4, self.precision or 0)}X}"
        if self.sharp and 0 <= value <= 0x10FFFF and chr(value).isprintable():
            text += f" '{chr(value)}'"
        return self.pad(text, zero=False)

    def _float(self, value: float, verb: str) -> str:
        if verb not in "veEfFgGbxX":
            return _bad(value, verb)
        text = unusual(value) or self._digits(value, verb)
        if text[0] not in "+-":
            text = f"+{text}"
        if self.space and text[0] == "+" and not self.plus:
            text = f" {text[1:]}"
        if text[1] in "IN":
            bare = text[1] == "N" and not self.space and not self.plus
            return self.pad(text[1:] if bare else text, zero=False)
        if not self.plus and text[0] == "+":
            return self.pad(text[1:])
        if self.zero and not self.minus and self.width is not None:
            return text[0] + text[1:].rjust(self.width - 1, "0")
        return self.pad(text)

    def _digits(self, value: float, verb: str) -> str:
        if verb in "bxX":
            text = self._float_as_bits(value, verb)
            return text.upper() if verb == "X" else text
        if self.precision is None and verb in "vgG":
            if self.sharp:
                return f"{value:#.6g}"
            text = shortest(value)
            return text.upper() if verb == "G" else text
        verb = {"v": "g", "F": "f"}.get(verb, verb)
        precision = 6 if self.precision is None else self.precision
        return f"%{'#' if self.sharp else ''}.{precision}{verb}" % value

    def _float_as_bits(self, value: float, verb: str) -> str:
        """0x1.8p+01, for which Python has other zeros."""
        if verb == "b" or self.sharp or self.precision is not None:
            raise GoFault(f"%{verb} of a float, as it is here, cannot be carried over")
        fraction, exponent = math.frexp(value)
        digits = (fraction * 2).hex().partition("p")[0]
        digits = re.sub(r"\.?0+$", "", digits) if "." in digits else digits
        exponent = exponent - 1 if value else 0
        return f"{digits}p{'-' if exponent < 0 else '+'}{abs(exponent):02d}"

    def _string(self, value: str, verb: str) -> str:
        if verb == "v" and self.sharp_v:
            return self.pad(_quoted(value, '"', False))
        if verb in "vs":
            return self.pad(self._truncated(value))
        if verb == "q":
            value = self._truncated(value)
            if self.sharp and _fits_backquotes(value):
                return self.pad(f"`{value}`")
            return self.pad(_quoted(value, '"', self.plus))
        if verb in "xX":
            return self._hexadecimal(value, verb)
        return _bad(value, verb)

    def _truncated(self, text: str) -> str:
        return text if self.precision is None else text[: self.precision]

    def _hexadecimal(self, value: str, verb: str) -> str:
        data = to_bytes(value)[: self.precision]
        if not data:
            return self.pad("")
        prefix = f"0{verb}" if self.sharp else ""
        pairs = [format(byte, f"02{verb}") for byte in data]
        if self.space:
            return self.pad(" ".join(prefix + pair for pair in pairs))
        return self.pad(prefix + "".join(pairs))


def _printed_type(value: Any) -> str:
    return f"*{go_type(value)}" if type(value) is SrvTarget else go_type(value)


def _bad(value: Any, verb: str) -> str:
    return f"%!{verb}({go_type(value)}={verb_v(value)})"


def _rune(code: int) -> str:
    return chr(code) if 0 <= code < 0xD800 or 0xDFFF < code <= 0x10FFFF else "\ufffd"


_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}


def _quoted(text: str, quote: str, ascii_only: bool) -> str:
    return quote + "".join(_escaped(char, quote, ascii_only) for char in text) + quote


def quoted(text: str) -> str:
    """A Go string constant of this text."""
    return _quoted(text, '"', False)


def _escaped(char: str, quote: str, ascii_only: bool) -> str:
    if char == quote:
        return f"\\{quote}"
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if char.isprintable() and (code < 0x80 or not ascii_only):
        return char
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _fits_backquotes(text: str) -> bool:
    return not any(
        char in "`\x7f\ufeff" or (char < " " and char != "\t") or "\udc80" <= char <= "\udcff"
        for char in text
    )


class _Format:
    """One call of Sprintf. Its state is where it is in the format and in the arguments."""

    def __init__(self, text: str, args: Sequence[Any], literal: Callable[[str], str]) -> None:
        self._text = text
        self._args = args
        self._literal = literal
        self._at = 0
        self._next = 0
        self._reordered = False
        self._good = True
        self._after_index = False

    def parts(self) -> list[Any]:
        """All of it."""
        made: list[Any] = []
        while self._at < len(self._text):
            percent = self._text.find("%", self._at)
            end = len(self._text) if percent < 0 else percent
            if end > self._at:
                made.append(self._literal(self._text[self._at : end]))
            if percent < 0:
                break
            self._at = percent + 1
            made += self._verb()
        if not self._reordered and self._next < len(self._args):
            made.append(self._extra())
        return made

    def _extra(self) -> str:
        texts = [
            "<nil>" if arg is None or arg is NOTHING else f"{_printed_type(arg)}={verb_v(arg)}"
            for arg in self._args[self._next :]
        ]
        return f"%!(EXTRA {', '.join(texts)})"

    def _verb(self) -> list[Any]:
        made: list[Any] = []
        layout = self._flags()
        self._good, self._after_index = True, False
        self._index()
        self._width(layout, made)
        self._precision(layout, made)
        if not self._after_index:
            self._index()
        if self._at >= len(self._text):
            return [*made, "%!(NOVERB)"]
        verb = self._text[self._at]
        self._at += 1
        return [*made, self._argument(layout, verb)]

    def _argument(self, layout: _Layout, verb: str) -> Any:
        if verb == "%":
            return self._literal("%")
        if not self._good:
            return f"%!{verb}(BADINDEX)"
        if self._next >= len(self._args):
            return f"%!{verb}(MISSING)"
        if verb in "vw":
            layout.sharp_v, layout.sharp = layout.sharp, False
            layout.plus_v, layout.plus = layout.plus, False
        value = self._args[self._next]
        self._next += 1
        if verb in "sv" and isinstance(value, str) and layout == _Layout():
            return value
        return layout.argument(value, verb)

    def _flags(self) -> _Layout:
        names = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}
        layout = _Layout()
        while self._at < len(self._text) and self._text[self._at] in names:
            setattr(layout, names[self._text[self._at]], True)
            self._at += 1
        return layout

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _index(self) -> None:
        """An explicit index such as [2]."""
        self._after_index = False
        if self._peek() != "[":
            return
        self._reordered = True
        end = self._text.find("]", self._at)
        if end < 0 or len(self._text) - self._at < 3:
            self._at += 1
            self._good = False
            return
        number = self._text[self._at + 1 : end]
        self._at = end + 1
        known = number.isascii() and number.isdigit() and 1 <= int(number) <= len(self._args)
        self._after_index = number.isascii() and number.isdigit()
        if known:
            self._next = int(number) - 1
        else:
            self._good = False

    def _number(self) -> int | None:
        match = re.compile("[0-9]+").match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return int(match[0]) if len(match[0]) < 8 and int(match[0]) <= _TOO_LARGE else None

    def _star(self) -> int | None:
        """The number that a star stands for; None when the argument is no fit one."""
        self._at += 1
        self._after_index = False
        if self._next >= len(self._args):
            return None
        value = self._args[self._next]
        self._next += 1
        fits = isinstance(value, int) and not isinstance(value, bool)
        return int(value) if fits and abs(value) <= _TOO_LARGE else None

    def _width(self, layout: _Layout, made: list[Any]) -> None:
        if self._peek() != "*":
            layout.width = self._number()
            if self._after_index and layout.width is not None:
                self._good = False
            return
        layout.width = self._star()
        if layout.width is None:
            made.append("%!(BADWIDTH)")
        elif layout.width < 0:
            layout.width, layout.minus, layout.zero = -layout.width, True, False

    def _precision(self, layout: _Layout, made: list[Any]) -> None:
        if self._peek() != "." or self._at + 1 >= len(self._text):
            return
        self._at += 1
        if self._after_index:
            self._good = False
        self._index()
        if self._peek() != "*":
            layout.precision = self._number() or 0
            return
        precision = self._star()
        layout.precision = precision if precision is not None and precision >= 0 else None
        if layout.precision is None:
            made.append("%!(BADPREC)")
