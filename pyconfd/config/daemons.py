"""
The daemons that can be asked after a reload, described by data: `recipes/daemons/<name>.toml`.

Shell: reads those files, once each. pipeline/confirm/confirm.py acts on each kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from pyconfd.config import shipped

#: How a daemon answers, and what has to be known of one that answers so.
KINDS: Mapping[str, tuple[str, ...]] = {
    "processes": ("master", "worker", "retiring", "died"),
    "page": ("number", "called"),
    "socket": ("ask", "master", "worker", "past", "failed"),
    "mark": ("process",),
}
#: What has to be known of every daemon.
_ALWAYS = ("program", "instance", "transient")


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """
    A daemon that can be asked.

    name: of its file.
    kind: one of KINDS.
    at: what `at` names, for people.
    timeout_s: how long to wait for it by default.
    facts: regular expressions and texts of the kind.
    refusal: matches a line of its log; the group `text` is why a configuration was refused, and
    `{pid}` stands for the master's process id.
    trying: matches the text of a refusal that is not final.
    rewritten: whether the log has only the last reload.
    """

    name: str
    kind: str
    at: str
    timeout_s: float
    facts: Mapping[str, str]
    refusal: str = ""
    trying: str = ""
    rewritten: bool = False


def daemon_names() -> tuple[str, ...]:
    """The daemons there are, sorted."""
    return shipped.names("daemons")


@cache
def load_daemon(name: str) -> Daemon:
    """One of `daemon_names`."""
    table = shipped.table("daemons", name)
    kind = table["kind"]
    return Daemon(
        name=name,
        kind=kind,
        at=table["at"],
        timeout_s=float(table["timeout"]),
        facts={fact: table[fact] for fact in (*KINDS[kind], *_ALWAYS)},
        refusal=table.get("refusal", ""),
        trying=table.get("trying", ""),
        rewritten=table.get("rewritten", False),
    )
