"""
The daemon in numbers: plain data for metrics, made on request. Pure.

Destinations made by a pattern count under the name of the pattern: names from keys must not become
labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pyconfd.model.resources import Resource
from pyconfd.model.steps import Result
from pyconfd.status.counters import BOUNDS_S, Counters, Histogram
from pyconfd.status.report import Plain, StatusFacts, is_ready, state_of, summary
from pyconfd.status.summary import FileState, line

#: A template was rendered in a pass that ended like this.
_RENDERED = frozenset(
    (Result.UNCHANGED, Result.UPDATED, Result.REFUSED, Result.CHECK_BROKEN, Result.STAGE_FAILED,
     Result.SWAP_FAILED, Result.REVERTED)
)  # fmt: skip


def measures(facts: StatusFacts, counts: Counters, keys: int) -> Plain:
    """All numbers. keys: how many the mirror of the store has."""
    heard_s = counts.message_s
    return {
        "version": facts.about.get("version", ""),
        "line": line(summary(facts), facts.now_at),
        "ready": is_ready(facts),
        "connected": not facts.lost and facts.listed,
        "revision": facts.revision,
        "keys": keys,
        "message_age_s": None if heard_s is None else max(0.0, facts.now_s - heard_s),
        "messages": dict(counts.messages),
        "changes": counts.changes,
        "faults": len(facts.faulty.faults) if facts.faulty else 0,
        "bounds_s": BOUNDS_S,
        "resources": _resources(facts, counts),
        "services": [_service(facts, counts, name) for name in facts.services],
    }


def _resources(facts: StatusFacts, counts: Counters) -> list[Plain]:
    """One row for each declared resource."""
    states: dict[str, Counter[str]] = {name: Counter() for name in facts.resources}
    held: dict[str, Counter[str]] = {name: Counter() for name in facts.resources}
    for name, resource in facts.resources.items():
        if name in facts.history.states or not facts.history.made_by(name):
            _note(facts, resource, states[name], held[name])
        for item in facts.history.made_by(name):
            if item in facts.history.states:
                _note(facts, facts.history.states[item].resource, states[name], held[name])
    quarantined = Counter(
        _declared(facts, name) for name in list(facts.quarantine)
    )  # lanes change it
    return [
        {
            "name": name,
            "group": resource.group or name,
            "states": dict(states[name]),
            "held": dict(held[name]),
            "quarantined": quarantined[name],
            **_results(counts, name),
        }
        for name, resource in facts.resources.items()
    ]


def _declared(facts: StatusFacts, name: str) -> str:
    last = facts.history.states.get(name)
    return last.resource.declared if last else name


def _note(facts: StatusFacts, resource: Resource, states: Counter[str], held: Counter[str]) -> None:
    last = facts.history.states.get(resource.name)
    states[state_of(facts, resource, last)] += 1
    if last and last.trouble and last.state is FileState.HELD:
        held[last.trouble.guard] += 1


def _results(counts: Counters, name: str) -> Plain:
    found = {result: counts.results[name, result] for result in Result}
    return {
        "rendered": sum(found[result] for result in _RENDERED),
        "changed": found[Result.UPDATED] + found[Result.REMOVED],
        "refused": found[Result.REFUSED],
        "failed": {str(result): count for result, count in found.items() if result.failed},
    }


def _service(facts: StatusFacts, counts: Counters, name: str) -> Plain:
    debt = facts.services[name].debt
    return {
        "name": name,
        "reloaded": counts.reloads[name, True],
        "failed": counts.reloads[name, False],
        "run_time": counts.run_time[name],
        "master": counts.masters.get(name),
        "pending_s": None if debt is None else max(0.0, facts.now_s - debt.since_s),
        "attempts": debt.attempts if debt else 0,
        "pinned": name in facts.pins,
        "gated": _gated(facts, name),
        "good_at": counts.good_at.get(name),
        "pass": _histogram(counts.pass_s, name),
        "reload": _histogram(counts.reload_s, name),
        "live": _histogram(counts.live_s, name),
    }


def _gated(facts: StatusFacts, name: str) -> Plain:
    """Whether a change of its gated keys waits or is halted; False without a rollout."""
    found = facts.rollouts.get(name)
    if found is None:
        return {"held": False, "halted": False, "in_turn": False}
    from pyconfd.reconcile.rollout import IN_TURN

    state = found.state
    return {"held": bool(state.held), "halted": state.halted, "in_turn": state.phase in IN_TURN}


def _histogram(histograms: Mapping[str, Histogram], name: str) -> Plain | None:
    found = histograms.get(name)
    return {"counts": found.counts, "sum_s": found.sum_s} if found else None
