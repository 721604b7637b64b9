"""The guard of a resource: when a change of its keys is held back."""

from __future__ import annotations

from pyconfd.config.table import Table
from pyconfd.model.keys import key_path
from pyconfd.model.resources import Guard

GUARD_KEYS = (
    "min_keys",
    "max_shrink",
    "shrink_in",
    "require",
    "allow_empty",
    "guard_timeout",
)


def read_guard(table: Table) -> Guard:
    """The guard of a table. By default only an emptied store is held back."""
    usual = Guard()
    return Guard(
        min_keys=_whole_number(table, "min_keys", usual.min_keys),
        max_shrink=_share(table, "max_shrink", usual.max_shrink),
        shrink_in=_folders(table),
        require=tuple(key_path(path) for path in table.texts("require")),
        allow_empty=table.flag("allow_empty"),
        timeout_s=table.seconds("guard_timeout", 0.0, above=0.0)
        if table.has("guard_timeout")
        else None,
    )


def _whole_number(table: Table, key: str, default: int) -> int:
    raw = table.values.get(key, default)
    if isinstance(raw, bool) or not isinstance(raw, int) or raw < 0:
        table.fault(key, f"{key} is not a number of 0 or more")
        return default
    return raw


def _folders(table: Table) -> tuple[str, ...]:
    """Patterns of folders, in which only whole names may be `*`."""
    patterns = tuple(key_path(path) for path in table.texts("shrink_in"))
    for pattern in patterns:
        if any("*" in name and name != "*" for name in pattern.split("/")):
            table.fault("shrink_in", f"{pattern!r}: only a whole name can be *", "/app/*/servers")
    if patterns and not table.has("max_shrink"):
        table.fault("shrink_in", "shrink_in needs max_shrink", "max_shrink = 0.5")
    return patterns


def _share(table: Table, key: str, default: float) -> float:
    """A share of all keys: 0 for none of them, 1 for all."""
    raw = table.values.get(key, default)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw <= 1:
        table.fault(key, f"{key} is not between 0 and 1", "0.5 is half of the keys")
        return default
    return float(raw)
