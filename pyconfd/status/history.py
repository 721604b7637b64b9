"""
The last results of each destination and each service. Pure.

Made from the reports of the lanes, and the source of the status. Times are seconds since 1970, UTC:
they are shown, but never decide anything. The output of checkers and services is kept; values of
keys never come here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from pyconfd.errors import HeldBack, PyconfdError, SwapTorn
from pyconfd.model.reads import NO_KEYS, ChangedKeys
from pyconfd.model.resources import Resource
from pyconfd.model.steps import (
    CommandReport,
    LaneReport,
    NotRunning,
    Outcome,
    Reloaded,
    ReloadResult,
    Result,
)
from pyconfd.status.summary import FileState, Troubles, Unhealthy, brief

_TELLING = re.compile(r"\b(emerg|alert|crit|critical|error|fatal|invalid|refused)\b", re.IGNORECASE)
#: What programs put before a message: their name and its level, the time, the process.
_HEAD = re.compile(
    r"^(?:\S+: \[\w+\] "  # nginx -t
    r"|\[[A-Z]+\] +\(\d+\) : "  # haproxy
    r"|(?:\[(?:[A-Z][a-z]{2} [^\]]*\d{4}|\w*:\w+|pid [^\]]*)\] )+"  # Apache's error log
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ [\d:]+ \d{4}: )"  # keepalived
)
#: nginx's error log, also within the words of others.
_NGINX_LOG = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: (?:\*\d+ )?")
_STAGED = re.compile(r"\.([^/\s]+?)\.[\w-]+\.pyconfd~")  # as system/files.py names them
_LONGEST_WORDS = 4000

_STATES = {
    Result.REFUSED: FileState.REFUSED,
    Result.SET_ASIDE: FileState.REFUSED,
    Result.HELD: FileState.HELD,
    Result.LEFT_OUT: FileState.LEFT_OUT,
    Result.REVERTED: FileState.REVERTED,
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    Why a version did not go live.

    state: of summary.TROUBLES.
    what: one line.
    words: all output of the checker, bounded.
    revision: of the version, 0 where it is not known.
    at: seconds since 1970, UTC.
    guard: the guard that holds it back, by its key in a resource file; "" for none.
    changed: what differs from the live version.
    """

    state: FileState
    what: str
    words: str
    revision: int
    at: float
    guard: str = ""
    changed: ChangedKeys = NO_KEYS


@dataclass(frozen=True, slots=True)
class LiveVersion:
    """
    The version that is live, as far as known.

    digest: sha-256 in hex.
    revision: of the store that it was rendered from.
    verified_at: when it was last found to match the keys.
    written_at: None when the file already matched.
    changed: what made it, when it was written.
    """

    digest: str
    revision: int
    verified_at: float
    written_at: float | None
    changed: ChangedKeys = NO_KEYS


@dataclass(frozen=True, slots=True)
class CheckState:
    """
    The last check of a destination that gave a verdict.

    at: seconds since 1970, UTC.
    ok: whether it passed.
    duration_s: of the command.
    """

    at: float
    ok: bool
    duration_s: float


@dataclass(frozen=True, slots=True)
class ReleaseState:
    """
    A release of a held change by an operator.

    by: the user.
    at: seconds since 1970, UTC.
    revision: of the change. changed: its keys.
    """

    by: str
    at: float
    revision: int
    changed: ChangedKeys


@dataclass(frozen=True, slots=True)
class ResourceState:
    """
    One destination.

    resource: a declared one, or one made by a pattern.
    result: of the last pass.
    since_at: of its present state.
    trouble: the present one; None when there is none.
    last_trouble: the newest one, over or not.
    live: None while no good version is known.
    check: the last one; None where nothing was checked yet.
    released: the last release.
    """

    resource: Resource
    result: Result
    since_at: float
    trouble: Trouble | None = None
    last_trouble: Trouble | None = None
    live: LiveVersion | None = None
    check: CheckState | None = None
    released: ReleaseState | None = None

    @property
    def state(self) -> FileState:
        """FINE, or the state of the trouble."""
        return self.trouble.state if self.trouble else FileState.FINE


