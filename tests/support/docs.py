"""
The tables of docs/configuration.md, made from the tables in the code.

`python -m tests.support.docs` writes them into the page; a test compares.
"""

from __future__ import annotations

import re

from pyconfd.cli.help import default_of
from pyconfd.config.option_table import OPTIONS
from pyconfd.config.options import Option
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "configuration.md"
_MARKED = re.compile(r"(<!-- options -->\n).*?(<!-- end of options -->)", re.DOTALL)


def option_tables() -> str:
    """One table for each group of options."""
    groups: dict[str, list[Option]] = {}
    for option in OPTIONS:
        groups.setdefault(option.group, []).append(option)
    return "\n".join(_table(name, options) for name, options in groups.items())


def _table(name: str, options: list[Option]) -> str:
    rows = "".join(_row(option) for option in options)
    head = "| Option | Environment | Config file | Default | Meaning |\n|---|---|---|---|---|\n"
    return f"### {name}\n\n{head}{rows}"


def _row(option: Option) -> str:
    key = f"`{option.name.replace('-', '_')}`" if option.in_file else "-"
    default = "`false`" if option.kind == "flag" else default_of(option)
    if default and option.kind != "flag":
        default = default if option.default_text else f"`{default}`"
    help_text = option.help
    if option.choices:
        help_text += ": " + ", ".join(f"`{choice}`" for choice in option.choices)
    cells = f"`--{option.name}`", f"`{option.variable}`", key, default or "none", help_text
    return "| " + " | ".join(cells) + " |\n"


def with_tables(page: str) -> str:
    """The page with the tables as they should be."""
    return _MARKED.sub(lambda found: found[1] + option_tables() + found[2], page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
