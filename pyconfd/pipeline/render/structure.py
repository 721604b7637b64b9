"""
The second line of defence: compares the shape of a configuration file with and without values.

A text is split into words and the marks between them (ends of directives, braces), as roughly as
the format describes. No value may change this shape: the same output with "x" in place of each
value must have the same words and marks in the same order. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from pyconfd.pipeline.render.function_errors import FunctionFault

if TYPE_CHECKING:
    from pyconfd.pipeline.render.formats import Format, Structure

# What stands for a value in the neutral text. No directive has this name.
NEUTRAL = "x"


def compare(text: str, neutral: str, format: Format) -> None:  # noqa: A002 - the field's word
    """
    Compare the shapes of both texts. Raises FunctionFault with the output's line when they differ,
    or when a value is one of the format's forbidden directives.
    """
    if text == neutral:
        return
    found, expected = shape(text, format), shape(neutral, format)
    rules = format.structure
    marks = {rules.ends, "", *("{}" if rules.blocks else "")}
    for at, (here, there) in enumerate(zip(found, expected, strict=False)):
        if here == there:
            continue
        begins = at == 0 or found[at - 1] in marks
        section = rules.sections and begins and here.startswith("<")
        if here in marks or there in marks or NEUTRAL not in there.lower() or section:
            raise _changed(text, at, format)
        if begins and here.lower() in format.directives:
            line = _line(text, at, format)
            raise FunctionFault(
                f"a value would be the directive {here} in line {line} of the output"
            )
    if len(found) != len(expected):
        raise _changed(text, min(len(found), len(expected)), format)


def shape(text: str, format: Format) -> list[str]:  # noqa: A002
    """The words of a text and the marks between them, in order; a comment is the empty word."""
    return [match[1] or "" for match in _matches(text, format)]


def _matches(text: str, format: Format) -> Iterator[re.Match[str]]:  # noqa: A002
    """The tokens; what is none (white space at the end) is matched too, and left out."""
    matches = _tokens(format.structure).finditer(text)
    return (match for match in matches if match["rest"] is None)


def _changed(text: str, at: int, format: Format) -> FunctionFault:  # noqa: A002
    line = _line(text, at, format)
    return FunctionFault(f"a value changes the structure of the output in its line {line}")


def _line(text: str, at: int, format: Format) -> int:  # noqa: A002
    """The line of a token, 1-based; of the end of the text when there are not so many."""
    for number, match in enumerate(_matches(text, format)):
        if number == at:
            return text.count("\n", 0, match.start(1) if match[1] else match.start()) + 1
    return text.count("\n") + 1


@cache
def _tokens(rules: Structure) -> re.Pattern[str]:
    """
    One pattern for the next token, with the white space before it. It matches everywhere, so that
    no white space is read twice, which would take quadratic time.
    """
    single = r"'[^']*'" if rules.raw_single else r"'(?:[^'\\]|\\.)*'"
    quoted = r'"(?:[^"\\]|\\.)*"|' + single
    ends = re.escape(rules.ends)
    space = r"(?:[^\S\n]|\\\n)*" if rules.ends == "\n" else r"\s*"
    comment = f"[{re.escape(rules.comment)}][^\n]*"
    braces = "{}" if rules.blocks else ""
    if rules.inner_quotes:
        plain = rf"[^\s{ends}{braces}\"'\\]"
        word = rf"(?:{quoted}|\\.|{plain})+|[\"'].*"  # an open quote takes all the rest
    else:
        word = rf"{quoted}|[\"'].*|(?:\\.|\$\{{|[^\s{ends}{{\\])+"
    marks = f"[{ends}{braces}]"
    return re.compile(rf"{space}(?:{comment}|({marks}|{word})|(?P<rest>.?))", re.DOTALL)
