"""
What is announced: a member of a service, its key and its value. Pure.

The key is made from a pattern with `{service}` and `{id}`; the value is `host:port` alone, or a
JSON object with `addr` and more. address.py resolves addresses such as `:8080`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyconfd.errors import RegistrationError
from pyconfd.model.keys import KeyValue, is_under, join_paths
from pyconfd.registration.health import HealthRule

KEY_PATTERN = "/nginx/{service}/upstream/{id}"
DEFAULT_TTL_S = 10
MIN_TTL_S = 1
MAX_TTL_S = 24 * 3600

_PLACE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Check:
    """
    One check of a member.

    kind: http, https, tcp, exec, pid, grpc, load or memory
    target: the URL, host:port, command line, process id or limit, by kind
    """

    kind: str
    target: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """
    A member as the operator declares it. Times in seconds.

    address: as written (`host:port`, `:port`, `unix:/path`, `pid:N`, `port:auto`)
    member_id: "" for one made from host and port
    key_pattern: with `{service}` and `{id}`, below `prefix`
    interface: with `:port`, the network interface whose address is published, "" for none
    as_json: None: JSON only if there is more than the address to publish
    weight: None for none
    auto_weight: the weight follows the load, from 1 to `weight` (100 when that is None)
    weight_interval_s: the shortest time between two changes of the weight by load
    labels, version, fields: further keys of the JSON value
    checks: all must pass
    before: shell command line that must succeed before each registration, "" for none
    after_withdraw: shell command line that runs after each withdrawal, "" for none
    takeover: replace a foreign key of this name
    maintenance: stay out of rotation
    maintenance_file: stay out of rotation while this path exists
    """

    service: str
    address: str
    member_id: str = ""
    key_pattern: str = KEY_PATTERN
    prefix: str = "/"
    ttl_s: int = DEFAULT_TTL_S
    interface: str = ""
    as_json: bool | None = None
    weight: int | None = None
    auto_weight: bool = False
    weight_interval_s: float = 30.0
    labels: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    rule: HealthRule = field(default_factory=HealthRule)
    before: str = ""
    after_withdraw: str = ""
    hook_timeout_s: float = 60.0
    takeover: bool = False
    maintenance: bool = False
    maintenance_file: str = ""

    def __post_init__(self) -> None:
        _segment("service", self.service)
        if self.member_id:
            _segment("id", self.member_id)
        check_pattern(self.key_pattern)
        if not MIN_TTL_S <= self.ttl_s <= MAX_TTL_S:
            raise RegistrationError(
                f"a TTL of {self.ttl_s} seconds is not between {MIN_TTL_S} and {MAX_TTL_S}",
                where=self.service,
                hint="a lease without an end would leave dead members in rotation",
            )
        if self.weight is not None and not 0 <= self.weight <= 65535:
            raise RegistrationError(
                f"a weight of {self.weight} is not between 0 and 65535", where=self.service
            )

    @property
    def json_value(self) -> bool:
        """Whether the value is a JSON object."""
        if self.as_json is not None:
            return self.as_json
        more = self.weight is not None or self.auto_weight or self.version
        return bool(more or self.labels or self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """
    A declaration whose address is known.

    address: `host:port`, an IPv6 host in brackets, or `unix:/path`
    key: a key path
    started: when it was announced first, UTC in ISO 8601, for the value; "" for none
    """

    declared: Declaration
    address: str
    member_id: str
    key: str
    started: str = ""

    def value(self, weight: int | None = None) -> bytes:
        """The value of the key. weight: instead of the declared one."""
        if not self.declared.json_value:
            return self.address.encode()
        weight = self.declared.weight if weight is None else weight
        shown: dict[str, object] = {"addr": self.address}
        if weight is not None:
            shown["weight"] = weight
        if self.declared.labels:
            shown["labels"] = dict(sorted(self.declared.labels.items()))
        if self.declared.version:
            shown["version"] = self.declared.version
        if self.started:
            shown["started"] = self.started
        shown.update(self.declared.fields)
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()

    def is_same_member(self, there: KeyValue) -> bool:
        """
        Whether a key was left by an earlier run of this same member.

        A key without a lease was put by a person or another program, whatever its value.
        """
        return bool(there.lease) and address_of(there.value) == self.address


def announce(
    declared: Declaration, address: str, *, host: str = "", started: str = ""
) -> Announcement:
    """
    The announcement of a declaration at a known address.

    host: name of this machine, for the id of a UNIX socket.
    """
    member_id = declared.member_id or stable_id(address, host)
    key = make_key(declared.key_pattern, declared.service, member_id, declared.prefix)
    return Announcement(
        declared=declared, address=address, member_id=member_id, key=key, started=started
    )


def stable_id(address: str, host: str) -> str:
    """An id that is the same after a restart: host and port, or machine and socket path."""
    if address.startswith("unix:"):
        return f"{host}:{address[5:].strip('/').replace('/', '-')}"
    return address


def address_of(value: bytes) -> str:
    """The address in a value, plain or JSON; "" when there is none."""
    text = value.decode(errors="replace").strip()
    if not text.startswith("{"):
        return text
    try:
        addr = json.loads(text).get("addr", "")
    except (ValueError, RecursionError):
        return ""
    return addr if isinstance(addr, str) else ""


def check_pattern(pattern: str) -> None:
    """
    Raise RegistrationError unless every key made from the pattern stays below the pattern's folder.
    """
    names = _PLACE.findall(pattern)
    problem = ""
    if not pattern.startswith("/"):
        problem = "does not begin with /"
    elif unknown := [name for name in names if name not in ("service", "id")]:
        problem = f"has an unknown place {{{unknown[0]}}}"
    elif "id" not in names:
        problem = "has no {id}: all members would share one key"
    elif "{" in _PLACE.sub("", pattern) or "}" in _PLACE.sub("", pattern):
        problem = "has a brace that does not belong to a place"
    elif any(part in ("", ".", "..") for part in pattern[1:].split("/")):
        problem = "has an empty, . or .. segment and would escape its prefix"
    elif not pattern.isprintable() or " " in pattern:
        problem = "has a space or a control character"
    if problem:
        raise RegistrationError(
            f"the key pattern {problem}", where=pattern, hint=f"such as {KEY_PATTERN}"
        )


def make_key(pattern: str, service: str, member_id: str, prefix: str = "/") -> str:
    """
    The key path of a member. Raises RegistrationError when a name would lead it to another folder.
    """
    check_pattern(pattern)
    _segment("service", service)
    _segment("id", member_id)
    filled = pattern.replace("{service}", service).replace("{id}", member_id)
    key = join_paths(prefix, filled)
    if not is_under(key, join_paths(prefix)):
        raise RegistrationError("the key escapes its prefix", where=key)
    return key


def override_pattern(pattern: str) -> str:
    """
    The pattern for keys of overrides: beside the members, never in their own keys.

    It is the path up to the segment of `{service}` (included), then `override/{id}`; without
    `{service}` it is beside the folder of the members.
    """
    parts = pattern.split("/")
    with_service = [number for number, part in enumerate(parts) if "{service}" in part]
    with_id = next(number for number, part in enumerate(parts) if "{id}" in part)
    end = with_service[-1] + 1 if with_service and with_service[-1] < with_id else with_id - 1
    return "/".join([*parts[: max(1, end)], "override", "{id}"])


def _segment(what: str, text: str) -> None:
    problem = ""
    if not text:
        problem = "is empty"
    elif "/" in text:
        problem = "holds a / and would escape its prefix"
    elif text in (".", ".."):
        problem = "would escape its prefix"
    elif not text.isprintable() or any(letter.isspace() for letter in text):
        problem = "holds a space or a control character"
    elif "{" in text or "}" in text:
        problem = "holds a brace"
    if problem:
        raise RegistrationError(f"the {what} {text!r} {problem}", where=f"{what} {text!r}")
