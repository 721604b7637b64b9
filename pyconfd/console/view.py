"""
What the console shows, as plain data: a view made from fleet records, member records and a time.
Pure.

Everything in it may come from keys that others write: texts may have any content, and only pages.py
makes HTML of them.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from operator import itemgetter
from typing import Any

from pyconfd.console.board import FleetBoard
from pyconfd.fleet.overview import ORDERS, overview
from pyconfd.model.first_few import first_few
from pyconfd.model.keys import is_under
from pyconfd.model.values import dataclass
from pyconfd.registration.overrides import MemberOrder, Places, Row
from pyconfd.status.summary import tone_of, utc

Plain = dict[str, Any]

#: Of nodes and of members on one page, and of the nodes of one rollout.
PAGE_ROWS, ROLLOUT_ROWS = 100, 30
_NAMED = 3
#: Of what a node says of itself, where it is not in trouble.
_BRIEF = 120


class Condition(enum.StrEnum):
    """The condition of something, the worst first."""

    BAD = "bad"
    WAITING = "waiting"
    BUSY = "busy"
    GOOD = "good"


_ORDER = {tone: number for number, tone in enumerate(Condition)}
#: Of the nodes of a rollout, when not all of them are shown.
_URGENT = (Condition.BAD, Condition.BUSY, Condition.WAITING, Condition.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewQuery:
    """
    Which part of a large fleet.

    text: show nodes and members whose names, addresses or services contain it; "" for all.
    nodes, members: which page of them, from 1.
    """

    text: str = ""
    nodes: int = 1
    members: int = 1


@dataclass(frozen=True, slots=True)
class _Sights:
    """
    How far the nodes have read, by the prefixes that they read.

    found: prefixes -> revisions in order, with the names of the nodes.
    """

    found: Mapping[tuple[str, ...], Sequence[tuple[int, str]]] = field(default_factory=dict)

    def of(self, key: str, revision: int) -> Plain:
        """The nodes that have read a key's value of this revision."""
        nodes, count, late = 0, 0, list[str]()
        for prefixes, found in self.found.items():
            if any(is_under(key, prefix) for prefix in prefixes):
                behind = bisect_left(found, (revision, ""))
                nodes, count = nodes + len(found), count + behind
                late += [name for _, name in found[: min(behind, _NAMED)]]
        return {"seen": nodes - count, "nodes": nodes, "late": first_few(late, _NAMED, count)}


def fleet_view(board: FleetBoard, query: ViewQuery, now_at: float) -> Plain:
    """now_at: seconds since 1970."""
    found = overview(board.paths.fleet, board.book)
    rows = [row for _, row in sorted(board.members.rows.items(), key=itemgetter(0))]
    rollouts = [_rollout(one) for one in found["rollouts"]]
    # the node that refused a version stands out among those that wait
    culprits = {halt["by"] for one in rollouts for halt in one["halts"]}
    states = {one["node"]: _condition(one, culprits) for one in found["nodes"]}
    tones = Counter(states.values())
    tone = min((*tones, *(one["tone"] for one in rollouts)), key=_ORDER.__getitem__, default=None)
    return {
        "fleet": found["fleet"],
        "revision": board.revision,
        "lost": board.lost,
        "objection": board.book.objection,
        "as_of": utc(now_at),
        "tone": Condition.BAD if board.lost or board.book.objection else tone or Condition.WAITING,
        "counts": {str(each): tones[each] for each in Condition if tones[each]},
        "total": len(states),
        "refused": found["refused"],
        "rollouts": rollouts,
        "nodes": _nodes(found["nodes"], board.book.nodes, states, query),
        "members": _members(rows, board.places, _sights(board.book.nodes), query),
        "orders": _orders(found["orders"], rows),
    }


def _condition(one: Plain, culprits: Collection[str]) -> Condition:
    if one["node"] in culprits:
        return Condition.BAD
    return Condition(tone_of(str(one["kind"] or "unknown")))


def _nodes(
    found: Sequence[Plain],
    records: Mapping[str, Mapping[str, Any]],
    states: Mapping[str, Condition],
    query: ViewQuery,
) -> Plain:
    """One page of the nodes, those in trouble first."""
    holding = [one for one in found if _holds(one["node"], records[one["node"]], query.text)]
    holding.sort(key=lambda one: (_ORDER[states[one["node"]]], one["node"]))
    newest = _newest(records)
    page = _page(holding, query.nodes)
    rows = [(one, records[one["node"]], states[one["node"]]) for one in page["rows"]]
    return {**page, "rows": [_node(*row, newest) for row in rows]}


def _holds(node: str, record: Mapping[str, Any], text: str) -> bool:
    return not text or text in node or any(text in name for name, _ in _services(record))


