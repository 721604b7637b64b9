"""Constants as Go writes them: strings, characters, numbers. Pure."""

from __future__ import annotations

import re

from pyconfd.pipeline.render.gotemplate.language.syntax import Number

_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_BROKEN = "\\"
MAX_INT = 2**63 - 1
MAX_UINT = 2**64 - 1


def unquoted(written: str) -> str:
    """The text of a string constant with its quotes. Raises ValueError."""
    quote, body = written[0], written[1:-1]
    if quote == "`":
        return body.replace("\r", "")
    if "\\" not in body:
        return body
    unescaped_quote = "'" if quote == '"' else '"'
    return _decoded(body, unescaped_quote)


def _decoded(body: str, forbidden: str) -> str:
    """Escapes taken out; bytes that are no UTF-8 become surrogates, as in values of keys."""
    made: list[bytes] = []
    at = 0
    while at < len(body):
        if body[at] != _BROKEN:
            end = body.find(_BROKEN, at)
            end = len(body) if end < 0 else end
            made.append(body[at:end].encode("utf-8", "surrogateescape"))
            at = end
            continue
        match = _ESCAPE.match(body, at)
        if match is None or match[1] == forbidden:
            raise ValueError("invalid syntax")
        made.append(_escape(match))
        at = match.end()
    return b"".join(made).decode("utf-8", "surrogateescape")


def _escape(match: re.Match[str]) -> bytes:
    if match[1]:
        return _SIMPLE[match[1]].encode()
    if match[2] or match[3]:
        code = int(match[2], 16) if match[2] else int(match[3], 8)
        if code > 255:
            raise ValueError("invalid syntax")
        return bytes([code])
    code = int(match[4] or match[5], 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid syntax")
    return chr(code).encode()


def number(at: int, written: str) -> Number:
    """A number or character constant. Raises ValueError when it is none."""
    if written.startswith("'"):
        char = unquoted(written) if written != "'''" else ""
        if len(char) != 1:
            raise ValueError(f"malformed character constant: {written}")
        return Number(at, written, ord(char), ord(char))
    if written.endswith("i"):
        return _imaginary(at, written)
    whole = _whole(written)
    if whole is not None:
        fits = -(2**63) <= whole <= MAX_INT
        if not fits and not 0 <= whole <= MAX_UINT:
            raise ValueError(f"integer overflow: {written!r}")
        return Number(at, written, whole if fits else None, whole if fits else None)
    return _fraction(at, written)


def _whole(written: str) -> int | None:
    """An integer as Go's base 0 has it; None when it is not written as one."""
    sign, digits = (written[0], written[1:]) if written[0] in "+-" else ("", written)
    if re.fullmatch(r"0_?[0-7]+(?:_[0-7]+)*", digits):
        digits = "0o" + digits[1:].lstrip("_")
    if digits.startswith("_") or not re.fullmatch(r"[0-9a-fA-FxXoObB_]+", digits):
        return None
    try:
        return int(sign + digits, 0)
    except ValueError:
        return None


_HEX_FLOAT = re.compile(r"[+-]?0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _fraction(at: int, written: str) -> Number:
    plain = written
    if "_" in written:
        if not re.fullmatch(r"[^_].*[^_]", written) or re.search(
            r"_[^0-9a-fA-F]|[^0-9a-fA-F]_|__", written
        ):
            raise ValueError(f"bad number syntax: {written!r}")
        plain = written.replace("_", "")
    if _HEX_FLOAT.fullmatch(plain):
        value = float.fromhex(plain)
    elif _FLOAT.fullmatch(plain):
        value = float(plain)
    else:
        raise ValueError(f"bad number syntax: {written!r}")
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"bad number syntax: {written!r}")
    fits = value.is_integer() and -(2**63) <= value <= MAX_INT
    return Number(at, written, value, int(value) if fits else None)


def _imaginary(at: int, written: str) -> Number:
    try:
        value = complex(written.replace("_", "")[:-1] + "j")
    except ValueError:
        raise ValueError(f"bad number syntax: {written!r}") from None
    if value.imag == 0 and value.real.is_integer():
        return Number(at, written, value, int(value.real))
    return Number(at, written, value, None)
