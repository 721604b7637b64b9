"""
The fleet's keys in the store: their paths and values. Pure.

    /pyconfd/fleets/NAME/nodes/NODE                        what a node says of itself, leased
    /pyconfd/fleets/NAME/refused/NODE                      a second node of that name, leased
    /pyconfd/fleets/NAME/rollouts/SERVICE/nodes/NODE       the version that it has proved, leased
    /pyconfd/fleets/NAME/rollouts/SERVICE/asked/NODE       leased
    /pyconfd/fleets/NAME/rollouts/SERVICE/begun/NODE
    /pyconfd/fleets/NAME/rollouts/SERVICE/halts/VERSION
    /pyconfd/fleets/NAME/rollouts/SERVICE/skipped/NODE
    /pyconfd/fleets/NAME/rollouts/SERVICE/promoted/VERSION
    /pyconfd/fleets/NAME/rollouts/SERVICE/stopped          an order to begin nothing
    /pyconfd/fleets/NAME/rollouts/SERVICE/pinned           an order to stay at a revision
    /pyconfd/fleets/NAME/rollouts/SERVICE/fence            written with every begin, halt and order
    /pyconfd/fleets/NAME/orders/TIME                       every order of an operator

Values are JSON; an unreadable one counts as absent. Each has the number of its format: a node that
meets a newer one takes no turns, because what it cannot read may be a halt (decision 0014).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, field
from typing import Any

from pyconfd import __version__
from pyconfd.model.keys import FLEETS, Changed, KeyValue, Listed
from pyconfd.model.values import dataclass
from pyconfd.reconcile.turns import Halt, Turn, TurnRecords, Version

#: Of the records that are written here; 1 also where there is no number.
FORMAT = 1
_LEAVES = ("stopped", "pinned", "fence")
#: The end of the year 9999 in seconds; no store comes to that revision.
_LARGEST = 253_402_300_800


@dataclass(frozen=True, slots=True)
class FleetPaths:
    """The keys of one fleet."""

    fleet: str

    @property
    def root(self) -> str:
        """Above everything of the fleet."""
        return f"{FLEETS}/{self.fleet}"

    @property
    def rollouts(self) -> str:
        """Above all turns."""
        return f"{self.root}/rollouts"

    @property
    def refusals(self) -> str:
        """Above the second nodes of a name."""
        return f"{self.root}/refused"

    @property
    def nodes(self) -> str:
        """Above what the nodes say of themselves."""
        return f"{self.root}/nodes"

    def node(self, node: str) -> str:
        """The record of a node about itself."""
        return f"{self.nodes}/{node}"

    def refused(self, node: str) -> str:
        """A second node of that name."""
        return f"{self.refusals}/{node}"

    @property
    def orders(self) -> str:
        """Above the orders of operators."""
        return f"{self.root}/orders"

    def order(self, time: str) -> str:
        """An order that was given at this time."""
        return f"{self.orders}/{time}"

    def of(self, service: str, kind: str, name: str = "") -> str:
        """A record of a service's turns."""
        path = f"{self.rollouts}/{service}/{kind}"
        return f"{path}/{name}" if name else path

    def parts(self, key: str) -> tuple[str, str, str] | None:
        """Service, kind and name of a record's key; None for any other key."""
        below = key.removeprefix(f"{self.rollouts}/")
        service, _, rest = below.partition("/")
        kind, _, name = rest.partition("/")
        if below == key or not kind or bool(name) == (kind in _LEAVES):
            return None
        return service, kind, name


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPin:
    """
    An order to keep a service's gated keys at a revision of the store.

    by, where, at: as in Halt.
    """

    revision: int
    by: str = ""
    where: str = ""
    at: float = 0.0

    def __str__(self) -> str:
        return f"pinned at revision {self.revision}" + (f" by {self.by}" if self.by else "")


def encoded(fields: Mapping[str, Any]) -> bytes:
    """A value as it is stored."""
    return json.dumps({"format": FORMAT, **fields}, sort_keys=True, separators=(",", ":")).encode()


def decoded(value: bytes) -> Mapping[str, Any]:
    """The fields of a value; none if it cannot be read."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def newer_format(fields: Mapping[str, Any]) -> int:
    """The number of a format that is newer than the known ones, else 0."""
    found = fields.get("format")
    return found if isinstance(found, int) and found > FORMAT else 0


def version_value(version: Version | None) -> bytes:
    """The value of what a node has proved, asks for or has begun."""
    return encoded({"digest": version.digest, "revision": version.revision} if version else {})


def halt_value(halt: Halt) -> bytes:
    """The value of a halt or an order."""
    return encoded(asdict(halt))


def pin_value(pin: FleetPin) -> bytes:
    """The value of a pin."""
    return encoded(asdict(pin))


def _version(fields: Mapping[str, Any]) -> Version | None:
    digest, revision = fields.get("digest"), fields.get("revision")
    if not isinstance(digest, str) or not isinstance(revision, int):
        return None
    return Version(digest, revision)


def _halt(fields: Mapping[str, Any]) -> Halt:
    return Halt(
        why=str(fields.get("why", "halted")),
        by=str(fields.get("by", "")),
        where=str(fields.get("where", "")),
        at=number(fields.get("at")),
        revision=int(number(fields.get("revision"))),
    )


def _pin(fields: Mapping[str, Any]) -> FleetPin | None:
    revision = int(number(fields.get("revision")))
    if revision < 1:
        return None
    by, where = str(fields.get("by", "")), str(fields.get("where", ""))
    return FleetPin(revision=revision, by=by, where=where, at=number(fields.get("at")))


def number(raw: object) -> float:
    """A time or a revision; 0 for anything else (JSON may have Infinity and NaN)."""
    fits = isinstance(raw, int | float) and 0 <= raw < _LARGEST
    return float(raw) if fits else 0.0  # type: ignore[arg-type]


def _turn(fields: Mapping[str, Any], item: KeyValue) -> Turn | None:
    version = _version(fields)
    node = item.key.rpartition("/")[2]
    return Turn(node, version, item.mod_revision) if version else None


@dataclass(frozen=True, slots=True)
class _ServiceRecords:
    """The records of one service, by kind and name, as they are made from their keys."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, Any]:
        return self.found.setdefault(kind, {})


