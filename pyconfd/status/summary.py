"""
The state of the daemon in one line: what is wrong, what is still fine, what to type next. Pure.

An operator reads it first, in `systemctl status`, in the log and at the top of `pyconfd status`. So
trouble comes before what is fine, and each trouble has its place and its reason.
"""

from __future__ import annotations

import enum
import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice


class FileState(enum.StrEnum):
    """The state of one destination."""

    FINE = "fine"
    #: Not processed yet since the start or the last SIGHUP.
    WAITING = "waiting"
    TORN = "torn"
    REFUSED = "refused"
    REVERTED = "reverted"
    FAILED = "failed"
    HELD = "held"
    LEFT_OUT = "left out"


#: The states in which the newest version is not live, the worst first.
TROUBLES = tuple(FileState)[2:]


class DaemonState(enum.StrEnum):
    """The state of everything else."""

    OK = "ok"
    #: Nothing is wrong, and not everything was processed yet.
    STARTING = "starting"
    #: A reload failed and is retried.
    PENDING = "pending"
    #: A reload is pending for a service that conf.d no longer has.
    ORPHANED = "orphaned"
    #: conf.d or a template has faults.
    FAULTY = "faulty"
    #: The fleet goes no further with a change of a service's gated keys.
    HALTED = "halted"
    #: An operator keeps a service at an earlier revision.
    PINNED = "pinned"
    #: The store is unavailable.
    LOST = "lost"


_WAITING = frozenset(
    (FileState.WAITING, FileState.HELD, FileState.LEFT_OUT, DaemonState.STARTING,
     DaemonState.PENDING, DaemonState.ORPHANED, DaemonState.HALTED, DaemonState.PINNED)
)  # fmt: skip
_GOOD = frozenset((FileState.FINE, DaemonState.OK))

#: So many are named for each state; the rest is counted.
NAMED = 3
_LONGEST = 240


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """
    A destination whose newest version is not live.

    name: of the resource.
    state: of TROUBLES.
    what: why, in one line.
    """

    name: str
    state: FileState
    what: str


class Troubles:
    """The resources in trouble: of each state, in the order in which they got into it."""

    def __init__(self, found: Iterable[Unhealthy] = ()) -> None:
        self._states: dict[str, FileState] = {}
        self._of: dict[FileState, dict[str, Unhealthy]] = {}
        for each in found:
            self.put(each)

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[Unhealthy]:
        return (self._of[state][name] for name, state in self._states.items())

    def of(self, state: FileState) -> Collection[Unhealthy]:
        """Those in one state."""
        return self._of.get(state, {}).values()

    def put(self, unhealthy: Unhealthy) -> None:
        """Note that a resource is in this trouble; if it was already, it keeps its place."""
        if self._states.get(unhealthy.name, unhealthy.state) is not unhealthy.state:
            self.drop(unhealthy.name)
        self._states[unhealthy.name] = unhealthy.state
        self._of.setdefault(unhealthy.state, {})[unhealthy.name] = unhealthy

    def drop(self, name: str) -> None:
        """Note that a resource is in no trouble."""
        state = self._states.pop(name, None)
        if state is not None:
            del self._of[state][name]


@dataclass(frozen=True, slots=True)
class FailedReload:
    """
    A reload that failed and is pending.

    service: its name.
    since_at: seconds since 1970, UTC.
    why: one line.
    """

    service: str
    since_at: float
    why: str


@dataclass(frozen=True, slots=True)
class Outage:
    """
    The store is unavailable.

    cause: the newest one, in words.
    since_at: seconds since 1970, UTC.
    """

    cause: str
    since_at: float


@dataclass(frozen=True, slots=True)
class ConfigFaults:
    """
    Faults of conf.d or its templates.

    faults: each with file and line.
    since_at: when they were found, seconds since 1970, UTC.
    taken: whether the rest of that set is in use (at the start), or the previous set (SIGHUP).
    """

    faults: tuple[str, ...]
    since_at: float
    taken: bool


