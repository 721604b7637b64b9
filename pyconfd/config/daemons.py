"""
What is known of daemons that can be asked after a reload, as data: `recipes/daemons/<name>.toml`.

Shell: reads those files, once each. What is done with a kind is in pipeline/confirm/confirm.py.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """
    name, kind: of KINDS. at: what `at` names, in words. timeout_s: how long it is waited for by
    default. facts: regular expressions and texts of the kind.

    refusal: in a line of its log: why a configuration was refused, as group `text`; `{pid}` stands
    for the master's number. trying: in the text of a refusal that is not the last word. anew:
    whether the log holds the last reload only.
    """

    name: str
    kind: str
    at: str
    timeout_s: float
    facts: Mapping[str, str]
    refusal: str = ""
    trying: str = ""
    anew: bool = False


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
        facts={fact: table[fact] for fact in KINDS[kind]},
        refusal=table.get("refusal", ""),
        trying=table.get("trying", ""),
        anew=table.get("anew", False),
    )
