"""
What `pyconfd status` shows of the daemon: plain data, made on request. Pure.

Times are UTC text (`*_at`), durations are seconds (`*_s`). It has names of keys, never values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pyconfd.model.reads import ChangedKeys
from pyconfd.model.resources import Resource
from pyconfd.reconcile.retry import Retry
from pyconfd.reconcile.service import ServiceState
from pyconfd.status.history import History, ReloadState, ResourceState, Trouble
from pyconfd.status.summary import (
    ConfigFaults,
    FailedReload,
    FileState,
    GatedChange,
    Outage,
    Summary,
    kind,
    line,
    utc,
)

if TYPE_CHECKING:
    from pyconfd.reconcile.quarantine import Refusal
    from pyconfd.reconcile.rollout import RolloutStatus

Plain = dict[str, Any]

#: Of those that a node's record names.
_MOST_PREFIXES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """
    The state of the loop at one moment.

    now_s: monotonic seconds.
    now_at: the same moment in seconds since 1970.
    about: facts that never change (version, pid, ...).
    source: name of the store.
    revision: of the store.
    listed: whether the prefixes watched now were read.
    lost: why the store is unavailable; "" while it is available.
    lost_s: since when, monotonic.
    watched: the prefixes.
    resources: the declared ones by name.
    unready: resources that were not processed yet.
    services: all of them by name.
    failed: those with a pending reload that has failed.
    history: the last results of each destination and service.
    stopping: whether the daemon is about to end.
    quarantine: resource name -> its version that the service has refused.
    orphaned: service with a pending reload that conf.d no longer has -> the destinations that it
        was not reloaded for.
    faulty: what is wrong with conf.d or its templates.
    edited: templates that were changed since they were read.
    rollouts: the services whose settings a fleet takes in turn.
    pins: services that an operator keeps at an earlier revision, and how in words.
    """

    now_s: float
    now_at: float
    about: Mapping[str, Any]
    source: str
    revision: int
    listed: bool
    lost: str
    lost_s: float
    watched: tuple[str, ...]
    resources: Mapping[str, Resource]
    unready: Collection[str]
    services: Mapping[str, ServiceState]
    failed: Mapping[str, ServiceState]
    history: History
    stopping: bool
    quarantine: Mapping[str, Refusal] = field(default_factory=dict)
    orphaned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    faulty: ConfigFaults | None = None
    edited: Sequence[str] = ()
    rollouts: Mapping[str, RolloutStatus] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)

    def moment(self, at_s: float) -> float:
        """A monotonic time as seconds since 1970."""
        return self.now_at - (self.now_s - at_s)


def summary(facts: StatusFacts) -> Summary:
    """What the status line is made of."""
    return Summary(
        resources=len(facts.resources) + facts.history.more,
        revision=facts.revision,
        listed=facts.listed,
        waiting=len(facts.unready),
        bad=facts.history.bad,
        pending=FailedReloads(facts),
        orphaned=tuple(facts.orphaned),
        outage=Outage(facts.lost, facts.moment(facts.lost_s)) if facts.lost else None,
        faulty=facts.faulty,
        gated=tuple(
            GatedChange(name, one.state.held, one.state.halted)
            for name, one in facts.rollouts.items()
            if one.state.held and name not in facts.pins
        ),
        pinned=tuple(f"{name}: {how}" for name, how in facts.pins.items()),
    )


class FailedReloads(Collection[FailedReload]):
    """
    The failed reloads of some facts, made only when they are read: most callers only need to know
    whether there are any.
    """

    def __init__(self, facts: StatusFacts) -> None:
        self._facts = facts

    def __len__(self) -> int:
        return len(self._facts.failed)

    def __contains__(self, found: object) -> bool:
        return any(found == each for each in self)

    def __iter__(self) -> Iterator[FailedReload]:
        for name, state in self._facts.failed.items():
            since_s = state.debt.since_s if state.debt else self._facts.now_s
            yield FailedReload(name, self._facts.moment(since_s), _why_it_failed(self._facts, name))


def node_record(facts: StatusFacts) -> Plain:
    """What the daemon publishes in its fleet: short, and unchanged as long as nothing happens."""
    short = summary(facts)
    about = facts.about
    return {
        **{name: about[name] for name in ("version", "host", "page") if name in about},
        "since": about.get("started_at"),
        "kind": kind(short),
        "line": line(short, facts.now_at, ages=False),
        "revision": facts.revision,
        "reads": list(facts.watched[:_MOST_PREFIXES]),
        "services": {name: _short_row(facts, name) for name in facts.services},
    }


def _short_row(facts: StatusFacts, name: str) -> Plain:
    """One service for the fleet."""
    last = facts.history.reloads.get(name)
    row: Plain = {"reload": ("ok" if last.ok else last.what) if last else None}
    if found := rollout_row(facts.rollouts.get(name)):
        kept = ("phase", "held", "halted", "bad", "revision", "newest_revision")
        row["rollout"] = {key: found[key] for key in kept}
        canaries = facts.rollouts[name].state.rollout.canaries
        row["rollout"]["canary"] = facts.about.get("node") in canaries
    if name in facts.pins:
        row["pinned"] = facts.pins[name]
    return row


def is_ready(facts: StatusFacts) -> bool:
    """Whether the store was read, every resource was processed, and no swap is torn."""
    return facts.listed and not facts.unready and not facts.history.bad.of(FileState.TORN)


def picture(facts: StatusFacts) -> Plain:
    """The whole report."""
    short = summary(facts)
    return {
        **facts.about,
        "now_at": utc(facts.now_at),
        "kind": kind(short),
        "line": line(short, facts.now_at),
        "ready": is_ready(facts),
        "stopping": facts.stopping,
        "configuration": _configuration(facts),
        "source": _source(facts),
        "services": _services(facts),
        "orphaned": [
            {"service": name, "dests": list(dests)} for name, dests in facts.orphaned.items()
        ],
        "resources": [resource_row(facts, one) for one in _shown(facts)],
    }


def _configuration(facts: StatusFacts) -> Plain:
    """Faults of conf.d and its templates, and edited templates that are not in use yet."""
    faulty = facts.faulty
    return {
        "faults": list(faulty.faults) if faulty else [],
        "since_at": utc(faulty.since_at) if faulty else None,
        "previous_in_use": bool(faulty and not faulty.taken),
        "edited_templates": list(facts.edited),
    }


def _source(facts: StatusFacts) -> Plain:
    lost = None
    if facts.lost:
        lost = {
            "cause": facts.lost,
            "since_at": utc(facts.moment(facts.lost_s)),
            "for_s": round(facts.now_s - facts.lost_s, 1),
        }
    return {
        "name": facts.source,
        "listed": facts.listed,
        "revision": facts.revision,
        "watched": list(facts.watched),
        "lost": lost,
    }


def _services(facts: StatusFacts) -> list[Plain]:
    members: dict[str, list[str]] = {}
    for one in facts.resources.values():
        members.setdefault(one.service_name, []).append(one.name)
    return [_service(facts, name, members.get(name, [])) for name in facts.services]


def service_row(facts: StatusFacts, name: str) -> Plain | None:
    """One service; None when it is not known."""
    if name not in facts.services:
        return None
    members = [one.name for one in facts.resources.values() if one.service_name == name]
    return _service(facts, name, members)


def _service(facts: StatusFacts, name: str, members: list[str]) -> Plain:
    state = facts.services[name]
    pending = None
    if state.debt:
        pending = {
            "since_at": utc(facts.moment(state.debt.since_s)),
            "for_s": round(facts.now_s - state.debt.since_s, 1),
            "failed_attempts": state.debt.attempts,
            "next_try_s": _next_try_s(facts, state),
        }
    last = facts.history.reloads.get(name)
    return {
        "name": name,
        "reloads": state.policy.reloads,
        "running": state.running is not None,
        "waiting": sorted(state.dirty.union(state.items)),
        "pending_reload": pending,
        "last_reload": reload_state(last) if last else None,
        "resources": members,
        "rollout": rollout_row(facts.rollouts.get(name)),
        "pinned": facts.pins.get(name),
    }


def rollout_row(found: RolloutStatus | None) -> Plain | None:
    """A service's way through the versions of its gated keys, as plain data."""
    if found is None:
        return None
    from pyconfd.reconcile.turns import working

    state, records = found.state, found.records
    return {
        "phase": str(state.phase),
        "since_at": utc(found.since_at),
        "held": state.held,
        "halted": state.halted,
        "bad": state.bad,
        "revision": state.used.revision if state.used else None,
        "newest_revision": state.newest.revision if state.newest else None,
        "keys": list(state.rollout.keys),
        "working": [turn.node for turn in working(records)],
        "asking": sorted(records.asked),
    }


