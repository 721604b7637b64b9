"""
The further syntax faults of a Jinja2 template, whose parser stops at the first. Pure.

Each tag is parsed alone, together with what closes it; if that fails, the tag is wrong whatever is
around it. Then the template is parsed again with good tags instead of the wrong ones, which shows
whether something is not closed or in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import jinja2

if TYPE_CHECKING:
    from pyconfd.pipeline.render.environment import Environment

Fault = jinja2.TemplateSyntaxError

#: More are of no help.
MOST = 50
#: Where a tag, a comment or a raw part begins.
_BEGIN = re.compile(
    r"\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{\{|\{%", re.DOTALL
)
#: How a tag begins -> its end, outside the texts of one line.
_CLOSING_OF = {
    begin: re.compile(rf"'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|({end})")
    for begin, end in (("{{", "}}"), ("{%", "%}"))
}
_KEYWORD = re.compile(r"\{%[-+]?\s*([a-zA-Z_]\w*)?")
#: Tags that open a block, with a good one in their place.
_OPENING = {
    "autoescape": "{% autoescape true %}",
    "block": "{% block _ %}",
    "call": "{% call _() %}",
    "filter": "{% filter trim %}",
    "for": "{% for _ in () %}",
    "if": "{% if 1 %}",
    "macro": "{% macro _() %}",
    "with": "{% with %}",
}
#: What is wrong with them is about what stands around.
_END = re.compile(r"end\w*|else")


#: All tags that there are, beside those.
_KNOWN = _OPENING.keys() | {"elif", "extends", "from", "import", "include", "print", "set"}


class _Tag(NamedTuple):
    """
    A tag that cannot be parsed.

    begin, end: in the template. keyword: "" for an expression, or if there is none.
    """

    begin: int
    end: int
    keyword: str
    fault: Fault


def further_faults(environment: Environment, source: str, first: Fault) -> list[Fault]:
    """The faults of a template that the parser has refused, without the first one, by line."""
    wrong = list(_wrong_tags(environment, source, first.name))
    found = {(tag.fault.lineno, tag.fault.message): tag.fault for tag in wrong}
    around = _around(environment, source, wrong, first.name)
    if around is not None:
        found.setdefault((around.lineno, around.message), around)
    found.pop((first.lineno, first.message), None)
    return sorted(found.values(), key=lambda fault: fault.lineno)


def _wrong_tags(environment: Environment, source: str, name: str | None) -> Iterator[_Tag]:
    at = line = count = 0
    while (begin := _BEGIN.search(source, at)) and count < MOST:
        line += source.count("\n", at, begin.start())
        at = begin.start()
        end = begin.end()
        if begin[0] in _CLOSING_OF:
            end, fault = _tag(environment, source, at, name)
            if fault is not None:
                count += 1
                fault.lineno += line
                yield _Tag(at, end, _keyword(source[at:end]), fault)
        line += source.count("\n", at, end)
        at = end


def _tag(
    environment: Environment, source: str, begin: int, name: str | None
) -> tuple[int, Fault | None]:
    """
    Where a tag ends, and what is wrong with it, with lines counted from its own; None for nothing.
    """
    first: tuple[int, Fault | None] = (begin + 2, None)
    for found in _CLOSING_OF[source[begin : begin + 2]].finditer(source, begin + 2):
        if not found[1]:
            continue
        tag = source[begin : found.end()]
        fault = _fault_of(environment, tag, name)
        if fault is None:
            return found.end(), None
        if first[1] is None:
            first = (found.end(), fault)
        if "{{" in tag[2:] or "{%" in tag[2:]:
            break  # the end of another tag
    return first


def _fault_of(environment: Environment, tag: str, name: str | None) -> Fault | None:
    """Why a tag cannot be parsed, whatever is around it; None if it can."""
    fault: Fault | None = None
    for before, after in _frames(tag):
        try:
            environment.parse(before + tag + after, name)
        except Fault as error:
            fault = fault or error
        else:
            return None
    return fault


def _frames(tag: str) -> tuple[tuple[str, str], ...]:
    """Texts that can be put around a tag so that it is a whole template."""
    keyword = _keyword(tag)
    if _END.fullmatch(keyword):
        return ()
    if keyword == "elif":
        return (("{% if 1 %}", "{% endif %}"),)
    if keyword == "set":
        plain, block = ("", ""), ("", "{% endset %}")
        return (plain, block) if "=" in tag else (block,)
    return (("", f"{{% end{keyword} %}}" if keyword in _OPENING else ""),)


def _keyword(tag: str) -> str:
    found = _KEYWORD.match(tag)
    return (found[1] if found else "") or ""


def _around(
    environment: Environment, source: str, wrong: list[_Tag], name: str | None
) -> Fault | None:
    """The faults of the template after its wrong tags are replaced."""
    parts, at = [], 0
    for tag in wrong:
        text = source[tag.begin : tag.end]
        if text.startswith("{%") and tag.keyword not in _KNOWN:
            return None  # it may have been meant to open a block
        lines = text.count("\n")
        parts += [source[at : tag.begin], _good(text, tag.keyword), "{#" + "\n" * lines + "#}"]
        at = tag.end
    try:
        environment.parse("".join(parts) + source[at:], name)
    except Fault as fault:
        return fault
    return None


def _good(tag: str, keyword: str) -> str:
    """A valid tag to replace a wrong one; "" if none is needed."""
    if keyword == "set":
        return "" if "=" in tag else "{% set _ %}"
    return "{% elif 1 %}" if keyword == "elif" else _OPENING.get(keyword, "")
