"""
The data that comes with the package, below `pyconfd/recipes`. Shell: reads those files.

Each kind is a folder of TOML files: `formats`, `daemons`, `notices`, `places`. The caller knows the
meaning of their tables.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from pyconfd.errors import ConfigError

#: The folder of the recipes.
RECIPES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "recipes")

#: Installed, the pages of the documentation are in the package; in a checkout, beside it.
_PAGES = ("docs", os.path.join(os.pardir, "docs"))


def page_path(name: str) -> str:
    """Where to read the page of a recipe: the installed file, else its place in the repository."""
    place = os.path.join("recipes", f"{name}.md")
    for folder in _PAGES:
        path = os.path.normpath(os.path.join(os.path.dirname(RECIPES), folder, place))
        if os.path.isfile(path):
            return path
    return os.path.join("docs", place)


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of a kind's files without `.toml`, sorted."""
    found = (os.path.splitext(name) for name in os.listdir(os.path.join(RECIPES, kind)))
    return tuple(sorted(stem for stem, ending in found if ending == ".toml"))


@cache
def table(kind: str, name: str) -> dict[str, Any]:
    """The table of one of `names`. Do not change it: it is read once and shared."""
    from pyconfd.config.toml import read_toml

    return read_toml(os.path.join(RECIPES, kind, f"{name}.toml"), ConfigError).data
