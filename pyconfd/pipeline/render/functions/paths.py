"""
The filter for paths of the node that come from keys: path_below. Shell: follows links on the node.

Whoever may write keys must not choose where a daemon that runs as root reads and writes: the node
says which folders they may choose from.
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
    An absolute path below one of these folders, also where its links lead; normalized.

    folders: one or a list, absolute; one that is a file allows that file. Of `vars`, not of keys.
    setting: what to call them in a message, where they are not of `vars`.
    key: what to call the value, where it is not that of a key as it is.
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
    """The path without what means nothing in it; "" for what is no path of a file system."""
    try:
        if len(os.fsencode(str(value))) <= _LONGEST_PATH_BYTES:
            return "/" + os.path.normpath(path(value)).lstrip("/")
    except (FunctionFault, UnicodeEncodeError):
        pass
    return ""


def _is_below(name: str, folder: str) -> bool:
    return bool(folder) and (name == folder or name.startswith(folder.rstrip("/") + "/"))


def _setting(facts: list[Any]) -> str:
    """Where the folders stand in the config file, as far as they do."""
    origins = (str(getattr(each, "origin", "")) for each in facts)
    return ", ".join(dict.fromkeys(re.sub(r"\[\d+\]$", "", each) for each in origins if each))
