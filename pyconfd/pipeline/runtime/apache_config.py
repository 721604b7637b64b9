"""
The members of Apache's balancers that can be changed while it runs, and everything else. Pure.

`read` takes a file apart: BalancerMember for each such line that is plain enough to be understood,
and the frame, which is all the rest as it stands. Two files with one frame differ in members alone.
A member is understood inside `<Proxy "balancer://...">` of a `<VirtualHost>` that has a ServerName,
where the manager shows it. In a section with a condition, with variables or escapes, it is left in
the frame, and so is a whole file with lines that go on: what is not understood is a difference, and
a difference there is a reload.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field

from pyconfd.model.values import dataclass

#: Name of the site, name of the balancer, URL of the member as the manager shows it.
Key = tuple[str, str, str]

#: States by their letters in `status` (mod_proxy, BalancerMember): ignores errors, drains, is
#: disabled, stopped, in reserve, a spare. Others are what Apache itself finds out.
FLAGS = "INDSHR"
#: A member in one of these gets no new sessions.
OUT = frozenset("NDS")
_PORTS = {"http": "80", "https": "443", "ajp": "8009", "ws": "80", "wss": "443"}
_URL = re.compile(
    r"([a-z]+)://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])(?::([0-9]{1,5}))?((?:/[A-Za-z0-9_.-]+)*/?)\Z"
)
_WORD = re.compile(r'"([^"\\]*)"(?=\s|\Z)|([^\s"\'\\]+)(?=\s|\Z)')
_LOAD = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?\Z")
_ROUTE = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_LEAST_LOAD, _MOST_LOAD = 100, 10_000


@dataclass(frozen=True, slots=True)
class BalancerMember:
    """
    One member as the file has it.

    load: its share in hundredths, 100 to 10,000.
    flags: letters of FLAGS.
    route: what a session remembers; "" for none.
    options: all others, in their order.
    """

    load: int
    flags: frozenset[str]
    route: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApacheConfig:
    """
    A file taken apart.

    members: those that can be changed.
    frame: the other lines.
    addresses: site -> where it listens, as written.
    unclear: site and name of the balancers with members in the frame.
    """

    members: Mapping[Key, BalancerMember] = field(default_factory=dict)
    frame: tuple[str, ...] = ()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unclear: frozenset[tuple[str, str]] = frozenset()

    @property
    def balancers(self) -> frozenset[tuple[str, str]]:
        """Those of which all members are known."""
        return frozenset(key[:2] for key in self.members) - self.unclear

    def reached_at(self, site: str, port: int) -> bool:
        """Whether a request to this port can be one to the site."""
        ends = (one.rpartition(":")[2] for one in self.addresses[site])
        return any(end in ("*", str(port)) or not end.isdigit() for end in ends)


def read(text: str) -> ApacheConfig:
    """Take a file apart."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if any(line.endswith("\\") for line in lines):
        return ApacheConfig(frame=tuple(lines))
    reader = _SectionReader()
    for line in lines:
        reader.take(line)
    return reader.config()


def reload_reason(old: ApacheConfig, new: ApacheConfig) -> str:
    """Why a change needs a reload, "" when it is one of members alone."""
    if old.frame != new.frame:
        return "more than members differs"
    for key in old.members.keys() ^ new.members.keys():
        return f"member {named(key)} cannot be added or removed while it runs"
    for key, member in new.members.items():
        if old.members[key].options != member.options:
            return f"member {named(key)} has other options"
    return ""


def named(key: Key) -> str:
    """Balancer and member, as one word."""
    return f"{key[1]}/{key[2]}"


