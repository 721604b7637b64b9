"""
The second line of defence: the shape of a configuration file, compared with and without values.

A text is read into directives, each with its depth and its number of words, as roughly as the
format says; what matters is that a value cannot change it. So the same output with "x" in
place of each value must have the same shape. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from pyconfd.pipeline.faults import FunctionFault
from pyconfd.pipeline.formats import Format, Structure

# What stands for a value in the neutral text. No directive has this name.
NEUTRAL = "x"


@dataclass(frozen=True, slots=True)
class Directive:
    """
    name: first word, as written. words: how many, the name included. end: what stands behind it,
    empty at the end of the text. line: 1-based.
    """

    depth: int
    name: str
    words: int
    end: str
    line: int


def compare(text: str, neutral: str, format: Format) -> None:  # noqa: A002 - the field's word
    """
    Whether both texts have one shape. Raises FunctionFault with the output's line where not, and
    where a value stands for one of the format's forbidden directives.
    """
    found, expected = directives(text, format), directives(neutral, format)
    while True:
        here, there = next(found, None), next(expected, None)
        if here is None and there is None:
            return
        if here is None or there is None or not _alike(here, there):
            line = (here or there).line  # type: ignore[union-attr]
            raise FunctionFault(f"a value changes the structure of the output in its line {line}")
        if here.name != there.name and here.name.lower() in format.directives:
            raise FunctionFault(
                f"a value would be the directive {here.name} in line {here.line} of the output"
            )


def _alike(here: Directive, there: Directive) -> bool:
    if (here.depth, here.words, here.end) != (there.depth, there.words, there.end):
        return False
    return here.name == there.name or NEUTRAL in there.name


def directives(text: str, format: Format) -> Iterator[Directive]:  # noqa: A002
    """The directives of a text, in order; a block's end is a directive named "}"."""
    rules = format.structure
    depth, words, line, start = 0, list[str](), 1, 1
    for match in _tokens(rules).finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "word":
            if not words:
                start = line
            words.append(token)
        elif kind == "open" or kind == "close" or kind == "end":
            if words:
                yield Directive(depth - _leaves(rules, words), words[0], len(words), token, start)
                depth += _nests(rules, words)
                words = []
            if kind == "close":
                depth -= 1
                yield Directive(depth, token, 1, "", line)
            elif kind == "open":
                depth += 1
        line += token.count("\n")
    if words:
        yield Directive(depth, words[0], len(words), "", start)


def _leaves(rules: Structure, words: list[str]) -> int:
    return int(rules.sections and words[0].startswith("</"))


def _nests(rules: Structure, words: list[str]) -> int:
    """How a directive moves the depth of the ones after it."""
    if not rules.sections or not words[0].startswith("<"):
        return 0
    return -1 if words[0].startswith("</") else 1


@cache
def _tokens(rules: Structure) -> re.Pattern[str]:
    """One pattern for the next token; white space and comments match without a name."""
    single = r"'[^']*'" if rules.raw_single else r"'(?:[^'\\]|\\.)*'"
    quoted = r'"(?:[^"\\]|\\.)*"|' + single
    ends = re.escape(rules.ends)
    space = r"[^\S\n]+|\\\n" if rules.ends == "\n" else r"\s+"
    comment = f"[{re.escape(rules.comment)}][^\n]*"
    braces = "{}" if rules.blocks else ""
    if rules.inner_quotes:
        plain = rf"[^\s{ends}{braces}\"'\\]"
        word = rf"(?:{quoted}|\\.|{plain})+|[\"'].*"  # an open quote takes all the rest
    else:
        word = rf"{quoted}|[\"'].*|(?:\\.|\$\{{|[^\s{ends}{{\\])+"
    parts = [space, comment, f"(?P<end>{ends})"]
    if rules.blocks:
        parts += [r"(?P<open>\{)", r"(?P<close>\})"]
    return re.compile("|".join([*parts, f"(?P<word>{word})", r"(?P<rest>.)"]), re.DOTALL)
