"""
The states of a daemon's parts, and how a reported line changes them. Pure.

    reported                     known state   becomes
    another state                any           that state, since now
    the same state               the same      at most the number changes: no transition
    a new number                 any           the number; the state where none was known
    ended                        any           forgotten
    (the daemon is gone)         stopped       unchanged
    (the daemon is gone)         any other     LOST, since now
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

LOST = "LOST"
GONE_AFTER_S = 2.0  # keepalived closes its pipe for some milliseconds at each reload
UNHEARD_AFTER_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """
    How a daemon reports its states (recipes/notices).

    line: with the groups service, state and number
    number: what the number is called in the published value
    key_pattern: as in declaration.py
    arguments: of hooks, with places
    ended: events that mean the part no longer exists
    last: states reported before a regular stop
    ignored: events that are no state
    renumbered: from an event to the state whose number has changed
    """

    line: re.Pattern[str]
    number: str
    key_pattern: str
    arguments: tuple[str, ...] = ()
    ended: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    renumbered: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateLine:
    """One line about a part."""

    service: str
    state: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedState:
    """
    The state of one part.

    since: UTC in ISO 8601
    was: the state before, "" when unknown
    """

    service: str
    state: str
    number: int
    since: str
    was: str = ""

    def fields(self, dialect: Dialect) -> dict[str, object]:
        """What is published of it."""
        return {
            "state": self.state,
            dialect.number: self.number,
            "was": self.was or None,
            "since": self.since,
        }


def parse_line(line: str, dialect: Dialect) -> StateLine | None:
    """What a line reports of a part; None for a line about something else."""
    match = dialect.line.fullmatch(line.strip())
    if match is None:
        return None
    reported = StateLine(match["service"], match["state"], int(match["number"]))
    return None if reported.state in dialect.ignored else reported


def after(
    known: PublishedState | None, reported: StateLine, dialect: Dialect, now: str
) -> PublishedState | None:
    """The state after a line; None when the part no longer exists. now: UTC in ISO 8601."""
    if reported.state in dialect.ended:
        return None
    state = reported.state
    if reported.state in dialect.renumbered:
        state = known.state if known is not None else dialect.renumbered[reported.state]
    if known is not None and known.state == state:
        return replace(known, number=reported.number)
    return PublishedState(
        service=reported.service,
        state=state,
        number=reported.number,
        since=now,
        was=known.state if known is not None else "",
    )


def gone_since(before: float | None, has_writer: bool, now: float) -> float | None:
    """When the daemon was seen to have closed its pipe; None while the pipe is open."""
    if has_writer:
        return None
    return now if before is None else before


def is_gone(since: float | None, now: float) -> bool:
    """Whether that is longer ago than a reload takes. since: from `gone_since`."""
    return since is not None and now - since >= GONE_AFTER_S


def is_unheard(since: float | None, now: float) -> bool:
    """Whether a daemon that is there would have opened its pipe by now. since: as above."""
    return since is not None and now - since >= UNHEARD_AFTER_S


def lost(known: PublishedState, dialect: Dialect, now: str) -> PublishedState:
    """The state after the daemon has gone."""
    if known.state in dialect.last or known.state == LOST:
        return known
    return replace(known, state=LOST, since=now, was=known.state)


def hook_arguments(state: PublishedState, dialect: Dialect) -> list[str]:
    """The arguments of a hook."""
    places = {"service": state.service, "state": state.state, "number": str(state.number)}
    return [places.get(each.strip("{}"), each) for each in dialect.arguments]