def _next_try_s(facts: StatusFacts, state: ServiceState) -> float | None:
    """Seconds until the reload is tried again; None while a job runs."""
    if state.running or not state.debt:
        return None
    at_s = state.debt.not_before_s
    if state.reloaded_s is not None:
        at_s = max(at_s, state.reloaded_s + state.policy.min_reload_interval_s)
    return round(max(0.0, at_s - facts.now_s), 1)


def _shown(facts: StatusFacts) -> list[Resource]:
    """Every destination: the files of a pattern, or the pattern itself while it has made none."""
    shown: list[Resource] = []
    states = facts.history.states
    for resource in facts.resources.values():
        items = sorted(facts.history.made_by(resource.name))
        if not items or resource.name in states:
            shown.append(resource)
        shown += [states[name].resource for name in items if name in states]
    return shown


def resource_row(facts: StatusFacts, resource: Resource) -> Plain:
    """One destination."""
    last = facts.history.states.get(resource.name)
    retry = retry_of(facts, resource)
    refusal = facts.quarantine.get(resource.name)
    since_at = last.since_at if last else None
    if refusal and last and last.state is FileState.REVERTED:
        since_at = refusal.since_at  # this run may have begun later
    row: Plain = {
        "name": resource.name,
        "dest": resource.dest,
        "group": resource.group,
        "service": resource.service_name,
        "state": state_of(facts, resource, last),
        "result": str(last.result) if last else None,
        "since_at": utc(since_at) if since_at is not None else None,
        "trouble": trouble(last.trouble) if last and last.trouble else None,
        "retry_s": round(max(0.0, retry.at_s - facts.now_s), 1) if retry else None,
        "quarantine": quarantine(refusal, facts.now_s),
        "live": None,
    }
    if last and last.live:
        written_at = utc(last.live.written_at) if last.live.written_at else None
        verified_at = utc(last.live.verified_at)
        row["live"] = {
            "digest": last.live.digest,
            "revision": last.live.revision,
            "verified_at": verified_at,
            "written_at": written_at,
            **changed(last.live.changed),
        }
    return row


