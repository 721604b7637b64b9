"""
What operators set for a member, for everyone: kept in the store beside the members. Pure.

An override is a JSON object with `state` ("drain" or "down") and `weight`, each only when set. The
member itself never touches it, so that a restart of the member does not undo it.

Who gave the last order is in a key of its own below it: templates refuse fields that they do not
know, and see neither a change of that key nor the key, because they look for overrides by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from pyconfd.model.keys import KeyValue, join_paths
from pyconfd.registration.declaration import override_pattern


@dataclass(frozen=True, slots=True)
class Override:
    """
    What is set for one member.

    state: "drain" (no new sessions), "down" (nothing) or ""
    weight: None for the member's own
    """

    state: str = ""
    weight: int | None = None

    def value(self) -> bytes:
        """What is put under its key; b"" when nothing is set and the key should go."""
        fields: dict[str, object] = {}
        if self.state:
            fields["state"] = self.state
        if self.weight is not None:
            fields["weight"] = self.weight
        return json.dumps(fields, separators=(",", ":")).encode() if fields else b""


@dataclass(frozen=True, slots=True)
class MemberOrder:
    """
    What an operator has ordered for a member last.

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
    """An order from its value; None when it is none."""
    found = _json(value)
    texts = [str(found.get(name) or "?")[:_LONGEST] for name in ("by", "host", "at")]
    verb = found.get("verb")
    return MemberOrder(verb, *texts) if isinstance(verb, str) and verb in VERBS else None


def order_at(item: KeyValue) -> tuple[str, MemberOrder] | None:
    """The key of an override and its last order, when this is the key of one."""
    override, _, last = item.key.rpartition("/")
    if last != ORDER or override.split("/")[-2:-1] != ["override"]:
        return None
    order = parse_order(item.value)
    return (override, order) if order else None


def parse_override(value: bytes) -> Override:
    """An override from its value; what cannot be read sets nothing."""
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

    address: "" for one that is not registered but has an override
    own_weight: as it announces, None when it does not
    lease: 0 for none
    since: UTC in ISO 8601 as it announces, "" when it does not
    own_state: as it announces, "" when it does not; that of a keepalived, for instance
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
        """What counts: the override's, else the member's own."""
        return self.override.weight if self.override.weight is not None else self.own_weight


class Places:
    """Where the members and overrides of a key pattern are, below a prefix."""

    def __init__(self, pattern: str, prefix: str) -> None:
        self._member = _matcher(join_paths(prefix, pattern))
        self._override = _matcher(join_paths(prefix, override_pattern(pattern)))
        self._override_pattern = join_paths(prefix, override_pattern(pattern))
        self.root = join_paths(prefix, pattern.split("{", 1)[0].rpartition("/")[0])

    def override_key(self, service: str, member_id: str) -> str:
        """The key of a member's override."""
        return self._override_pattern.replace("{service}", service).replace("{id}", member_id)

    def rows(self, keys: Iterable[KeyValue], service: str = "") -> tuple[Row, ...]:
        """All members among the keys, of one service or of all, in order of service and id."""
        found: dict[tuple[str, str], Row] = {}
        overrides: dict[tuple[str, str], Override] = {}
        orders: dict[tuple[str, str], MemberOrder] = {}
        for each in keys:
            if match := self._member.fullmatch(each.key):
                name = _names(match)
                found[name] = _row(name, each)
            elif match := self._override.fullmatch(each.key):
                overrides[_names(match)] = parse_override(each.value)
            elif (there := order_at(each)) and (match := self._override.fullmatch(there[0])):
                orders[_names(match)] = there[1]
        for name, override in overrides.items():
            row = found.get(name) or Row(service=name[0], member_id=name[1])
            found[name] = replace(row, override=override)
        for name in orders.keys() & found.keys():
            found[name] = replace(found[name], order=orders[name])
        return tuple(row for name, row in sorted(found.items()) if service in ("", name[0]))


def _names(match: re.Match[str]) -> tuple[str, str]:
    groups = match.groupdict()
    return groups.get("service", ""), groups["id"]


def _matcher(pattern: str) -> re.Pattern[str]:
    """A pattern with places as a regular expression; a place is within one segment."""
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
    )


def _json(value: bytes) -> dict[str, object]:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
