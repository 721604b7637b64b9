"""
Answers to the requests of the commands: the status, why a destination is as it is, a release.

Only the loop calls it, between two messages, so it works on what is in memory and touches no file.
A request that cannot be answered gets {"error": ..., "hint": ...}. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any, NamedTuple

from pyconfd.config.option_table import LOG_LEVELS
from pyconfd.config.options import did_you_mean
from pyconfd.model.reads import Reads
from pyconfd.model.resources import Resource
from pyconfd.pipeline.store import Snapshot
from pyconfd.reconcile.read_index import NOTHING
from pyconfd.registration.overrides import ORDER, order_at
from pyconfd.status.counters import Counters
from pyconfd.status.measurements import measures
from pyconfd.status.report import (
    Plain,
    StatusFacts,
    changed,
    is_ready,
    picture,
    resource_row,
    service_row,
    trouble,
)
from pyconfd.status.summary import utc

#: An explanation is for reading: of a destination that reads more keys, the rest is counted.
MOST_KEYS = 200
#: The same for orders of members.
MOST_ORDERS = 20
#: The same for the files of a pattern.
MOST_DESTINATIONS = 20


class Access(NamedTuple):
    """
    What the answers need beside the facts.

    reads: what a declared resource has read.
    snapshot: the store as it is now.
    release: lets the held changes of these declared resources through for a user; returns the
    names of those that were held.
    counts: what has happened; None when it is not counted.
    give_up: forgets the pending reloads of services that are no longer declared, by name or by a
    destination; returns the services.
    reload: reads conf.d and the templates again; returns every fault, and with any the old set
    stays in use.
    log_level: sets the level of the log, if one is named; returns the level before.
    pin: keeps a service at a revision for a user; returns why it cannot, or "".
    unpin: ends that; returns whether it was pinned.
    view: what a service's files are made from, given the store as it is now; None for nothing yet.
    """

    reads: Callable[[Resource], Reads]
    snapshot: Callable[[], Snapshot]
    release: Callable[[Sequence[str], str], Sequence[str]]
    counts: Counters | None = None
    give_up: Callable[[Collection[str]], Sequence[str]] = lambda _: ()
    reload: Callable[[], Sequence[str]] = lambda: ()
    log_level: Callable[[str], str] = lambda _: ""
    pin: Callable[[str, int, str], str] = lambda *_: "nothing can be pinned here"
    unpin: Callable[[str], bool] = lambda _: False
    view: Callable[[str, Snapshot], Snapshot | None] = lambda _, live: live


class ControlAnswer(NamedTuple):
    """
    The answer, and what follows from it.

    answer: plain data.
    dirty: the resources to process again because of the request.
    """

    answer: Plain
    dirty: Sequence[str] = ()


def answer(question: Mapping[str, Any], facts: StatusFacts, access: Access) -> ControlAnswer:
    """The answer to one request; never raises, whatever the request contains."""
    match question.get("do"):
        case "status":
            return ControlAnswer(picture(facts))
        case "alive":
            return ControlAnswer({"alive": True})
        case "explain":
            found = _named(question, facts)
            return ControlAnswer(
                _explain(found, facts, access) if found else _unknown(question, facts)
            )
        case "measure" if access.counts:
            return ControlAnswer(measures(facts, access.counts, len(access.snapshot())))
        case "release":
            found = _named(question, facts)
            if not found:
                gone = access.give_up(_words(question))
                return ControlAnswer(
                    {"released": list(gone)} if gone else _unknown(question, facts)
                )
            return _release(found, facts, access, str(question.get("by", "")))
        case "reload":
            return ControlAnswer({"faults": list(access.reload())})
        case "log-level":
            return _log_level(str(question.get("level", "")), access)
        case "pin" | "unpin":
            return ControlAnswer(_pin(question, facts, access))
        case _:
            hint = "status, explain, release, reload, log-level"
            return ControlAnswer({"error": "no such question", "hint": hint})


def _log_level(level: str, access: Access) -> ControlAnswer:
    if level and level not in LOG_LEVELS:
        hint = ", ".join(LOG_LEVELS)
        return ControlAnswer({"error": "no such level", "where": level, "hint": hint})
    before = access.log_level(level)
    return ControlAnswer({"level": level or before, "before": before})


def _pin(question: Mapping[str, Any], facts: StatusFacts, access: Access) -> Plain:
    """Pin the service that is meant: by its name, or by a resource, a group or a destination."""
    words = _words(question)
    services = [name for name in facts.services if name in words]
    services = services or sorted({one.service_name for one in _named(question, facts)})
    if not services:
        return _unknown(question, facts)
    if question.get("do") == "unpin":
        done = [name for name in services if access.unpin(name)]
        if done:
            return {"unpinned": done}
        return {"error": "is not pinned", "where": ", ".join(services)}
    revision, by = question.get("revision"), str(question.get("by", ""))
    if not isinstance(revision, int) or revision < 1:
        return {"error": "needs a revision"}
    for name in services:
        if problem := access.pin(name, revision, by):
            return {"error": problem, "where": name}
    return {"pinned": services}


def _named(question: Mapping[str, Any], facts: StatusFacts) -> list[Resource]:
    """
    What "name" means: a resource, its destination, a group, or a name below `each` of a pattern;
    "path" is the same word as an absolute path. Returns declared resources, and for a name below
    `each` the resource made for it.
    """
    words = _words(question)
    declared = facts.resources.values()
    found = [one for one in declared if one.name in words or one.dest in words]
    if not found:
        found = [one for one in declared if one.group and one.group in words]
    if not found:
        made = (one.resource for one in facts.history.states.values() if one.resource.item)
        found = [one for one in made if not words.isdisjoint((one.name, one.dest, one.item))]
    return found


def _words(question: Mapping[str, Any]) -> set[str]:
    named = (question.get("name"), question.get("path"))
    return {word for word in named if isinstance(word, str) and word}


def _unknown(question: Mapping[str, Any], facts: StatusFacts) -> Plain:
    name = str(question.get("name", ""))
    groups = {one.group for one in facts.resources.values() if one.group}
    known = [*facts.resources, *groups, *(one.dest for one in facts.resources.values())]
    hint = did_you_mean(name, known) or "pyconfd status lists all of them"
    return {"error": "no such resource, group or destination", "where": name, "hint": hint}


def _release(
    found: Sequence[Resource], facts: StatusFacts, access: Access, by: str
) -> ControlAnswer:
    """Let the held changes of the resources and of their groups through."""
    meant = {one.declared for one in found}
    groups = {one.group for one in found if one.group}
    declared = facts.resources.values()
    names = [one.name for one in declared if one.name in meant or one.group in groups]
    released = access.release(names, by)
    if released:
        return ControlAnswer({"released": list(released)}, names)
    return ControlAnswer(
        {
            "error": "nothing is held back",
            "where": ", ".join(names),
            "hint": f"pyconfd explain {names[0]} shows its state",
        }
    )


def _explain(found: Sequence[Resource], facts: StatusFacts, access: Access) -> Plain:
    """
    Explain each destination that is meant; of many only the first, those in trouble before others.
    """
    snapshot = access.snapshot()
    services: dict[str, Plain | None] = {}
    explained = []
    meant = [one for resource in found for one in _destinations(resource, facts)]
    for one in meant[:MOST_DESTINATIONS]:
        if one.service_name not in services:
            services[one.service_name] = service_row(facts, one.service_name)
        row = resource_row(facts, one)
        row.update(_declared(one))
        reads, view = access.reads(one), access.view(one.service_name, snapshot)
        row["keys"] = _keys(reads if view else NOTHING, view or snapshot)
        row["orders"] = _orders(reads, snapshot)
        row["guard"] = asdict(one.guard)
        row["last_trouble"] = _last_trouble(facts, one)
        row["released"] = _released(facts, one)
        row["last_check"] = _last_check(facts, one)
        row["reload"] = services[one.service_name]
        explained.append(row)
    return {
        "explained": explained,
        "left_out": len(meant) - len(explained),
        "ready": is_ready(facts),
        "source": {"name": facts.source, "revision": facts.revision, "lost": facts.lost},
    }


def _destinations(resource: Resource, facts: StatusFacts) -> list[Resource]:
    states = facts.history.states
    known = (states[name] for name in facts.history.made_by(resource.name) if name in states)
    made = sorted(known, key=lambda one: (one.trouble is None, one.resource.name))
    own = [resource] if not made or resource.name in states else []
    return own + [one.resource for one in made]


def _declared(resource: Resource) -> Plain:
    """Where it comes from, and the commands of the operator."""
    nginx = f"nginx, {resource.nginx.conf} as a whole" if resource.nginx else None
    return {
        "name": resource.name,
        "dest": resource.dest,
        "group": resource.group,
        "origin": str(resource.origin),
        "template": resource.src,
        "watched": list(resource.watched),
        "check": resource.check.text if resource.check else nginx,
        "reload_command": resource.reload.text if resource.reload else None,
        "runtime": asdict(resource.service.runtime) if resource.service.runtime else None,
    }


def _last_trouble(facts: StatusFacts, resource: Resource) -> Plain | None:
    last = facts.history.states.get(resource.name)
    return trouble(last.last_trouble) if last and last.last_trouble else None


def _released(facts: StatusFacts, resource: Resource) -> Plain | None:
    last = facts.history.states.get(resource.name)
    if last is None or last.released is None:
        return None
    found = last.released
    revision = found.revision or None
    return {"by": found.by, "at": utc(found.at), "revision": revision, **changed(found.changed)}


def _last_check(facts: StatusFacts, resource: Resource) -> Plain | None:
    last = facts.history.states.get(resource.name)
    if last is None or last.check is None:
        return None
    check = last.check
    return {"at": utc(check.at), "ok": check.ok, "duration_s": round(check.duration_s, 3)}


def _orders(reads: Reads, snapshot: Snapshot) -> list[Plain]:
    """The last orders of operators for members that were read; of many the newest."""
    single = (item for key in reads.keys if (item := snapshot.get(f"{key}/{ORDER}")))
    below = (item for path in reads.trees for item in snapshot.subtree(path))
    found = dict(there for item in chain(single, below) if (there := order_at(item)))
    newest = sorted(found.items(), key=lambda one: one[1].at)[-MOST_ORDERS:]
    return [{"key": key, **asdict(order)} for key, order in newest]


def _keys(reads: Reads, snapshot: Snapshot) -> Plain:
    """What was read: single keys with their revisions, and trees with their numbers of keys."""
    single = sorted(reads.keys)
    keys = {}
    for key in single[:MOST_KEYS]:
        item = snapshot.get(key)
        keys[key] = item.mod_revision if item else None
    trees = {}
    for path in sorted(reads.trees)[:MOST_KEYS]:
        revisions = [item.mod_revision for item in snapshot.subtree(path)]
        trees[path] = {"keys": len(revisions), "newest_revision": max(revisions, default=None)}
    left_out = max(0, len(single) - MOST_KEYS) + max(0, len(reads.trees) - MOST_KEYS)
    return {"revision": snapshot.revision, "keys": keys, "trees": trees, "left_out": left_out}
