"""How daemons tell their states, as data: `pyconfd/recipes/notices/<name>.toml`. Shell."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from pyconfd.config.options import did_you_mean
from pyconfd.config.toml import read_toml
from pyconfd.errors import SettingsError
from pyconfd.registration.states import Speech

_FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "recipes", "notices")


def daemons() -> tuple[str, ...]:
    """The names that `load` knows, sorted."""
    return tuple(sorted(name[:-5] for name in os.listdir(_FOLDER) if name.endswith(".toml")))


def load(name: str) -> Speech:
    """How this daemon tells its states. Raises SettingsError for one that is not known."""
    known = daemons()
    if name not in known:
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise SettingsError("unknown daemon", where=name, hint=hint)
    path = os.path.join(_FOLDER, f"{name}.toml")
    data: Mapping[str, Any] = read_toml(path, SettingsError).data
    return Speech(
        line=re.compile(data["line"]),
        number=data["number"],
        key_pattern=data["key_pattern"],
        arguments=tuple(data["arguments"]),
        ended=frozenset(data["ended"]),
        last=frozenset(data["last"]),
        ignored=frozenset(data["ignored"]),
        renumbered=data["renumbered"],
    )