@dataclass(frozen=True, slots=True)
class ReloadState:
    """
    The last reload of a service.

    at: when it ended, seconds since 1970, UTC.
    ok: whether it succeeded.
    what: why it failed, one line; "" when it did not.
    words: the output of the command, bounded.
    command: "" when none was run.
    duration_s: of the command.
    """

    at: float
    ok: bool
    what: str = ""
    words: str = ""
    command: str = ""
    duration_s: float = 0.0


class History:
    """The newest state of every destination and the last reload of every service."""

    def __init__(self) -> None:
        self._states: dict[str, ResourceState] = {}
        #: The destinations in trouble, in the order in which they got into it.
        self.bad = Troubles()
        self._items: dict[str, set[str]] = {}
        self._more: int | None = 0
        self.reloads: dict[str, ReloadState] = {}

    @property
    def states(self) -> Mapping[str, ResourceState]:
        """The states by name of the resource; those made by a pattern have names of their own."""
        return self._states

    @property
    def more(self) -> int:
        """How many more destinations than declared resources there are."""
        if self._more is None:
            made = self._items.items()
            self._more = sum(len(names) - (name not in self._states) for name, names in made)
        return self._more

    def made_by(self, declared: str) -> Collection[str]:
        """The names of the destinations that a pattern has made."""
        return self._items.get(declared, ())

    def note(self, report: LaneReport, at: float) -> None:
        """A pass over a service has ended."""
        by_name: dict[str, list[Outcome]] = {}
        for outcome in report.outcomes:
            by_name.setdefault(outcome.resource.declared, []).append(outcome)
        for declared in report.names:
            outcomes = by_name.get(declared, [])
            self._forget_vanished(declared, report, outcomes)
            if declared not in report.partly and all(
                outcome.resource.name != declared for outcome in outcomes
            ):
                self._forget(declared)  # a pattern that was in trouble as a whole no longer is
                self._keep_items(declared, outcomes)
            for outcome in outcomes:
                self._outcome(outcome, at)
        if report.reload:
            self.reloads[report.service] = _reload_state(report.reload, at)

    def release(self, name: str, by: str, at: float) -> list[tuple[str, ReleaseState]]:
        """
        Note that the held changes of a declared resource were let through. Returns them by name.
        """
        found = []
        for each in (name, *self.made_by(name)):
            state = self._states.get(each)
            if state is not None and state.trouble:
                trouble = state.trouble
                released = ReleaseState(by, at, trouble.revision, trouble.changed)
                self._states[each] = replace(state, released=released)
                found.append((each, released))
        return found

    def keep(self, resources: Iterable[Resource]) -> None:
        """Forget resources that are no longer declared."""
        declared: set[str] = set()
        services: set[str] = set()
        for resource in resources:
            declared.add(resource.name)
            services.add(resource.service_name)
        for name, last in list(self._states.items()):
            if last.resource.declared not in declared:
                self._forget(name)
        self._items = {name: items for name, items in self._items.items() if name in declared}
        self._more = None
        self.reloads = {name: last for name, last in self.reloads.items() if name in services}

    def _keep_items(self, declared: str, outcomes: Iterable[Outcome]) -> None:
        """The items of a pattern are those of its last whole pass."""
        self._more = None
        names = {
            outcome.resource.name
            for outcome in outcomes
            if outcome.resource.item and outcome.result is not Result.REMOVED
        }
        for gone in self._items.pop(declared, set()) - names:
            self._forget(gone)
        if names:
            self._items[declared] = names

    def _forget_vanished(
        self, declared: str, report: LaneReport, outcomes: Iterable[Outcome]
    ) -> None:
        """Names of a partial pass without an outcome are gone; forget their states."""
        if declared in report.partly and (looked_at := report.items.get(declared)):
            self._more = None
            for name in looked_at.keys() - {outcome.resource.item for outcome in outcomes}:
                self._forget(f"{declared}[{name}]")
                self._items.get(declared, set()).discard(f"{declared}[{name}]")

    def _outcome(self, outcome: Outcome, at: float) -> None:
        name = outcome.resource.name
        if outcome.result is Result.REMOVED:
            self._more = None
            self._forget(name)
            self._items.get(outcome.resource.declared, set()).discard(name)
            return
        if name not in self._states:
            self._more = None
        if outcome.resource.item:
            self._items.setdefault(outcome.resource.declared, set()).add(name)
        last = _state(self._states.get(name), outcome, at)
        self._states[name] = last
        if last.trouble:
            self.bad.put(Unhealthy(name, last.trouble.state, last.trouble.what))
        else:
            self.bad.drop(name)

    def _forget(self, name: str) -> None:
        if self._states.pop(name, None):
            self._more = None
        self.bad.drop(name)


