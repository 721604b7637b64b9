"""[service.NAME.rollout]: which keys a fleet takes in turn, and how."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyconfd.config.shell_commands import note_faults
from pyconfd.config.table import Table
from pyconfd.model.command_line import names_file
from pyconfd.model.keys import FLEETS, covering, is_under, join_paths
from pyconfd.model.resources import Command, Origin, Resource, Rollout

ROLLOUT_KEYS = (
    "keys", "max_parallel", "canary", "pause", "verify_cmd", "verify_cmd_timeout", "on_failure",
    "timeout",
)  # fmt: skip

_TIMEOUT_S = 300.0
_VERIFY_TIMEOUT_S = 30.0
#: How long a node is watched when there is a verify_cmd and no pause.
_PAUSE_S = 10.0
_NODE = r"[A-Za-z0-9_.-]+"


def read_rollout(table: Table, members: Sequence[Resource], prefix: str) -> Rollout:
    """
    The rollout of the service whose resources are `members`; faults are noted in the table.

    prefix: the global one of the settings, which is put in front of the gated keys.
    """
    table.only(ROLLOUT_KEYS)
    verify = _verify(table)
    pause_s = table.seconds("pause", _PAUSE_S if verify else 0.0)
    if verify and not pause_s:
        what = "verify_cmd has no time: it must succeed within the pause"
        table.fault("pause", what, 'write pause = "10s"')
    if table.text("on_failure") not in ("", "halt"):
        what = f"on_failure {table.text('on_failure')!r} is not known"
        table.fault("on_failure", what, 'the one that there is: "halt"')
    names, count = _canary(table)
    return Rollout(
        keys=_gated(table, members, prefix),
        max_parallel=_max_parallel(table),
        canaries=names,
        canary_count=count,
        pause_s=pause_s,
        verify=verify,
        timeout_s=table.seconds("timeout", _TIMEOUT_S, above=0.0),
        origin=Origin(table.file, table.line()),
    )


def _gated(table: Table, members: Sequence[Resource], prefix: str) -> tuple[str, ...]:
    """The gated key paths; without `keys` all that the resources read."""
    paths = _named(table, members, prefix)
    if any(is_under(FLEETS, path) or is_under(path, FLEETS) for path in paths):
        what = f"the rollout gates {FLEETS}, where the nodes keep their turns"
        table.fault("keys", what, "name the key paths of the settings in keys")
    return paths


def _named(table: Table, members: Sequence[Resource], prefix: str) -> tuple[str, ...]:
    read = covering(path for one in members for path in one.watched)
    if not table.has("keys"):
        if not read:
            what = "the rollout gates nothing: the resources of the service read no keys"
            table.fault("", what, "leave it out")
        return read
    given = table.texts("keys")
    if not given and "keys" not in table.faulty:
        what = "the rollout gates nothing: keys is empty"
        table.fault("keys", what, "name the key paths of the settings, or leave keys out for all")
    for key in given:
        path = join_paths(prefix, key)
        if not any(is_under(path, one) or is_under(one, path) for one in read):
            what = f"the rollout gates nothing with {path}: no resource of the service reads it"
            table.fault("keys", what, f"they read {', '.join(read) or 'no keys'}")
    return covering(join_paths(prefix, key) for key in given)


def _verify(table: Table) -> Command | None:
    timeout_s = table.seconds("verify_cmd_timeout", _VERIFY_TIMEOUT_S, above=0.0)
    text = table.text("verify_cmd")
    if names_file(text):
        what = "verify_cmd cannot name a single file"
        table.fault("verify_cmd", what, "it is run once for the whole service")
    note_faults(table, "verify_cmd", text)
    return Command(text, timeout_s) if text.strip() else None


def _max_parallel(table: Table) -> float:
    """A number of nodes, or a share of them: 0.25 or "25%"."""
    raw = table.values.get("max_parallel", 1)
    if isinstance(raw, str) and (share := re.fullmatch(r"(\d{1,2}(?:\.\d+)?)\s*%", raw)):
        raw = float(share[1]) / 100
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        number = float(raw)
        if 0 < number < 1 or (number >= 1 and number.is_integer()):
            return number
    what = "max_parallel is neither a number of nodes nor a share of them"
    table.fault("max_parallel", what, 'write 1, 5, 0.25 or "25%"')
    return 1.0


def _canary(table: Table) -> tuple[frozenset[str], int]:
    """Names of nodes, or how many go first."""
    raw = table.values.get("canary")
    if raw is None:
        return frozenset(), 0
    if isinstance(raw, int):
        return frozenset(), table.number("canary", 1)
    given = raw if isinstance(raw, list) else [raw]
    names = [one for one in given if isinstance(one, str) and re.fullmatch(_NODE, one)]
    if not names or names != given:
        what = "canary is neither a list of node names nor a number"
        table.fault("canary", what, 'write canary = ["web1"] or canary = 1')
        return frozenset(), 0
    return frozenset(names), 0
