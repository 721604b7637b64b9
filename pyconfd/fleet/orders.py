"""
Orders of an operator to a fleet: the keys that each of them writes and removes. Pure.

An order that lets nodes continue, or stops them, moves the fence, so a decision made before it can
no longer begin a turn.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from pyconfd.errors import RegistrationError
from pyconfd.fleet.records import FleetPaths, FleetPin, encoded, halt_value, pin_value
from pyconfd.model.values import dataclass
from pyconfd.reconcile.turns import Halt, TurnRecords, wanted


class Verb(enum.StrEnum):
    """The kinds of orders."""

    HALT = "halt"
    RESUME = "resume"
    PROMOTE = "promote"
    SKIP = "skip"
    PIN = "pin"
    UNPIN = "unpin"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOrder:
    """
    by, where, at: the user, the host, and seconds since 1970 by its clock.
    node: of SKIP. revision: of PIN.
    """

    verb: Verb
    by: str
    where: str
    at: float
    node: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class OrderWrites:
    """
    The effect of an order on one service.

    puts: keys and values. deletes: keys.
    words: what was done, for the user.
    """

    puts: Mapping[str, bytes] = field(default_factory=dict)
    deletes: tuple[str, ...] = ()
    words: str = ""


def writes(
    order: FleetOrder, paths: FleetPaths, service: str, records: TurnRecords
) -> OrderWrites | None:
    """The effect on one service; None when there is nothing to do."""
    fence = {paths.of(service, "fence"): encoded({"by": order.by})}
    found = _WRITES[order.verb](order, paths, service, records)
    if found is None:
        return None
    return OrderWrites({**found.puts, **fence}, found.deletes, found.words)


def nothing_to_do(order: FleetOrder, services: Iterable[str]) -> RegistrationError:
    """The error for an order without effect."""
    where = ", ".join(services) or "no service of the fleet has turns"
    what = {
        Verb.RESUME: "nothing is halted",
        Verb.PROMOTE: "no version waits for canaries",
        Verb.SKIP: "no version is on its way",
        Verb.UNPIN: "nothing is pinned",
    }.get(order.verb, "no service of the fleet has turns")
    return RegistrationError(what, where=where, hint="pyconfd fleet shows the state")


def order_value(order: FleetOrder, services: Iterable[str]) -> bytes:
    """The stored value of an order."""
    fields: dict[str, Any] = {
        "do": str(order.verb),
        "by": order.by,
        "where": order.where,
        "at": order.at,
        "services": list(services),
    }
    if order.node:
        fields["node"] = order.node
    if order.revision:
        fields["revision"] = order.revision
    return encoded(fields)


def _halt(
    order: FleetOrder, paths: FleetPaths, service: str, records: TurnRecords
) -> OrderWrites | None:
    why = f"halted by {order.by} on {order.where}"
    halt = Halt(why=why, by=order.by, where=order.where, at=order.at)
    words = f"{service}: no turn begins"
    if count := len(records.begun):
        words += f"; {count} under way will end"
    return OrderWrites({paths.of(service, "stopped"): halt_value(halt)}, (), words)


def _resume(
    order: FleetOrder,  # noqa: ARG001 - all orders alike
    paths: FleetPaths,
    service: str,
    records: TurnRecords,
) -> OrderWrites | None:
    """
    Resume. Refused versions are also tried again, and turns of nodes that are gone no longer count.
    """
    gone = [node for node in records.begun if node not in records.nodes]
    deletes = [
        *(paths.of(service, "halts", digest) for digest in records.halts),
        *(paths.of(service, "skipped", node) for node in records.skipped),
        *(paths.of(service, "begun", node) for node in gone),
    ]
    if records.stopped:
        deletes.append(paths.of(service, "stopped"))
    return OrderWrites({}, tuple(deletes), f"{service}: goes on") if deletes else None


def _promote(
    order: FleetOrder, paths: FleetPaths, service: str, records: TurnRecords
) -> OrderWrites | None:
    """Promote a version. Promotions of versions that are over are removed at the same time."""
    digests = {turn.version.digest for turn in records.asked.values()} - records.promoted
    if not digests:
        return None
    over = sorted(records.promoted - wanted(records))
    deletes = tuple(paths.of(service, "promoted", digest) for digest in over)
    value = encoded({"by": order.by, "where": order.where, "at": order.at})
    puts = {paths.of(service, "promoted", digest): value for digest in digests}
    words = f"{service}: no node waits for canaries"
    if halted := digests & records.halts.keys():
        words += f"; {len(halted)} version is halted, see pyconfd fleet resume"
    return OrderWrites(puts, deletes, words)


def _skip(
    order: FleetOrder, paths: FleetPaths, service: str, records: TurnRecords
) -> OrderWrites | None:
    """Skip a node: the version that it should take, or that the others have, goes on without it."""
    own = records.begun.get(order.node) or records.asked.get(order.node)
    turns = [*([own] if own else []), *records.begun.values(), *records.asked.values()]
    if not turns:
        return None
    digest = turns[0].version.digest
    value = encoded({"digest": digest, "by": order.by, "where": order.where, "at": order.at})
    dead = order.node in records.begun and order.node not in records.nodes
    deletes = (paths.of(service, "begun", order.node),) if dead else ()
    words = f"{service}: goes on without {order.node}"
    return OrderWrites({paths.of(service, "skipped", order.node): value}, deletes, words)


def _pin(
    order: FleetOrder,
    paths: FleetPaths,
    service: str,
    records: TurnRecords,  # noqa: ARG001 - all orders alike
) -> OrderWrites | None:
    pin = FleetPin(revision=order.revision, by=order.by, where=order.where, at=order.at)
    words = f"{service}: every node goes to revision {order.revision} and stays there"
    return OrderWrites({paths.of(service, "pinned"): pin_value(pin)}, (), words)


def _unpin(
    order: FleetOrder,  # noqa: ARG001 - all orders alike
    paths: FleetPaths,
    service: str,
    records: TurnRecords,  # noqa: ARG001
) -> OrderWrites | None:
    return OrderWrites({}, (paths.of(service, "pinned"),), f"{service}: not pinned any more")


_WRITES = {
    Verb.HALT: _halt,
    Verb.RESUME: _resume,
    Verb.PROMOTE: _promote,
    Verb.SKIP: _skip,
    Verb.PIN: _pin,
    Verb.UNPIN: _unpin,
}
