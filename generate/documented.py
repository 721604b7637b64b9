"""What the pages say of keys: the tables of docs/configuration.md and docs/recipes/README.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
#: Words that point to another place of the page.
_POINTERS = re.compile(r"; see (?:below|templates\.md)| \(what happens then\)")


class Documented(NamedTuple):
    """A row of a table: default and meaning as text, with code in back quotes; "" for none."""

    default: str
    meaning: str


def documented(page: str, begin: str, end: str) -> dict[str, Documented]:
    """The keys of the tables between two headings of a page below docs. Names: in back quotes."""
    text = (ROOT / "docs" / page).read_text()
    section = text[text.index(begin) : text.index(end)]
    found: dict[str, Documented] = {}
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        names, *middle, meaning = (cell.strip() for cell in line.strip("|").split(" | "))
        default = _plain(middle[0]) if middle else ""
        for name in re.findall(r"`\[*([\w.]+)\]*`", names):
            found[name] = Documented(default, _plain(meaning.rstrip("|")))
    return found


def _plain(cell: str) -> str:
    return _POINTERS.sub("", _LINK.sub(r"\1", cell)).strip()


RESOURCE = documented("configuration.md", "## Resources", "A resource with everything")
SERVICE = documented("configuration.md", "### Services", "### Rollouts")
ROLLOUT = documented("configuration.md", "### Rollouts", "### Groups")
GROUP = documented("configuration.md", "### Groups", "### One file for each key")
RECIPE = documented("recipes/README.md", "| Key of `recipe.toml`", "A folder of recipes")
