"""How daemons report their states, as data: `pyconfd/recipes/notices/<name>.toml`. Shell."""

from __future__ import annotations

import re

from pyconfd.config import shipped
from pyconfd.config.options import did_you_mean
from pyconfd.errors import SettingsError
from pyconfd.registration.notify.states import Dialect


def daemons() -> tuple[str, ...]:
    """The names that `load` knows, sorted."""
    return shipped.names("notices")


def load(name: str) -> Dialect:
    """How this daemon reports its states. Raises SettingsError for an unknown daemon."""
    known = daemons()
    if name not in known:
        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise SettingsError("unknown daemon", where=name, hint=hint)
    data = shipped.table("notices", name)
    return Dialect(
        line=re.compile(data["line"]),
        number=data["number"],
        key_pattern=data["key_pattern"],
        arguments=tuple(data["arguments"]),
        ended=frozenset(data["ended"]),
        last=frozenset(data["last"]),
        ignored=frozenset(data["ignored"]),
        renumbered=data["renumbered"],
    )
