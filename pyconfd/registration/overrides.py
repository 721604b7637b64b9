"""
What operators set for a member, on all nodes: kept in the store beside the members. Pure.

An override is a JSON object with `state` ("drain" or "down") and `weight`, each only when set. The
member itself never changes it, so a restart of the member does not undo it.

A separate key below it records who gave the last order: templates refuse unknown fields, and do not
see that key or its changes, because they look for overrides by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from pyconfd.model.keys import Changed, KeyChange, KeyValue, Listed, join_paths
from pyconfd.registration.declaration import override_pattern


@dataclass(frozen=True, slots=True)
class Override:
    """
    What is set for one member.

    state: "drain" (no new sessions), "down" (no requests) or ""
    weight: None for the member's own
    """

    state: str = ""
    weight: int | None = None

    def value(self) -> bytes:
        """The value of its key; b"" when nothing is set and the key should be deleted."""
        fields: dict[str, object] = {}
        if self.state:
            fields["state"] = self.state
        if self.weight is not None:
            fields["weight"] = self.weight
        return json.dumps(fields, separators=(",", ":")).encode() if fields else b""


@dataclass(frozen=True, slots=True)
class MemberOrder:
    """
    The last order of an operator for a member.

    verb: drain, down, up or weight.
    by: the user of the store, or the one of the machine.
    host: where it was given.
    at: UTC in ISO 8601.
    """

    verb: str
    by: str
    host: str
    at: str

    def value(self) -> bytes:
        """What is put under its key."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def line(self) -> str:
        """In words."""
        return f"{self.verb} by {self.by}@{self.host} {self.at}"


#: The last segment of its key, below that of the override.
ORDER = "order"
VERBS = ("drain", "weight", "down", "up")
_LONGEST = 100


def parse_order(value: bytes) -> MemberOrder | None:
    """An order from its value; None when the value is not an order."""
    found = _json(value)
    texts = [str(found.get(name) or "?")[:_LONGEST] for name in ("by", "host", "at")]
    verb = found.get("verb")
    return MemberOrder(verb, *texts) if isinstance(verb, str) and verb in VERBS else None


def order_at(item: KeyValue) -> tuple[str, MemberOrder] | None:
    """The key of an override and its last order, if this is the key of an order."""
    override = _ordered(item.key)
    order = parse_order(item.value) if override else None
    return (override, order) if order else None


def _ordered(key: str) -> str:
    """
    The key of the override that an order's key belongs to; "" when it is not the key of an order.
    """
    override, _, last = key.rpartition("/")
    return override if last == ORDER and override.split("/")[-2:-1] == ["override"] else ""


def parse_override(value: bytes) -> Override:
    """An override from its value; unreadable parts set nothing."""
    found = _json(value)
    state, weight = found.get("state", ""), found.get("weight")
    return Override(
        state if state in ("drain", "down") else "",
        weight if isinstance(weight, int) and not isinstance(weight, bool) else None,
    )


