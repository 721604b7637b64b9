"""
Patterns of nginx's `include`, matched as by its glob(3). Shell: lists folders.

Python's glob supports neither `[^a]` nor `[[:alpha:]]` nor a backslash, and matches characters
instead of bytes. nginx calls glob(3) without flags and in the C locale (ngx_conf_include,
ngx_open_glob), and only for a path with `*`, `?` or `[`; any other path is used as it is,
backslashes included. glob(3) ignores what it may not read. Here that is an OSError, because the
running nginx may have other rights and limits than the checking one.
"""

from __future__ import annotations

import errno
import functools
import os
import re
from collections.abc import Iterator

_MAGIC = re.compile(r"[*?\[]")
#: No such file, to every user.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_SPECIAL = re.compile(r"([*?\[\\])")
#: What glob(3) calls them, in ASCII (POSIX, XBD 7.3.1).
_CLASSES = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r" \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_CLASS = re.compile(r"\[:(\w+):\]")


def is_pattern(path: str) -> bool:
    """Whether nginx searches for matching files, and accepts that there are none."""
    return bool(_MAGIC.search(path))


def as_pattern(path: str) -> str:
    """The argument of an `include` for exactly this file, whatever characters its path has."""
    return _SPECIAL.sub(r"\\\1", path) if is_pattern(path) else path


def matching(pattern: str) -> list[str]:
    """The paths that match, in nginx's order. Raises OSError."""
    found = list(_found(pattern))
    return sorted(found, key=None if all(map(str.isascii, found)) else os.fsencode)


def matches(name: str, pattern: str) -> bool:
    """Whether a name in a folder matches the last part of a pattern."""
    return bool(_compiled(pattern).fullmatch(os.fsencode(name)))


def _found(pattern: str) -> Iterator[str]:
    folder, base = os.path.split(pattern)
    for each in folders(folder):
        if is_pattern(base):
            head, fits = os.path.join(each, ""), _compiled(base).fullmatch
            yield from (head + name for name in _names(each) if fits(os.fsencode(name)))
        elif _exists(path := os.path.join(each, _literal(base))):
            yield path


def folders(pattern: str) -> list[str]:
    """The folders that match the first parts of a pattern. Raises OSError."""
    return list(_found(pattern)) if is_pattern(pattern) else [_literal(pattern)]


def _names(folder: str) -> list[str]:
    try:
        return [".", "..", *os.listdir(folder)]  # glob(3) lets `.*` match them
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return []


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        return False
    return True


def _literal(text: str) -> str:
    """The text without the backslashes that glob(3) removes."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[bytes]:
    """One part of a path; a dot at the beginning is matched by a dot alone."""
    parts: list[str] = [] if pattern.startswith((".", "\\.")) else [r"(?!\.)"]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            parts.append(".*")
        elif char == "?":
            parts.append(".")
        elif char == "[" and (end := _end_of_set(pattern, at)):
            parts.append(_set(pattern[at:end]))
            at = end + 1
        else:
            if char == "\\" and at < len(pattern):
                char, at = pattern[at], at + 1
            parts.append(re.escape(char))
    return re.compile(os.fsencode("".join(parts)), re.DOTALL)


def _end_of_set(pattern: str, at: int) -> int:
    """
    The place of the `]` of a set that begins at `at`; 0 if it is not a set but a plain bracket.
    """
    if pattern[at : at + 1] in ("!", "^"):
        at += 1
    first = at
    while at < len(pattern):
        if found := _CLASS.match(pattern, at):
            at = found.end()
        elif pattern[at] == "]" and at > first:
            return at
        else:
            at += 2 if pattern[at] == "\\" else 1
    return 0


def _set(text: str) -> str:
    """The inside of a set as a regular expression of bytes."""
    negated = text[:1] in ("!", "^")
    rest = text[negated:]
    parts: list[str] = []
    while rest:
        if found := _CLASS.match(rest):
            parts.append(_CLASSES.get(found[1], ""))
            rest = rest[found.end() :]
            continue
        low, rest = _one(rest)
        high = low
        if rest[:1] == "-" and len(rest) > 1:
            high, rest = _one(rest[1:])
        if low <= high:
            parts.append(f"{re.escape(low)}-{re.escape(high)}")
    inside = "".join(parts)
    if not inside:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{inside}]"


def _one(text: str) -> tuple[str, str]:
    """The first character of a set, and the rest."""
    return (text[1], text[2:]) if text[0] == "\\" and len(text) > 1 else (text[0], text[1:])