class _SectionReader:
    """
    Takes line by line. The file is one that Apache has accepted. The members of a site are put
    aside until its end, since its ServerName may stand below them.
    """

    def __init__(self) -> None:
        self._members: dict[Key, BalancerMember] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._unclear: set[tuple[str, str]] = set()
        self._frame: list[str] = []
        self._open: list[tuple[str, list[str]]] = []
        self._site = ""
        self._aside: list[tuple[str, list[str], int]] = []

    def take(self, line: str) -> None:
        words = _words(line)
        first = words[0].lower() if words else ""
        if first == "servername" and self._in("virtualhost") and len(words) == 2:
            self._site = words[1].rpartition("//")[2].partition(":")[0].lower()
        elif first == "balancermember" and self._in("virtualhost", "proxy"):
            balancer = self._open[-1][1]
            if len(balancer) == 1 and balancer[0].startswith("balancer://"):
                self._aside.append((balancer[0][len("balancer://") :], words, len(self._frame)))
        self._frame.append(line)
        if line.startswith("</"):
            self._end()
        elif line.startswith("<"):
            name, _, rest = line[1:].removesuffix(">").partition(" ")
            self._open.append((name.lower(), _words(rest)))

    def _in(self, *sections: str) -> bool:
        return tuple(name for name, _ in self._open) == sections

    def _end(self) -> None:
        name, words = self._open.pop() if self._open else ("", [])
        if name != "virtualhost" or self._open:
            return
        taken = []
        for balancer, member, at in self._aside:
            if not self._member(balancer, member):
                self._unclear.add((self._site, balancer))
            else:
                taken.append(at)
        for at in reversed(taken):
            del self._frame[at]
        if self._site:
            self._addresses.setdefault(self._site, tuple(words))
        self._site, self._aside = "", []

    def _member(self, balancer: str, words: list[str]) -> bool:
        """Whether it is one that can be changed; it is noted then."""
        address = _shown(words[1]) if len(words) > 1 else ""
        key = (self._site, balancer, address)
        if not self._site or not address or self._site in self._addresses or key in self._members:
            return False
        member = _with_settings(words[2:])
        if member:
            self._members[key] = member
        return member is not None

    def config(self) -> ApacheConfig:
        return ApacheConfig(
            members=self._members,
            frame=tuple(self._frame),
            addresses=self._addresses,
            unclear=frozenset(self._unclear),
        )


def _words(line: str) -> list[str]:
    """The words of a line, whole ones in quotes without them; none when it is not plain."""
    found, at = [], 0
    while at < len(line):
        match = _WORD.match(line, at)
        if not match or "${" in match[0] or "%{" in match[0]:
            return []
        found.append(match[1] if match[2] is None else match[2])
        at = match.end()
        at += len(line[at:]) - len(line[at:].lstrip())
    return found


def _shown(url: str) -> str:
    """The URL of a member as Apache writes it: in lower case, without its scheme's own port."""
    match = _URL.match(url)
    if not match:
        return ""
    scheme, host, port, path = match.groups()
    where = f":{int(port)}" if port and str(int(port)) != _PORTS.get(scheme) else ""
    return f"{scheme}://{host.lower()}{where}{path}"


def _with_settings(words: Iterable[str]) -> BalancerMember | None:
    """None when a value of them is not one that the manager takes."""
    load, route, flags = _LEAST_LOAD, "", frozenset[str]()
    options: list[str] = []
    for word in words:
        name, _, value = word.partition("=")
        match name.lower():
            case "loadfactor":
                load = _hundredths(value)
            case "route" if _ROUTE.match(value):
                route = value
            case "status":
                changed = _with_letters(flags, value)
                if changed is None:
                    return None
                flags = changed
            case "route":
                return None
            case _:
                options.append(word)
    if not _LEAST_LOAD <= load <= _MOST_LOAD:
        return None
    return BalancerMember(load, flags, route, tuple(options))


def _hundredths(value: str) -> int:
    """0 for what is not a share."""
    match = _LOAD.match(value)
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")) if match else 0


def _with_letters(flags: frozenset[str], value: str) -> frozenset[str] | None:
    """`+N-D` and the like; a letter without a sign sets."""
    on = True
    for letter in value.upper():
        if letter in "+-":
            on = letter == "+"
        elif letter not in FLAGS:
            return None
        else:
            flags = flags | {letter} if on else flags - {letter}
    return flags