def changed(override: Override, verb: str, weight: int | None = None) -> Override:
    """The override after `drain`, `down`, `weight` (with its number) or `up`, which ends both."""
    match verb:
        case "up":
            return Override()
        case "weight":
            return replace(override, weight=weight)
        case _:
            return replace(override, state=verb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    A member as operators see it.

    address: "" for a member that is not registered but has an override
    own_weight: as the member announces it, None if it does not
    lease: 0 for none
    since: UTC in ISO 8601 as the member announces it, "" if it does not
    own_state: as the member announces it, "" if it does not; for instance keepalived's
    revision: of the store, at which its key or its override was last written; 0 if unknown
    override: what operators have set
    order: the last one, None where it is not known
    """

    service: str
    member_id: str
    address: str = ""
    own_weight: int | None = None
    lease: int = 0
    since: str = ""
    own_state: str = ""
    revision: int = 0
    override: Override = Override()
    order: MemberOrder | None = None

    @property
    def state(self) -> str:
        """up, drain, down, its own, or absent: an override without its member."""
        if not self.address:
            return "absent"
        return self.override.state or self.own_state or "up"

    @property
    def weight(self) -> int | None:
        """The weight in effect: the override's, else the member's own."""
        return self.override.weight if self.override.weight is not None else self.own_weight


class Places:
    """Where the members and overrides of a key pattern are, below a prefix."""

    def __init__(self, pattern: str, prefix: str) -> None:
        self._member = _matcher(join_paths(prefix, pattern))
        self._override = _matcher(join_paths(prefix, override_pattern(pattern)))
        self._member_pattern = join_paths(prefix, pattern)
        self._override_pattern = join_paths(prefix, override_pattern(pattern))
        self.root = join_paths(prefix, pattern.split("{", 1)[0].rpartition("/")[0])

    def override_key(self, service: str, member_id: str) -> str:
        """The key of a member's override."""
        return self._override_pattern.replace("{service}", service).replace("{id}", member_id)

    def member_key(self, service: str, member_id: str) -> str:
        """The key of a member."""
        return self._member_pattern.replace("{service}", service).replace("{id}", member_id)

    def member(self, key: str) -> tuple[str, str] | None:
        """Service and id of a member's key; None for any other key."""
        match = self._member.fullmatch(key)
        return _names(match) if match else None

    def overridden(self, key: str) -> tuple[str, str] | None:
        """Service and id of an override's key; None for any other key."""
        match = self._override.fullmatch(key)
        return _names(match) if match else None

    def order_key(self, service: str, member_id: str) -> str:
        """The key of the last order for a member."""
        return f"{self.override_key(service, member_id)}/{ORDER}"

    def ordered(self, key: str) -> tuple[str, str] | None:
        """Service and id of an order's key; None for any other key."""
        return self.overridden(_ordered(key))

    def rows(self, keys: Iterable[KeyValue], service: str = "") -> tuple[Row, ...]:
        """All members among the keys, of one service or of all, sorted by service and id."""
        book = MemberBook(self)
        book.apply(Listed("", 0, 0, tuple(keys)))
        return tuple(row for name, row in sorted(book.rows.items()) if service in ("", name[0]))


class MemberBook:
    """
    The members of a key pattern, updated by the messages of a watch. A key is parsed once, when it
    changes. One thread owns it.

    rows: (service, id) -> the member.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._members: dict[tuple[str, str], Row] = {}
        self._overrides: dict[tuple[str, str], tuple[Override, int]] = {}
        self._orders: dict[tuple[str, str], MemberOrder] = {}
        self.rows: dict[tuple[str, str], Row] = {}

    def apply(self, message: Listed | Changed) -> bool:
        """Apply a message. Returns whether a member may have changed."""
        if isinstance(message, Changed):
            touched = [self._take(each) for each in message.changes]
            return any(touched)
        for held in (self._members, self._overrides, self._orders, self.rows):
            held.clear()
        for item in message.keys:
            self._take(item)
        return True

    def _take(self, item: KeyValue | KeyChange) -> bool:
        if name := self._places.member(item.key):
            self._members.pop(name, None)
            if item.value is not None:
                there = KeyValue(item.key, item.value, item.mod_revision, item.lease)
                self._members[name] = _row(name, there)
        elif name := self._places.overridden(item.key):
            self._overrides.pop(name, None)
            if item.value is not None:
                self._overrides[name] = (parse_override(item.value), item.mod_revision)
        elif name := self._places.ordered(item.key):
            self._orders.pop(name, None)
            if item.value is not None and (order := parse_order(item.value)):
                self._orders[name] = order
        else:
            return False
        self._join(name)
        return True

    def _join(self, name: tuple[str, str]) -> None:
        self.rows.pop(name, None)
        row = self._members.get(name)
        if name in self._overrides:
            row = row or Row(service=name[0], member_id=name[1])
            override, revision = self._overrides[name]
            row = replace(row, override=override, revision=max(revision, row.revision))
        if row:
            self.rows[name] = replace(row, order=self._orders.get(name))


def _names(match: re.Match[str]) -> tuple[str, str]:
    groups = match.groupdict()
    return groups.get("service", ""), groups["id"]


def _matcher(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern with places; a place is within one segment."""
    parts = re.split(r"(\{service\}|\{id\})", pattern)
    seen: set[str] = set()
    built = ""
    for part in parts:
        if part not in ("{service}", "{id}"):
            built += re.escape(part)
        elif part in seen:
            built += f"(?P={part[1:-1]})"
        else:
            seen.add(part)
            built += f"(?P<{part[1:-1]}>[^/]+)"
    return re.compile(built)


def _row(name: tuple[str, str], there: KeyValue) -> Row:
    text = there.value.decode(errors="replace").strip()
    fields = _json(there.value) if text.startswith("{") else {"addr": text}
    weight = fields.get("weight")
    return Row(
        service=name[0],
        member_id=name[1],
        address=str(fields.get("addr") or "?"),
        own_weight=weight if isinstance(weight, int) and not isinstance(weight, bool) else None,
        lease=there.lease,
        since=str(fields.get("started") or fields.get("since") or ""),
        own_state=str(fields.get("state") or ""),
        revision=there.mod_revision,
    )


def _json(value: bytes) -> dict[str, object]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
