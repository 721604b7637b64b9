"""
The syntax of kinds of configuration files, as data: `pyconfd/recipes/formats/<name>.toml`.

Shell: reads those files, once each. value_checks and structure use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from pyconfd.config import shipped
from pyconfd.pipeline.render.function_errors import FunctionFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoting:
    """
    The rules for a text in quotes.

    mark: the quote.
    escaped: characters that get a backslash.
    refused: characters that are not allowed between quotes, beside control characters.
    first: characters that no text may begin with: the daemon removes the quotes before it looks.
    """

    mark: str
    escaped: str = ""
    refused: str = ""
    first: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """
    Where a directive ends and what nests.

    ends: ";" or a line break.
    blocks: `{` and `}` nest.
    comment: characters that begin one.
    inner_quotes: a quote is special inside a word too.
    sections: `<Name ...>` and `</Name>` nest.
    raw_single: a backslash is literal between single quotes.
    """

    ends: str
    blocks: bool
    comment: str
    inner_quotes: bool
    sections: bool
    raw_single: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """
    A kind of configuration file.

    refused: characters that no value may have outside quotes, beside white space and control
    characters.
    first: characters that none may begin with.
    directives: words, in lower case, that a value must not be where a directive begins.
    weight: "min" and "max" of a weight, both allowed.
    """

    name: str
    refused: str
    quoted: Quoting
    structure: Structure
    first: str = ""
    directives: frozenset[str] = frozenset()
    weight: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType({"min": 0, "max": 65535})
    )


def format_names() -> tuple[str, ...]:
    """The names of all formats, sorted."""
    return shipped.names("formats")


@cache
def load_format(name: str) -> Format:
    """The format of this name. Raises FunctionFault, with the nearest name, when there is none."""
    if name not in format_names():
        raise FunctionFault(f"unknown format {name!r}: there are {', '.join(format_names())}")
    table = shipped.table("formats", name)
    return Format(
        name=name,
        refused=table["refused"],
        first=table.get("first", ""),
        directives=frozenset(word.lower() for word in table["directives"]),
        quoted=Quoting(**table["quoted"]),
        structure=Structure(**table["structure"]),
        weight=MappingProxyType(table["weight"]),
    )