def state_of(facts: StatusFacts, resource: Resource, last: ResourceState | None) -> FileState:
    """The state of a resource; a pattern without files is fine once it was processed."""
    if last:
        return last.state
    return FileState.WAITING if resource.declared in facts.unready else FileState.FINE


def retry_of(facts: StatusFacts, resource: Resource) -> Retry | None:
    """When it is tried again."""
    state = facts.services.get(resource.service_name)
    last = facts.history.states.get(resource.name)
    if state is None or (last and not last.trouble):
        return None
    return state.retries.get(resource.declared)


def trouble(found: Trouble) -> Plain:
    """A trouble as plain data."""
    return {
        "kind": found.state,
        "what": found.what,
        "words": found.words,
        "revision": found.revision or None,
        "at": utc(found.at),
        **changed(found.changed),
    }


def changed(keys: ChangedKeys) -> Plain:
    """Which keys made a version, as plain data."""
    return {"keys": list(keys.names), "more_keys": keys.more}


def quarantine(refusal: Refusal | None, now_s: float) -> Plain | None:
    """A version that its service has refused, as plain data."""
    if refusal is None:
        return None
    return {
        "since_at": utc(refusal.since_at),
        "why": refusal.why,
        "revision": refusal.revision or None,
        "times": refusal.times,
        "trial_s": round(max(0.0, refusal.trial_s - now_s), 1),
    }


def reload_state(found: ReloadState) -> Plain:
    """A reload as plain data."""
    return {**asdict(found), "at": utc(found.at), "duration_s": round(found.duration_s, 3)}


def _why_it_failed(facts: StatusFacts, service: str) -> str:
    last = facts.history.reloads.get(service)
    return last.what if last and not last.ok else ""