#: What the fields of a key of each kind are made into; None for one that cannot be read.
_MADE: Mapping[str, Callable[[Mapping[str, Any], KeyValue], Any]] = {
    "nodes": lambda fields, _: (_version(fields),),
    "asked": _turn,
    "begun": _turn,
    "halts": lambda fields, _: _halt(fields),
    "skipped": lambda fields, _: str(fields.get("digest", "")),
    "promoted": lambda _, item: item.mod_revision,
    "stopped": lambda fields, _: _halt(fields),
    "pinned": lambda fields, _: _pin(fields),
    "fence": lambda _, item: item.mod_revision,
}


class RecordBook:
    """
    The records of all services of a fleet, updated by the messages of a watch. A key is parsed
    once, when it changes. One thread owns it.

    refused: node -> its second node. nodes: node -> what it says of itself. orders: time -> the
    order. Each only if the watch covers them. newer: key -> its format, of records that only a
    newer pyconfd can read; nothing may be decided while there are any.
    """

    def __init__(self, paths: FleetPaths) -> None:
        self._paths = paths
        self._services: dict[str, _ServiceRecords] = {}
        self.newer: dict[str, int] = {}
        self.refused: dict[str, Mapping[str, Any]] = {}
        self.nodes: dict[str, Mapping[str, Any]] = {}
        self.orders: dict[str, Mapping[str, Any]] = {}
        self._plain = {
            paths.refusals: self.refused, paths.nodes: self.nodes, paths.orders: self.orders
        }  # fmt: skip

    @property
    def services(self) -> list[str]:
        """The services that have records."""
        return sorted(self._services)

    def apply(self, message: Listed | Changed) -> set[str]:
        """Apply a message. Returns the services whose records have changed; all after a listing."""
        if isinstance(message, Listed):
            before = set(self._services)
            self._services.clear()
            self.newer.clear()
            for found in self._plain.values():
                found.clear()
            for item in message.keys:
                self._put(item)
            return before | self._services.keys()
        touched: set[str] = set()
        for change in message.changes:
            if change.value is None:
                self.newer.pop(change.key, None)
                touched |= self._drop(change.key)
            else:
                item = KeyValue(change.key, change.value, change.mod_revision, change.lease)
                touched |= self._put(item)
        return touched

    def records(self, service: str) -> TurnRecords:
        """The records for the decision."""
        found = self._services.get(service, _ServiceRecords())
        return TurnRecords(
            fence=found.of("fence").get("", 0),
            nodes={name: proved for name, (proved,) in found.of("nodes").items()},
            asked=dict(found.of("asked")),
            begun=dict(found.of("begun")),
            halts=dict(found.of("halts")),
            stopped=found.of("stopped").get(""),
            promoted=frozenset(found.of("promoted")),
            skipped=dict(found.of("skipped")),
        )

    def pin(self, service: str) -> FleetPin | None:
        """The order that the service's keys stay at a revision."""
        found = self._services.get(service)
        return found.of("pinned").get("") if found else None

    @property
    def objection(self) -> str:
        """Why nothing may be decided on these records, "" if all of them can be read."""
        for key, number in self.newer.items():
            return (
                f"{key} has format {number} of a newer pyconfd; "
                f"{__version__} reads up to {FORMAT}: install the newer one here"
            )
        return ""

    def _put(self, item: KeyValue) -> set[str]:
        fields = decoded(item.value)
        if number := newer_format(fields):
            self.newer[item.key] = number
        else:
            self.newer.pop(item.key, None)
        parts = self._paths.parts(item.key)
        if parts is None:
            folder, _, name = item.key.rpartition("/")
            if folder in self._plain:
                self._plain[folder][name] = fields
            return set()
        service, kind, name = parts
        made = _MADE[kind](fields, item) if kind in _MADE else None
        if made is None:
            return self._drop(item.key)
        self._services.setdefault(service, _ServiceRecords()).of(kind)[name] = made
        return {service}

    def _drop(self, key: str) -> set[str]:
        folder, _, below = key.rpartition("/")
        self._plain.get(folder, {}).pop(below, None)
        parts = self._paths.parts(key)
        if parts is None or parts[0] not in self._services:
            return set()
        service, kind, name = parts
        self._services[service].of(kind).pop(name, None)
        return {service}