def _state(before: ResourceState | None, outcome: Outcome, at: float) -> ResourceState:
    """The state after one more outcome; an unchanged state keeps its beginning."""
    trouble = _trouble(outcome, at) if outcome.result.failed else None
    live = before.live if before else None
    if trouble is None:
        written_at, changed = (live.written_at, live.changed) if live else (None, NO_KEYS)
        if outcome.result is Result.UPDATED:
            written_at, changed = at, outcome.changed
        live = LiveVersion(outcome.digest, outcome.revision, at, written_at, changed)
    found = ResourceState(
        resource=outcome.resource,
        result=outcome.result,
        since_at=at,
        trouble=trouble,
        last_trouble=trouble or (before.last_trouble if before else None),
        live=live,
        check=_check(outcome, at) or (before.check if before else None),
        released=before.released if before else None,
    )
    if before and before.state is found.state:
        return replace(found, since_at=before.since_at)
    return found


def _check(outcome: Outcome, at: float) -> CheckState | None:
    if outcome.report is None or outcome.result not in (Result.UPDATED, Result.REFUSED):
        return None
    return CheckState(at, outcome.result is Result.UPDATED, outcome.report.duration_s)


def _trouble(outcome: Outcome, at: float) -> Trouble:
    state = _STATES.get(outcome.result, FileState.FAILED)
    if isinstance(outcome.error, SwapTorn):
        state = FileState.TORN
    report = outcome.report
    # a reader looks for the destination; the staged file is gone by then
    words = _STAGED.sub(r"\1", _bounded(report))
    what = gist(words) or _why(outcome.error, report) or str(outcome.result)
    if outcome.error is not None and outcome.result is not Result.REFUSED:
        what = _why(outcome.error, None)
    what = what.removeprefix(f"{outcome.resource.name}: ")
    guard = outcome.error.guard if isinstance(outcome.error, HeldBack) else ""
    return Trouble(
        state=state,
        what=brief(_without_head(what)),
        words=words,
        revision=outcome.revision,
        at=at,
        guard=guard,
        changed=outcome.changed,
    )


def _reload_state(reload: ReloadResult, at: float) -> ReloadState:
    if isinstance(reload, NotRunning):
        return ReloadState(at=at, ok=True, words=reload.text)
    report = reload.report
    what, words = "", _bounded(report)
    if isinstance(reload, Reloaded):
        words = "\n".join(filter(None, (words, reload.evidence, reload.unconfirmed)))
    else:
        what = brief(_without_head(_why(reload.error, report))) or "failed"
    return ReloadState(
        at=at,
        ok=isinstance(reload, Reloaded),
        what=what,
        words=words,
        command=report.command if report else "",
        duration_s=report.duration_s if report else 0.0,
    )


def _bounded(report: CommandReport | None) -> str:
    """The end of the output of a command."""
    return report.output.strip()[-_LONGEST_WORDS:] if report else ""


def _why(error: PyconfdError | None, report: CommandReport | None) -> str:
    """An error's message without what was kept and what to do next; else how a command ended."""
    if error is not None:
        return f"{error.where}: {error.what}" if error.where else error.what
    return report.reason if report else ""


def gist(output: str) -> str:
    """The most informative line of a program's output; "" when there is none."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = (line for line in lines if _TELLING.search(line))
    return _without_head(next(telling, lines[0] if lines else ""))


def _without_head(line: str) -> str:
    return _HEAD.sub("", _NGINX_LOG.sub("", line))
