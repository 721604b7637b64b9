"""
The states of a daemon's parts as it tells them, line by line: what a line changes. Pure.

    said                         known state   becomes
    another state                any           that state, since now
    the same state               the same      only the number may change: no transition
    a new number                 any           the number; the state where none was known
    ended                        any           forgotten
    (the daemon is gone)         its last word unchanged
    (the daemon is gone)         any other     LOST, since now
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

LOST = "LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """
    How a daemon tells its states (recipes/notices). line: with the groups service, state, number.

    number: what the number is called in the published value. key_pattern: as in service.py.
    arguments: of hooks, with places. ended: the part is no more. last: said before a peaceful end.
    ignored: events that are no state. renumbered: event -> the state whose number has changed.
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
    """One line that was understood."""

    service: str
    state: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedState:
    """The state of one part. since: UTC in ISO 8601. was: the state before, "" when unknown."""

    service: str
    state: str
    number: int
    since: str
    was: str = ""

    def fields(self, speech: Dialect) -> dict[str, object]:
        """What is published of it."""
        return {
            "state": self.state,
            speech.number: self.number,
            "was": self.was or None,
            "since": self.since,
        }


def understood(line: str, speech: Dialect) -> StateLine | None:
    """What a line says of a part; None for a line about something else."""
    match = speech.line.fullmatch(line.strip())
    if match is None:
        return None
    said = StateLine(match["service"], match["state"], int(match["number"]))
    return None if said.state in speech.ignored else said


def after(
    known: PublishedState | None, said: StateLine, speech: Dialect, now: str
) -> PublishedState | None:
    """The state after what was said; None when the part is no more. now: UTC in ISO 8601."""
    if said.state in speech.ended:
        return None
    meant = said.state
    if said.state in speech.renumbered:
        meant = known.state if known is not None else speech.renumbered[said.state]
    if known is not None and known.state == meant:
        return replace(known, number=said.number)
    return PublishedState(
        service=said.service,
        state=meant,
        number=said.number,
        since=now,
        was=known.state if known is not None else "",
    )


def lost(known: PublishedState, speech: Dialect, now: str) -> PublishedState:
    """The state after the daemon has gone."""
    if known.state in speech.last or known.state == LOST:
        return known
    return replace(known, state=LOST, since=now, was=known.state)


def call(state: PublishedState, speech: Dialect) -> list[str]:
    """The arguments of a hook."""
    words = {"service": state.service, "state": state.state, "number": str(state.number)}
    return [words.get(each.strip("{}"), each) for each in speech.arguments]
