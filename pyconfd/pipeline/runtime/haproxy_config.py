"""
The servers of a haproxy.cfg that HAProxy can change while it runs, and everything else. Pure.

`read` takes a file apart: Server for each `server` line that is plain enough to be understood, and
the frame, which is all the rest as it stands. Two files with one frame differ in servers alone.
A line with quotes, escapes, variables or a comment is left in the frame, and so is a whole file
with conditions: what is not understood is a difference, and a difference there is a reload.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import field

from pyconfd.model.values import dataclass

#: Backend and name of a server.
Key = tuple[str, str]

_SECTIONS = {
    "global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "mailers",
    "userlist", "cache", "program", "http-errors", "ring", "log-forward", "log-profile",
    "fcgi-app", "crt-store", "traces", "acme",
}  # fmt: skip
#: Options of a server with a value after them (configuration.txt, 5.2); others have none.
_VALUED = {
    "addr", "agent-addr", "agent-inter", "agent-port", "agent-send", "alpn", "ca-file",
    "check-alpn", "check-proto", "check-sni", "ciphers", "ciphersuites", "client-sigalgs",
    "cookie", "crl-file", "crt", "curves", "downinter", "error-limit", "fall", "fastinter",
    "guid", "hash-key", "id", "init-addr", "init-state", "inter", "log-bufsize", "log-proto",
    "max-reuse", "maxconn", "maxqueue", "minconn", "namespace", "npn", "observe", "on-error",
    "on-marked-down", "on-marked-up", "pool-conn-name", "pool-low-conn", "pool-max-conn",
    "pool-purge-delay", "port", "proto", "proxy-v2-options", "redir", "resolve-net",
    "resolve-opts", "resolve-prefer", "resolvers", "rise", "set-proxy-v2-tlv-fmt", "shard",
    "sigalgs", "slowstart", "sni", "socks4", "source", "ssl-max-ver", "ssl-min-ver", "tcp-ut",
    "track", "usesrc", "verify", "verifyhost", "weight", "ws",
}  # fmt: skip
#: The ways of balancing for which it does not matter in which order the servers stand.
_ANY_ORDER = ("roundrobin", "leastconn", "random")
_NOT_PLAIN = frozenset("\"'\\$#;")


@dataclass(frozen=True, slots=True)
class Server:
    """
    One server as the file has it.

    at: where it listens, as written.
    address: IP and port of that, "" for a name or a socket.
    weight: 0 to 256.
    disabled: it starts in maintenance.
    options: all others, those of `default-server` before its own.
    """

    at: str
    address: str
    weight: int
    disabled: bool
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """
    A file taken apart.

    servers: those that can be changed.
    frame: the other lines.
    movable: backends that servers can be added to and removed from.
    unclear: backends with servers in the frame.
    """

    servers: Mapping[Key, Server] = field(default_factory=dict)
    frame: tuple[str, ...] = ()
    movable: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()

    @property
    def backends(self) -> frozenset[str]:
        """Those of which all servers are known."""
        return (frozenset(backend for backend, _ in self.servers) | self.movable) - self.unclear


def read(text: str) -> Config:
    """Take a file apart."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if any(line.startswith(".") for line in lines):
        return Config(frame=tuple(lines))
    reader = _ConfigReader()
    for line in lines:
        reader.take(line)
    return reader.config()


def reload_reason(old: Config, new: Config) -> str:
    """Why a change needs a reload, "" when it is one of servers alone."""
    if old.frame != new.frame:
        return "more than servers differs"
    for key in old.servers.keys() & new.servers.keys():
        was, now = old.servers[key], new.servers[key]
        if was.options != now.options or not _same_place(was, now):
            return f"server {'/'.join(key)} has other options"
    for key in old.servers.keys() ^ new.servers.keys():
        one = new.servers.get(key) or old.servers[key]
        if key[0] not in new.movable or not one.address:
            return f"server {'/'.join(key)} cannot be added or removed while it runs"
    return ""


def normalized(host: str, port: str) -> str:
    """IP and port in one form, "" when it is neither a v4 nor a v6 address with a port."""
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return ""
    return f"{ip} {int(port)}" if port.isascii() and port.isdigit() and int(port) else ""


def _same_place(was: Server, now: Server) -> bool:
    return was.at == now.at or bool(was.address and now.address)


class _Defaults:
    """What a section begins with: options of `default-server`, and the way of balancing."""

    def __init__(self, like: _Defaults | None = None) -> None:
        self.options: list[str] = list(like.options) if like else []
        self.balance: str = like.balance if like else "roundrobin"


class _ConfigReader:
    """Takes line by line. The file is one that HAProxy has accepted."""

    def __init__(self) -> None:
        self._servers: dict[Key, Server] = {}
        self._frame: list[str] = []
        self._balance: dict[str, _Defaults] = {}
        self._unclear: set[str] = set()
        self._named: dict[str, _Defaults] = {}
        self._latest = self._here = _Defaults()
        self._backend = ""

    def take(self, line: str) -> None:
        words = line.split()
        if words[0] in _SECTIONS:
            self._begin(words)
        elif words[0] == "default-server":
            self._here.options += words[1:]
        elif words[0] == "balance" and len(words) > 1:
            self._here.balance = words[1]
        elif words[0] in ("server", "server-template") and self._backend:
            if server := self._server(line, words):
                self._servers[self._backend, words[1]] = server
                return
            self._unclear.add(self._backend)
        self._frame.append(line)

    def _begin(self, words: list[str]) -> None:
        like = self._latest
        if "from" in words[2:]:
            like = self._named.get(words[-1], like)
        self._here = _Defaults(like)
        self._backend = words[1] if words[0] in ("backend", "listen") and len(words) > 1 else ""
        if words[0] == "defaults":
            self._here = _Defaults(like if "from" in words else None)
            self._latest = self._here
            if len(words) > 1:
                self._named[words[1]] = self._here
        elif self._backend:
            self._balance[self._backend] = self._here

    def _server(self, line: str, words: list[str]) -> Server | None:
        if words[0] != "server" or len(words) < 3 or (self._backend, words[1]) in self._servers:
            return None
        if _NOT_PLAIN & set(line + " ".join(self._here.options)):
            return None
        host, _, port = words[2].rpartition(":")
        return _with_options(words[2], normalized(host, port), [*self._here.options, *words[3:]])

    def config(self) -> Config:
        return Config(
            servers=self._servers,
            frame=tuple(self._frame),
            movable=frozenset(
                backend
                for backend, here in self._balance.items()
                if here.balance.startswith(_ANY_ORDER) and backend not in self._unclear
            ),
            unclear=frozenset(self._unclear),
        )


def _with_options(at: str, address: str, words: Iterable[str]) -> Server | None:
    """None when a weight is no number."""
    weight, disabled = 1, False
    options: list[str] = []
    left = iter(words)
    for word in left:
        value = next(left, "") if word in _VALUED else ""
        if word == "weight":
            if not (value.isascii() and value.isdigit()):
                return None
            weight = int(value)
        elif word in ("disabled", "enabled"):
            disabled = word == "disabled"
        else:
            options += [word, value] if value else [word]
    return Server(at, address, weight, disabled, tuple(options))
