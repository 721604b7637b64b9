"""
Key patterns as in confd, with the meaning of Go's path.Match. Pure.

`*` is any run of characters but "/", `?` one character but "/", `[a-z]` and `[^a]` a class,
`\\` takes the next character as it is; the whole key has to match. Differences to fnmatch: `*`
stops at "/", negation is `^`, there is an escape, and a malformed pattern is an error.
Source: https://pkg.go.dev/path#Match and its table of tests. One deviation: Go steps over bytes
and can match half a character; here a character is one thing.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pyconfd.model.values import dataclass

_SPECIAL = re.compile(r"[*?\[\\]")
_ANY, _ONE, _SLASH = "[^/]*", "[^/]", "/"


class BadPattern(ValueError):
    """The pattern is malformed; the text names it and the reason."""

    def __init__(self, pattern: str, why: str) -> None:
        super().__init__(f"malformed key pattern {pattern!r}: {why}")
        self.pattern = pattern


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """
    A compiled pattern for walking a trie.

    literal: names of the folders before the first special character.
    rest: what each further level must match, a str where it is literal.
    whole: what the whole key must match.
    crossing: a class may match "/" (as in Go), so levels cannot be used, and every key below
    `literal` is tested with `whole`.
    """

    literal: tuple[str, ...]
    rest: tuple[str | re.Pattern[str], ...]
    whole: re.Pattern[str]
    crossing: bool

    @property
    def exact(self) -> bool:
        """Whether it has no special character and so names one key."""
        return not self.rest


@lru_cache(maxsize=4096)
def key_pattern(text: str) -> KeyPattern | None:
    """
    A pattern compiled; None when no key path can match it (one that does not start with "/",
    ends in "/" or holds "//"). Raises BadPattern for a malformed one, whatever the store holds.
    """
    tokens, crossing = _tokens(text)
    whole = _compiled(tokens)
    levels = _levels(tokens)
    if crossing:
        return _crossing(text, whole)
    if len(levels) == 1 or levels[0] or not all(levels[1:]):
        return KeyPattern((), (), whole, False) if text == _SLASH else None
    places = [_level(level) for level in levels[1:]]
    at = next((i for i, place in enumerate(places) if not isinstance(place, str)), len(places))
    return KeyPattern(tuple(map(str, places[:at])), tuple(places[at:]), whole, False)


def literal_part(text: str) -> str:
    """
    The folder that has all keys that a pattern can match; the key itself if it is not a pattern.
    """
    first = _SPECIAL.search(text)
    if first is None or not text.startswith(_SLASH):
        return text
    return text[: text.rfind(_SLASH, 0, first.start())] or _SLASH


def _crossing(text: str, whole: re.Pattern[str]) -> KeyPattern:
    first = _SPECIAL.search(text)
    before = text[: first.start()] if first else text
    names = tuple(name for name in before.split(_SLASH)[1:-1] if name)
    return KeyPattern(names, (whole,), whole, True)


def _levels(tokens: list[str]) -> list[list[str]]:
    """Tokens between the slashes."""
    levels: list[list[str]] = [[]]
    for token in tokens:
        if token == _SLASH:
            levels.append([])
        else:
            levels[-1].append(token)
    return levels


def _level(tokens: list[str]) -> str | re.Pattern[str]:
    """One level: its plain name, or the pattern that its name has to match."""
    text = "".join(tokens)
    plain = all(token not in (_ANY, _ONE) and not token.startswith("[") for token in tokens)
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if plain else _compiled(tokens)


def _compiled(tokens: list[str]) -> re.Pattern[str]:
    """
    A regular expression whose time grows at most with the product of both lengths: each star takes
    only the first place where what follows it matches, as Go's path.Match does.
    """
    chunks: list[str] = [""]
    for token in tokens:
        if token == _ANY:
            chunks.append("")
        else:
            chunks[-1] += token
    first, *middle = chunks
    if not middle:
        return re.compile(first, re.DOTALL)
    last = middle.pop()
    lazy = "".join(f"(?>{_ANY}?{chunk})" for chunk in middle if chunk)
    return re.compile(f"{first}{lazy}{_ANY}{last}", re.DOTALL)


def _tokens(text: str) -> tuple[list[str], bool]:
    """The pattern as pieces of a regular expression, and whether a class may match "/"."""
    tokens: list[str] = []
    crossing = False
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*":
            tokens.append(_ANY)
        elif char == "?":
            tokens.append(_ONE)
        elif char == "[":
            piece, at = _class(text, at)
            crossing = crossing or re.match(piece, _SLASH) is not None
            tokens.append(piece)
        else:
            if char == "\\":
                char, at = _escaped(text, at, "it ends in a backslash")
            tokens.append(_SLASH if char == _SLASH else re.escape(char))
    return tokens, crossing


def _class(text: str, at: int) -> tuple[str, int]:
    """A character class whose "[" stands before `at`, and where it ends."""
    negated = text.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (ranges and text.startswith("]", at)):
        low, at = _bound(text, at)
        high = low
        if text.startswith("-", at):
            high, at = _bound(text, at + 1)
        # An upside-down range matches nothing in Go and is an error in re.
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    inside = "".join(ranges)
    if not inside:  # every range was upside down
        return (r"[\s\S]" if negated else r"[^\s\S]"), at + 1
    return f"[{'^' if negated else ''}{inside}]", at + 1


def _bound(text: str, at: int) -> tuple[str, int]:
    """One end of a range in a class."""
    if at >= len(text):
        raise BadPattern(text, "a character class is not closed")
    if text[at] in "-]":
        raise BadPattern(text, f"{text[at]!r} in a character class needs a backslash")
    if text[at] == "\\":
        return _escaped(text, at + 1, "a character class is not closed")
    return text[at], at + 1


def _escaped(text: str, at: int, why: str) -> tuple[str, int]:
    if at >= len(text):
        raise BadPattern(text, why)
    return text[at], at + 1