def _newest(records: Mapping[str, Mapping[str, Any]]) -> Mapping[tuple[str, ...], int]:
    """How far the nodes that read the same prefixes are."""
    newest: dict[tuple[str, ...], int] = {}
    for record in records.values():
        reads = _reads(record)
        newest[reads] = max(newest.get(reads, 0), _revision(record.get("revision")))
    return newest


def _node(
    one: Plain, record: Mapping[str, Any], tone: Condition, newest: Mapping[tuple[str, ...], int]
) -> Plain:
    revision = _revision(one["revision"])
    page, line = str(one["page"] or ""), str(one["line"] or "")
    return {
        "node": one["node"],
        "tone": tone,
        "kind": str(one["kind"] or "unknown"),
        "line": line,
        "brief": line if len(line) <= _BRIEF else f"{line[:_BRIEF]} ...",
        "revision": revision,
        "behind": newest[_reads(record)] - revision,
        "version": str(one["version"] or ""),
        "since": str(one["since"] or ""),
        "page": page if page.startswith(("http://", "https://")) else "",
        "services": [_service(name, own) for name, own in _services(record)],
    }


def _services(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    services = record.get("services")
    return sorted(services.items()) if isinstance(services, Mapping) else []


def _service(name: str, own: object) -> Plain:
    """A service of a node. revision: None if it takes no turns."""
    own = own if isinstance(own, Mapping) else {}
    rollout = own.get("rollout")
    rollout = rollout if isinstance(rollout, Mapping) else {}
    reload = str(own.get("reload") or "")
    held = bool(rollout.get("held") or own.get("pinned"))
    tone = Condition.WAITING if held else Condition.GOOD
    if rollout.get("bad") or reload not in ("", "ok"):
        tone = Condition.BAD
    return {"name": name, "revision": rollout.get("revision"), "tone": tone}


def _rollout(one: Plain) -> Plain:
    """The progress of one service to its newest version."""
    nodes, halts = one["nodes"], [_halt(halt) for halt in one["halts"]]
    revision, digest = _target(nodes)
    culprits = {halt["by"] for halt in halts}
    rows = [_turn(node, digest, culprits, bool(halts or one["stopped"])) for node in nodes]
    shown = {halt["why"] for halt in halts}
    for row in rows:  # the words of a halt are shown once
        row["why"] = "" if row["why"] in shown else row["why"]
    rows.sort(key=lambda row: (not row["canary"], row["node"]))
    if len(rows) > ROLLOUT_ROWS:
        rows.sort(key=lambda row: _URGENT.index(row["tone"]))
    tones = Counter(row["tone"] for row in rows)
    done = sum(row["done"] for row in rows)
    stopped = _halt(one["stopped"]) if one["stopped"] else None
    return {
        "service": one["service"],
        "revision": revision,
        "done": done,
        "total": len(rows),
        "stage": _stage(rows, done, halts, stopped),
        "tone": _rollout_tone(tones, halts, stopped, done == len(rows)),
        "segments": _segments(tones, len(rows)),
        "halts": halts,
        "stopped": stopped,
        "pinned": one["pinned"],
        "nodes": rows[:ROLLOUT_ROWS],
        "more": max(0, len(rows) - ROLLOUT_ROWS),
    }


def _target(nodes: Sequence[Plain]) -> tuple[int, str]:
    """Revision and digest of the version that nodes want, or else have."""
    wanted = [(one["wanted"], one["wanted_version"]) for one in nodes if one["wanted_version"]]
    proved = [(one["revision"], one["version"]) for one in nodes if one["version"]]
    return max(wanted or proved, default=(0, ""))


def _turn(node: Plain, digest: str, culprits: Collection[str], held: bool) -> Plain:
    """A node of a rollout. held: it is stopped."""
    state = node["state"]
    done = node["version"] == digest and not node["wanted_version"]
    gone = state.startswith("gone")
    if gone:
        tone = Condition.BAD
    elif node["node"] in culprits and not done:
        tone = Condition.BAD
        state = "refused" if state in ("settled", "asking") else state
    elif done:
        tone = Condition.GOOD
    elif state in ("settled", "asking"):
        tone, state = Condition.WAITING, "halted" if held else "waiting"
    else:
        tone = Condition.BUSY
    return {
        "node": node["node"],
        "tone": tone,
        "state": state,
        "done": done,
        "canary": node["canary"],
        "uses": node["revision"],
        "wants": node["wanted"],
        "why": node["why"],
    }


def _stage(rows: Sequence[Plain], done: int, halts: Sequence[Plain], stopped: Plain | None) -> str:
    """The stage of the rollout, in words."""
    total = len(rows)
    if stopped:
        return f"stopped by {stopped['by']}: no turn begins"
    if done == total:
        return "done on all nodes" if total > 1 else "done"
    if halts:
        return f"halted by {halts[0]['by']}"
    busy = [row for row in rows if row["tone"] is Condition.BUSY]
    canary = any(row["canary"] and not row["done"] for row in rows)
    what = "canary" if canary else f"{done} of {total} done"
    if busy:
        states = {row["state"] for row in busy}
        nodes = first_few([row["node"] for row in busy], _NAMED)
        return f"{what}: {nodes} {', '.join(sorted(states))}"
    return f"{what}: waiting"


def _rollout_tone(
    tones: Mapping[Condition, int], halts: Sequence[Plain], stopped: Plain | None, done: bool
) -> Condition:
    if halts or tones.get(Condition.BAD):
        return Condition.BAD
    if stopped:
        return Condition.WAITING
    return Condition.GOOD if done else Condition.BUSY


def _segments(tones: Mapping[Condition, int], total: int) -> list[Plain]:
    """The segments of the progress bar in thousandths, the finished ones first."""
    found, x = list[Plain](), 0
    for tone in reversed(Condition):
        if count := tones.get(tone, 0):
            width = math.ceil(1000 * count / total)
            found.append({"tone": str(tone), "x": x, "width": width, "count": count})
            x += width
    return found


def _halt(halt: Plain) -> Plain:
    by = f"{halt['by']} on {halt['where']}" if halt["where"] else halt["by"]
    return {**halt, "who": by, "when": utc(halt["at"]) if halt["at"] else ""}


def _orders(found: Sequence[Plain], rows: Sequence[Row]) -> list[Plain]:
    """The last orders of the fleet, and the last one of each member, newest first."""
    orders = [_order(one) for one in reversed(found)]
    orders += [_member_order(row, row.order) for row in rows if row.order]
    return sorted(orders, key=itemgetter("when"), reverse=True)[:ORDERS]


def _member_order(row: Row, order: MemberOrder) -> Plain:
    weight = order.verb == "weight" and row.override.weight is not None
    return {
        "when": order.at,
        "by": order.by,
        "where": order.host,
        "what": f"{order.verb} {row.member_id}" + f" {row.override.weight}" * weight,
        "services": [row.service],
    }


def _order(order: Plain) -> Plain:
    names = ("do", "member", "node", "revision")
    what = " ".join(str(order[name]) for name in names if order.get(name) is not None)
    services = order.get("services")
    return {
        "when": utc(order["at"]) if order["at"] else "-",
        "by": str(order.get("by") or "?"),
        "where": str(order.get("where") or "?"),
        "what": what,
        "services": [str(one) for one in services] if isinstance(services, list) else [],
    }


def _sights(records: Mapping[str, Mapping[str, Any]]) -> _Sights:
    found: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for name, record in records.items():
        seen = (_revision(record.get("revision")), name)
        found.setdefault(_reads(record), []).append(seen)
    return _Sights({prefixes: sorted(each) for prefixes, each in found.items()})


def _members(rows: Sequence[Row], places: Places, sights: _Sights, query: ViewQuery) -> Plain:
    """rows: in order of service and id."""
    if query.text:
        rows = [
            row for row in rows
            if any(query.text in text for text in (row.service, row.member_id, row.address))
        ]  # fmt: skip
    states = Counter(row.state for row in rows)
    page = _page(rows, query.members)
    page["rows"] = [_member(row, places, sights) for row in page["rows"]]
    return {**page, "states": dict(sorted(states.items(), key=lambda each: each[0] != "up"))}


def _member(row: Row, places: Places, sights: _Sights) -> Plain:
    tones = {"up": Condition.GOOD, "down": Condition.BAD, "absent": Condition.BAD}
    return {
        "service": row.service,
        "id": row.member_id,
        "address": row.address,
        "weight": row.weight,
        "overridden": row.override.weight is not None,
        "state": row.state,
        "tone": tones.get(row.state, Condition.WAITING),
        "lease": f"{row.lease:x}" if row.lease else "",
        "since": row.since,
        **sights.of(places.member_key(row.service, row.member_id), row.revision),
    }


def _page(rows: Sequence[Any], number: int) -> Plain:
    """One page of many rows. number: from 1; a number that is too large means the last page."""
    pages = max(1, math.ceil(len(rows) / PAGE_ROWS))
    number = min(max(1, number), pages)
    begin = (number - 1) * PAGE_ROWS
    shown = list(rows[begin : begin + PAGE_ROWS])
    return {"rows": shown, "total": len(rows), "page": number, "pages": pages}


def _reads(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The prefixes that a node reads; everything if it does not publish them."""
    reads = record.get("reads")
    return tuple(map(str, reads)) if isinstance(reads, list) else ("/",)


def _revision(raw: object) -> int:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else 0
