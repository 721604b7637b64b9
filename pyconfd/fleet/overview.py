"""A fleet as plain data: its nodes, its rollouts with their halts, the last orders. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyconfd.errors import StateError
from pyconfd.fleet.records import FleetPaths, RecordBook, number
from pyconfd.model.keys import KeyValue, Listed
from pyconfd.reconcile.turns import QUEUED, Halt, TurnRecords, waits_for, wanted, working

Plain = dict[str, Any]

#: So many of the last orders are shown.
ORDERS = 5


def book_of(paths: FleetPaths, keys: Sequence[KeyValue]) -> RecordBook:
    """
    The records of a fleet from all its keys. Raises StateError when a newer pyconfd has written
    some of them.
    """
    book = RecordBook(paths)
    book.apply(Listed("", 0, 0, tuple(keys)))
    if book.objection:
        raise StateError(book.objection, kept="nothing was changed")
    return book


def overview(fleet: str, book: RecordBook) -> Plain:
    """book: of all keys of the fleet."""
    nodes = book.nodes
    return {
        "fleet": fleet,
        "nodes": [_node(name, nodes[name]) for name in sorted(nodes)],
        "rollouts": [_rollout(name, book, nodes) for name in book.services],
        "refused": [
            {"node": name, "host": str(found.get("host", "?"))}
            for name, found in sorted(book.refused.items())
        ],
        "orders": _orders(book),
    }


def _node(name: str, record: Mapping[str, Any]) -> Plain:
    fields = ("version", "host", "since", "revision", "kind", "line", "page")
    return {"node": name, **{key: record.get(key) for key in fields}}


def _rollout(service: str, book: RecordBook, nodes: Mapping[str, Mapping[str, Any]]) -> Plain:
    records, pin = book.records(service), book.pin(service)
    names = sorted({*records.nodes, *records.asked, *records.begun})
    # halts of versions that no node wants any more are kept in case the keys come back to them
    shown = wanted(records)
    return {
        "service": service,
        "stopped": _halt(records.stopped) if records.stopped else None,
        "halts": [
            {"version": digest, **_halt(halt)}
            for digest, halt in records.halts.items()
            if digest in shown
        ],
        "pinned": str(pin) if pin else None,
        "working": [turn.node for turn in working(records)],
        "skipped": sorted(records.skipped),
        "promoted": sorted(records.promoted),
        "nodes": [_turn(service, name, records, nodes.get(name, {})) for name in names],
    }


def _turn(service: str, name: str, records: TurnRecords, record: Mapping[str, Any]) -> Plain:
    """One node of a rollout; what it publishes may be a second old."""
    services = record.get("services")
    own = services.get(service) if isinstance(services, Mapping) else None
    rollout = own.get("rollout") if isinstance(own, Mapping) else None
    says: Mapping[str, Any] = rollout if isinstance(rollout, Mapping) else {}
    proved, asked, begun = (
        records.nodes.get(name), records.asked.get(name), records.begun.get(name)
    )  # fmt: skip
    state = str(says.get("phase") or "settled")
    if begun and name not in records.nodes:
        state = "gone in its turn"
    elif begun and state in ("settled", "asking"):
        state = "beginning"
    elif name not in records.nodes:
        state = "gone"
    why = str(says.get("bad") or says.get("held") or "")
    return {
        "node": name,
        "revision": proved.revision if proved else None,
        "version": proved.digest if proved else None,
        "wanted_version": (begun or asked).version.digest if begun or asked else None,  # type: ignore[union-attr]
        "canary": bool(says.get("canary")),
        "wanted": (begun or asked).version.revision if begun or asked else None,  # type: ignore[union-attr]
        "state": state,
        "halted": bool(says.get("halted")),
        "why": waits_for(records, name) if asked and why == QUEUED else why,
    }


def _halt(halt: Halt) -> Plain:
    return {
        "why": halt.why,
        "by": halt.by,
        "where": halt.where,
        "at": halt.at,
        "revision": halt.revision or None,
    }


def _orders(book: RecordBook) -> list[Plain]:
    """The last orders, in order of time."""
    found = [book.orders[time] for time in sorted(book.orders)[-ORDERS:]]
    return [
        {key: each for key, each in {**order, "at": number(order.get("at"))}.items()
         if key != "format"}
        for order in found
    ]  # fmt: skip