@dataclass(frozen=True, slots=True)
class GatedChange:
    """
    A change of a service's gated keys that this node does not use.

    why: in words.
    halted: it is stopped until an operator resumes it or the keys change.
    """

    service: str
    why: str
    halted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    What the line is made of.

    resources: the number of all resources.
    revision: of the store.
    listed: whether the prefixes watched now were read.
    waiting: how many were not processed yet.
    bad: the resources in trouble.
    pending: reloads that failed.
    orphaned: services with a pending reload that conf.d no longer has.
    outage: None while the store answers.
    faulty: None while conf.d has no faults.
    gated: changes that wait for this node's turn, or are halted.
    pinned: services that an operator keeps at an earlier revision, in words.
    """

    resources: int
    revision: int = 0
    listed: bool = True
    waiting: int = 0
    bad: Troubles = field(default_factory=Troubles)
    pending: Collection[FailedReload] = ()
    orphaned: tuple[str, ...] = ()
    outage: Outage | None = None
    faulty: ConfigFaults | None = None
    gated: tuple[GatedChange, ...] = ()
    pinned: tuple[str, ...] = ()

    @property
    def halted(self) -> tuple[GatedChange, ...]:
        """Those of `gated` that go no further."""
        return tuple(each for each in self.gated if each.halted)


def states(summary: Summary) -> tuple[enum.StrEnum, ...]:
    """
    The kinds of trouble; only OK or STARTING when there is none. They change when an operator
    should look, not with every attempt or revision.
    """
    others = (
        (DaemonState.PENDING, summary.pending),
        (DaemonState.ORPHANED, summary.orphaned),
        (DaemonState.FAULTY, summary.faulty),
        (DaemonState.HALTED, summary.halted),
        (DaemonState.PINNED, summary.pinned),
        (DaemonState.LOST, summary.outage),
    )
    found = [state for state in TROUBLES if summary.bad.of(state)]
    troubles = (*found, *(state for state, there in others if there))
    calm = DaemonState.OK if summary.listed and not summary.waiting else DaemonState.STARTING
    return troubles or (calm,)


def kind(summary: Summary) -> str:
    """The states in one word: "ok", "starting", "refused,pending,lost"."""
    return ",".join(states(summary))


def line(summary: Summary, now_at: float, *, ages: bool = True) -> str:
    """
    The line. now_at: seconds since 1970, UTC. ages: "for 12 s", for a line that is read now;
    otherwise "since" and the time, for a line that is read later.
    """

    def time_of(since_at: float) -> str:
        return f"for {span(now_at - since_at)}" if ages else f"since {utc(since_at)}"

    parts = [_resources(summary)] if summary.bad else []
    if summary.pending:
        since_at = min(reload.since_at for reload in summary.pending)
        parts.append(_pending(summary.pending, time_of(since_at)))
    if summary.orphaned:
        named = _listed([brief(name) for name in summary.orphaned])
        parts.append(f"reload pending, but no resource has its command any more ({named})")
    if summary.faulty:
        parts.append(_faulty(summary.faulty, time_of(summary.faulty.since_at)))
    if summary.gated:
        parts.append(_gated(summary.gated))
    if summary.pinned:
        parts.append(f"{_listed([brief(each) for each in summary.pinned])}")
    if summary.outage:
        cause = brief(summary.outage.cause)
        parts.append(f"store unavailable {time_of(summary.outage.since_at)}: {cause}")
    if not summary.listed:
        parts.append(_unread(summary))
    elif not summary.bad:
        parts.append(_fine(summary, alone=not parts))
    return "; ".join([*parts, *_next_commands(summary)])


def _next_commands(summary: Summary) -> Iterator[str]:
    """
    The next commands for the worst trouble: one that shows more, and if there is one, the one that
    ends it.
    """
    for state in TROUBLES:
        for worst in summary.bad.of(state):
            name = shlex.quote(brief(worst.name))
            yield f"see pyconfd explain {name}"
            if state is FileState.HELD:
                yield f"let it through: pyconfd release {name}"
            return
    if command := _overview(summary):
        yield f"see {command}"


def _overview(summary: Summary) -> str:
    """The command that shows a trouble that is not of a resource."""
    if summary.faulty:
        return "pyconfd check"
    if summary.gated and not (summary.pending or summary.orphaned or summary.outage):
        return "pyconfd fleet"
    return "pyconfd status" if summary.pending or summary.orphaned or summary.outage else ""


def _resources(summary: Summary) -> str:
    """`1 refused (sites: ...), 19 fine`."""
    words = []
    for state in TROUBLES:
        found = summary.bad.of(state)
        if found:
            named = [
                f"{bad.name}: {brief(bad.what)}" if bad.what else bad.name
                for bad in islice(found, NAMED)
            ]
            words.append(f"{len(found)} {state} ({_listed(named, len(found))})")
    fine = summary.resources - len(summary.bad) - summary.waiting
    if fine > 0:
        words.append(f"{fine} fine")
    if summary.waiting:
        words.append(f"{summary.waiting} not processed yet")
    return ", ".join(words)


def _pending(reloads: Collection[FailedReload], when: str) -> str:
    named = [
        f"{each.service}: {brief(each.why)}" if each.why else each.service
        for each in islice(reloads, NAMED)
    ]
    count = f"{len(reloads)} reloads" if len(reloads) > 1 else "reload"
    return f"{count} pending {when} ({_listed(named, len(reloads))})"


def _faulty(faulty: ConfigFaults, when: str) -> str:
    count = f"{len(faulty.faults)} fault{'s' * (len(faulty.faults) != 1)}"
    named = _listed([brief(fault) for fault in faulty.faults])
    if faulty.taken:
        return f"{count} in conf.d {when}, not loaded ({named})"
    return f"new configuration refused {when}, the previous one stays in use ({count}: {named})"


def _gated(changes: Iterable[GatedChange]) -> str:
    named = [
        f"{each.service}: {'halted, ' if each.halted else ''}{brief(each.why)}" for each in changes
    ]
    return f"change of settings held ({_listed(named)})"


def _unread(summary: Summary) -> str:
    if summary.outage is None:
        return "starting: the store has not been read yet"
    return f"it has not been read yet, {_count(summary.resources)} left as found"


def _fine(summary: Summary, *, alone: bool) -> str:
    """When no resource is in trouble."""
    if summary.waiting:
        return f"starting: {summary.waiting} of {_count(summary.resources)} not processed yet"
    place = f" at revision {summary.revision}" if summary.revision else ""
    if alone:
        return f"ok: {_count(summary.resources)}{place}"
    return f"{summary.resources} fine{place}"


def _count(resources: int) -> str:
    return f"{resources} resource{'s' * (resources != 1)}"


def _listed(named: list[str], of: int | None = None) -> str:
    """The first few names. of: how many there are, if `named` is not all."""
    more = (len(named) if of is None else of) - NAMED
    return "; ".join(named[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def brief(text: str) -> str:
    """One line of printable text of limited length."""
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."


def span(seconds: float) -> str:
    """A duration for people: `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
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


def tone_of(kind: str) -> str:
    """Whether states (one, or several separated by commas) are "good", "waiting" or "bad"."""
    states = set(kind.split(","))
    if states <= _GOOD:
        return "good"
    return "waiting" if states <= _WAITING | _GOOD else "bad"
