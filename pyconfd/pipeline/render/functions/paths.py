"""
The filter path_below, for paths of the node that come from keys. Shell: follows links on the node.

Whoever may write keys must not choose where a daemon that runs as root reads and writes. The node
names the allowed folders.
"""

from __future__ import annotations

import os
import re
from typing import Any

from pyconfd.pipeline.render.function_errors import FunctionFault
from pyconfd.pipeline.render.functions.validators import path

# Of Linux, with the null character at the end.
_LONGEST_PATH_BYTES = 4095


class RefusedPath(FunctionFault):
    """A path that the node does not allow. hint: which setting allows more."""

    def __init__(self, what: str, folders: list[Any], setting: str) -> None:
        where = " or ".join(map(str, folders))
        super().__init__(f"{what} below {where}" if where else f"{what}: no folder is allowed")
        self.hint = f"{setting} says which folders are allowed" if setting else ""


def path_below(value: Any, folders: Any, setting: str = "", key: str = "") -> str:
    """
    An absolute path below one of these folders, with links followed; normalized.

    folders: one or a list, absolute; a file allows only itself. From `vars`, not from keys.
    setting: their name in a message, if they are not from `vars`.
    key: the name of the value in a message, if it is not simply the value of a key.
    """
    origin = f"the value of {key}" if key else str(getattr(value, "origin", "the value"))
    allowed = [folders] if isinstance(folders, str) else list(folders)
    setting = setting or _setting([folders, *allowed])
    found = _normal(value)
    if not found:
        raise RefusedPath(f"{origin} is not an absolute path without ..", allowed, setting)
    lexical = [folder for folder in allowed if _is_below(found, _normal(folder))]
    if not lexical:
        raise RefusedPath(f"{origin} is not a path", allowed, setting)
    real = os.path.realpath(found)
    if not any(_is_below(real, os.path.realpath(folder)) for folder in allowed):
        what = f"{origin} leads through a link out of {lexical[0]}, to what is not"
        raise RefusedPath(what, allowed, setting)
    return found


def _normal(value: Any) -> str:
    """The normalized path; "" for a text that is not a path of a file system."""
    try:
        if len(os.fsencode(str(value))) <= _LONGEST_PATH_BYTES:
            return "/" + os.path.normpath(path(value)).lstrip("/")
    except (FunctionFault, UnicodeEncodeError):
        pass
    return ""


def _is_below(name: str, folder: str) -> bool:
    return bool(folder) and (name == folder or name.startswith(folder.rstrip("/") + "/"))


def _setting(facts: list[Any]) -> str:
    """The place of the folders in the config file, if they are from it."""
    origins = (str(getattr(each, "origin", "")) for each in facts)
    return ", ".join(dict.fromkeys(re.sub(r"\[\d+\]$", "", each) for each in origins if each))
