"""
The state of the daemon in one line: what is wrong, and what is still fine. Pure.

It is what an operator reads first, in `systemctl status`, in the log and at the top of `pyconfd
status`; so trouble comes before what is well, and each trouble says its place and its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

#: Kinds of trouble a resource can be in, the worst first.
TROUBLES = ("torn", "refused", "reverted", "failed", "held", "left out")
#: The kind of a state in which nothing is wrong yet and not everything was looked at.
STARTING = "starting"
#: So many are named for each kind; the rest is counted.
NAMED = 3
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A resource whose newest version is not live. kind: of TROUBLES. what: one line."""

    name: str
    kind: str
    what: str


class Troubles:
    """Resources in trouble, of each kind in the order in which they got into it."""

    def __init__(self, found: Iterable[Unhealthy] = ()) -> None:
        self._kinds: dict[str, str] = {}
        self._of: dict[str, dict[str, Unhealthy]] = {}
        for each in found:
            self.put(each)

    def __len__(self) -> int:
        return len(self._kinds)

    def __iter__(self) -> Iterator[Unhealthy]:
        return (self._of[kind][name] for name, kind in self._kinds.items())

    def of(self, kind: str) -> Collection[Unhealthy]:
        """Those of one kind."""
        return self._of.get(kind, {}).values()

    def put(self, unhealthy: Unhealthy) -> None:
        """A resource is in this trouble now; one that was in it already keeps its place."""
        if self._kinds.get(unhealthy.name, unhealthy.kind) != unhealthy.kind:
            self.drop(unhealthy.name)
        self._kinds[unhealthy.name] = unhealthy.kind
        self._of.setdefault(unhealthy.kind, {})[unhealthy.name] = unhealthy

    def drop(self, name: str) -> None:
        """A resource is in none."""
        kind = self._kinds.pop(name, None)
        if kind is not None:
            del self._of[kind][name]


@dataclass(frozen=True, slots=True)
class FailedReload:
    """A reload that failed and is still owed. since_at: seconds since 1970, UTC. why: one line."""

    service: str
    since_at: float
    why: str


@dataclass(frozen=True, slots=True)
class Outage:
    """The store is out of reach. since_at: seconds since 1970, UTC."""

    cause: str
    since_at: float


@dataclass(frozen=True, slots=True)
class ConfigFaults:
    """
    Faults of conf.d or its templates. since_at: seconds since 1970, UTC, when they were found.
    taken: the rest of that set is in force (at the start); else the former set is (SIGHUP).
    """

    faults: tuple[str, ...]
    since_at: float
    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    What the line is made of. resources: how many there are, the bad ones and those that were not
    looked at yet (`waiting`) included. listed: whether the store was read as it is watched now.
    undeclared: services that are owed a reload, and that no resource has any more.
    """

    resources: int
    revision: int = 0
    listed: bool = True
    waiting: int = 0
    bad: Troubles = field(default_factory=Troubles)
    owed: tuple[FailedReload, ...] = ()
    undeclared: tuple[str, ...] = ()
    outage: Outage | None = None
    faulty: ConfigFaults | None = None


def kind(summary: Summary) -> str:
    """
    Which troubles there are, in words joined by commas: "ok", "starting", "refused,owed,lost".
    It changes when an operator should look, and not with every attempt or revision.
    """
    found = [name for name in TROUBLES if summary.bad.of(name)]
    if summary.owed:
        found.append("owed")
    if summary.undeclared:
        found.append("undeclared")
    if summary.faulty:
        found.append("faulty")
    if summary.outage:
        found.append("lost")
    if not found:
        return "ok" if summary.listed and not summary.waiting else STARTING
    return ",".join(found)


def line(summary: Summary, now_at: float, *, ages: bool = True) -> str:
    """
    The line. now_at: seconds since 1970, UTC. ages: "for 12 s", for a reader who reads it now;
    otherwise "since" and the time, for one who reads it later.
    """

    def time_of(since_at: float) -> str:
        return f"for {span(now_at - since_at)}" if ages else f"since {utc(since_at)}"

    parts = [_resources(summary)] if summary.bad else []
    if summary.owed:
        parts.append(_owed(summary.owed, time_of(min(owed.since_at for owed in summary.owed))))
    if summary.undeclared:
        named = _listed([brief(name) for name in summary.undeclared])
        parts.append(f"reload owed, and no resource has its command any more ({named})")
    if summary.faulty:
        parts.append(_faulty(summary.faulty, time_of(summary.faulty.since_at)))
    if summary.outage:
        cause = brief(summary.outage.cause)
        parts.append(f"store lost {time_of(summary.outage.since_at)}: {cause}")
    if not summary.listed:
        parts.append(_unread(summary))
    elif not summary.bad:
        parts.append(_fine(summary, alone=not parts))
    return "; ".join(parts)


def _resources(summary: Summary) -> str:
    """`1 refused (sites: ...), 19 fine`."""
    words = []
    for name in TROUBLES:
        found = summary.bad.of(name)
        if found:
            named = [
                f"{bad.name}: {brief(bad.what)}" if bad.what else bad.name
                for bad in islice(found, NAMED)
            ]
            words.append(f"{len(found)} {name} ({_listed(named, len(found))})")
    fine = summary.resources - len(summary.bad) - summary.waiting
    if fine > 0:
        words.append(f"{fine} fine")
    if summary.waiting:
        words.append(f"{summary.waiting} not looked at yet")
    return ", ".join(words)


def _owed(owed: Iterable[FailedReload], when: str) -> str:
    named = [f"{each.service}: {brief(each.why)}" if each.why else each.service for each in owed]
    count = f"{len(named)} reloads" if len(named) > 1 else "reload"
    return f"{count} owed {when} ({_listed(named)})"


def _faulty(faulty: ConfigFaults, when: str) -> str:
    count = f"{len(faulty.faults)} fault{'s' * (len(faulty.faults) != 1)}"
    named = _listed([brief(fault) for fault in faulty.faults])
    if faulty.taken:
        return f"{count} in conf.d {when}, left out ({named})"
    return f"new configuration refused {when}, the former one runs ({count}: {named})"


def _unread(summary: Summary) -> str:
    if summary.outage is None:
        return "starting: the store has not been read yet"
    return f"it has not been read yet, {_count(summary.resources)} left as found"


def _fine(summary: Summary, *, alone: bool) -> str:
    """What is said when no resource is in trouble."""
    if summary.waiting:
        return f"starting: {summary.waiting} of {_count(summary.resources)} not looked at yet"
    place = f" at revision {summary.revision}" if summary.revision else ""
    if alone:
        return f"ok: {_count(summary.resources)}{place}"
    return f"{summary.resources} fine{place}"


def _count(resources: int) -> str:
    return f"{resources} resource{'s' * (resources != 1)}"


def _listed(named: list[str], of: int | None = None) -> str:
    """The first few. of: how many there are, if `named` is not all."""
    more = (len(named) if of is None else of) - NAMED
    return "; ".join(named[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def brief(text: str) -> str:
    """One line of printable text that is not too long."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."


def span(seconds: float) -> str:
    """A length of time for people: `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, int(seconds))
    for unit, size, part, part_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole // 60} min" if whole >= 120 else f"{whole} s"


def utc(moment_at: float) -> str:
    """A moment as `2026-03-01T12:00:00Z`."""
    return _utc(int(moment_at))


@lru_cache(1024)  # a thousand resources became live in the same few seconds
def _utc(second: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
