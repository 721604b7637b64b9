"""
Finds resources of a confdir that would claim the same names as a recipe written beside them. Shell:
reads conf.d.

Two resources that make a block for each name below the same keys, for the same service, both pass
`pyconfd check`; but the service refuses the second block of each pair ("duplicate upstream").
"""

from __future__ import annotations

import glob
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyconfd.config.recipes import ConfdirFile
from pyconfd.errors import RecipeError
from pyconfd.model.keys import is_under, join_paths, key_path

_NGINX_CONF = "/etc/nginx/nginx.conf"


@dataclass(frozen=True, slots=True)
class _Use:
    """
    What a resource uses that another one could claim too.

    names: key paths whose names become parts of its file.
    readers: what reads the file: a main file of nginx, a reload command.
    """

    names: frozenset[str]
    readers: frozenset[str]
    dest: str


def collisions(files: Sequence[ConfdirFile], folder: str) -> list[RecipeError]:
    """
    One collision for each file of conf.d in `folder` that claims the same names as the recipe's
    files.
    """
    ours = {os.path.join(folder, file.path) for file in files}
    wanted = [
        use for file in files if file.path.startswith("conf.d/") for use in _uses(file.content)
    ]
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "conf.d", "**", "*.toml"), recursive=True)):
        if path not in ours:
            clash = next(_clashes(_read(path), wanted), "")
            if clash:
                found.append(RecipeError(clash, where=path))
    return found


def _clashes(there: Sequence[_Use], wanted: Sequence[_Use]) -> Iterator[str]:
    for one in there:
        for new in wanted:
            if one.dest and one.dest == new.dest and "{" not in one.dest:
                yield f"makes {one.dest} too"
            elif one.readers & new.readers and (key := _common(one.names, new.names)):
                yield f"makes parts of the same service from {key} too: names would come twice"


def _common(some: frozenset[str], others: frozenset[str]) -> str:
    """The longer of two paths if one is below the other."""
    pairs = ((a, b) for a in sorted(some) for b in sorted(others))
    return next((max(a, b, key=len) for a, b in pairs if is_under(a, b) or is_under(b, a)), "")


def _read(path: str) -> list[_Use]:
    try:
        with open(path, "rb") as file:
            return _uses(file.read())
    except OSError:
        return []


def _uses(content: bytes) -> list[_Use]:
    """The uses of the resources in a file; `pyconfd check` reports unreadable files."""
    try:
        data = tomllib.loads(content.decode())
    except ValueError:
        return []
    tables = data.get("template", [])
    tables = tables if isinstance(tables, list) else [tables]
    return [_use(each) for each in tables if isinstance(each, dict)]


def _use(table: dict[str, Any]) -> _Use:
    def text(key: str) -> str:
        value = table.get(key, "")
        return value if isinstance(value, str) else ""

    prefix, dest = key_path(text("prefix")), text("dest")
    keys = table.get("keys", [])
    keys = [each for each in keys if isinstance(each, str)] if isinstance(keys, list) else []
    names = [text("each")] if text("each") else keys
    checked = text("check") == "nginx" or dest.startswith(os.path.dirname(_NGINX_CONF) + "/")
    main = text("nginx_conf") or _NGINX_CONF if checked else ""
    readers = filter(None, (main, text("reload_cmd")))
    return _Use(
        frozenset(join_paths(prefix, key_path(each)) for each in names), frozenset(readers), dest
    )
