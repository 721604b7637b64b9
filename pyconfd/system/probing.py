"""
Probes whether something answers: http, https, tcp, a unix socket, the process of a pid file. Shell.

For `pyconfd probe`, which keepalived and Nagios start every second or two; so little is imported.
The checks of registered members are in registration/registrar/probes.py.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from pyconfd.system.connect import Address, Response, connect, http_get, receive

KINDS = ("http", "https", "tcp", "unix", "pid")
#: Of an answer no more bytes than these are read.
_MOST_BODY = 1024 * 1024
_MOST_GREETING = 64 * 1024
_REDIRECTS = 5


class Target(NamedTuple):
    """
    What is probed.

    kind: one of KINDS.
    text: as the operator wrote it.
    host, port: of http, https and tcp.
    path: of the URL with its query, of the unix socket, of the pid file.
    name: what the process of a pid file must be called, "" for anything.
    """

    kind: str
    text: str
    host: str = ""
    port: int = 0
    path: str = ""
    name: str = ""


class Expected(NamedTuple):
    """
    What a good answer is.

    statuses: ranges of HTTP status, both ends included.
    expect: text that the answer holds.
    host: sent as the Host header.
    follow: go where a redirect leads.
    verify: the certificate must be good for the host.
    """

    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
    expect: str = ""
    host: str = ""
    follow: bool = False
    verify: bool = False


class ProbeAnswer(NamedTuple):
    """
    The answer of one probe.

    good: whether it is as expected.
    what: what was seen, in a few words.
    """

    good: bool
    what: str


def parse_target(text: str) -> Target:
    """A target from an operator's words. Raises ValueError with what is wrong."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        *most, last = (f"{each}:" for each in KINDS)
        raise ValueError(f"does not begin with {', '.join(most)} or {last}")
    if kind in ("unix", "pid"):
        return _file_target(kind, text, rest.removeprefix("//"))
    if not rest.startswith("//"):
        raise ValueError(f"has no host: write {kind}://host")
    authority, slash, path = rest[2:].partition("/")
    authority, mark, query = authority.partition("?")
    if "@" in authority:
        raise ValueError("holds a user name; every process can read a command line")
    host, port = _host_port(authority, {"http": 80, "https": 443}.get(kind, 0))
    path = f"/{mark}{query}{path}" if mark else f"/{path}" if slash else "/"
    if kind == "tcp" and path != "/":
        raise ValueError("has something after the port")
    if not path.isascii() or not path.isprintable() or " " in path:
        raise ValueError("holds a character that no URL may hold; write it as %XX")
    return Target(kind, text, host, port, path)


def _file_target(kind: str, text: str, rest: str) -> Target:
    path, name = rest, ""
    if kind == "pid":
        path, mark, query = rest.partition("?")
        word, _, name = query.partition("=")
        if mark and (word != "name" or not name):
            raise ValueError("has something after the path that is not ?name=NAME")
    if not path.startswith("/"):
        raise ValueError(f"is not an absolute path: write {kind}:/path")
    return Target(kind, text, path=path, name=name)


def _host_port(authority: str, default_port: int) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port`."""
    host, port = authority, ""
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        if port and not port.startswith(":"):
            raise ValueError("has something between ] and the port")
        port = port[1:]
    elif ":" in authority:
        host, _, port = authority.rpartition(":")
        if ":" in host:
            raise ValueError("is an IPv6 address without brackets: write [::1]:port")
    if not host:
        raise ValueError("has no host")
    if not port and not default_port:
        raise ValueError("has no port")
    if port and not (port.isdigit() and port.isascii() and 0 < int(port) < 65536):
        raise ValueError(f"has no port from 1 to 65535: {port}")
    return host, int(port or default_port)


def probe(target: Target, wanted: Expected, timeout_s: float) -> ProbeAnswer:
    """
    Probe once; does not raise. The timeout does not bound the look-up of a name; a caller that
    needs that uses a thread.
    """
    deadline = time.monotonic() + timeout_s
    try:
        match target.kind:
            case "http" | "https":
                return _ask_http(target, wanted, deadline)
            case "pid":
                return _ask_pid(target)
            case _:
                return _ask_stream(target, wanted, deadline)
    except TimeoutError:
        return ProbeAnswer(False, f"no answer within {timeout_s:g} s")
    except (OSError, ValueError) as error:
        return ProbeAnswer(False, _reason(error))


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[0].lower() + text[1:]


def _ask_stream(target: Target, wanted: Expected, deadline: float) -> ProbeAnswer:
    """Connect; if a text is expected, also read what the other side sends first."""
    unix = target.path if target.kind == "unix" else ""
    with connect(Address(target.host, target.port, unix), deadline) as stream:
        if not wanted.expect:
            return ProbeAnswer(True, "accepts connections")
        expect = wanted.expect.encode()
        read = receive(stream, deadline, lambda read: expect in read or len(read) >= _MOST_GREETING)
    good = expect in read
    return ProbeAnswer(good, f"{'says' if good else 'did not say'} {wanted.expect!r}")


def _ask_http(target: Target, wanted: Expected, deadline: float) -> ProbeAnswer:
    """Request the page; a redirect is an answer like any other, unless `follow` is set."""
    for _ in range(_REDIRECTS):
        response = _get(target, wanted, deadline)
        status, place = response.status, response.header(b"location")
        if not (wanted.follow and 300 <= status < 400 and place):
            break
        target = _redirected(target, place)
        wanted = wanted._replace(host="" if "://" in place else wanted.host)
    else:
        return ProbeAnswer(False, f"redirects more than {_REDIRECTS} times")
    good = any(first <= status <= last for first, last in wanted.statuses)
    what = f"answered {status}"
    if good and wanted.expect:
        good = wanted.expect.encode() in response.body
        what += f" with{'' if good else 'out'} {wanted.expect!r}"
    return ProbeAnswer(good, what)


def _redirected(target: Target, place: str) -> Target:
    if place.startswith("/") and not place.startswith("//"):
        return target._replace(path=place)
    where = f"{target.kind}:{place}" if place.startswith("//") else place
    found = parse_target(where)
    if found.kind not in ("http", "https"):
        raise ValueError(f"redirects to {found.kind}:")
    return found


def _get(target: Target, wanted: Expected, deadline: float) -> Response:
    """Request a page; its body is read only when a text is expected in it."""
    name = f"[{target.host}]" if ":" in target.host else target.host
    usual = {"http": 80, "https": 443}[target.kind]
    host = wanted.host or (name if target.port == usual else f"{name}:{target.port}")
    tls = (wanted.host or target.host) if target.kind == "https" else ""
    address = Address(target.host, target.port, tls=tls, verify=wanted.verify)
    most = _MOST_BODY if wanted.expect else 0
    with connect(address, deadline) as stream:
        return http_get(stream, target.path, host, deadline, agent="pyconfd-probe", most_body=most)


def _ask_pid(target: Target) -> ProbeAnswer:
    """
    Check the process. An empty file is bad, and so is a process of another name, since pids are
    reused.
    """
    with open(target.path, encoding="ascii", errors="replace") as file:
        text = file.read(32).strip()
    if not text.isdigit():
        return ProbeAnswer(False, "holds no process id" if text else "is empty")
    try:
        with open(f"/proc/{text}/stat", encoding="utf-8", errors="replace") as file:
            begin, _, rest = file.read().rpartition(")")
        with open(f"/proc/{text}/cmdline", encoding="utf-8", errors="replace") as file:
            first = file.read().split("\0")[0]
    except (FileNotFoundError, ProcessLookupError):
        return ProbeAnswer(False, f"process {text} does not run")
    if rest.split()[0] in "ZX":
        return ProbeAnswer(False, f"process {text} has ended")
    called = begin.partition("(")[2]
    # the kernel keeps 15 letters; nginx and others write a sentence over their first argument
    names = {called, os.path.basename(first.partition(" ")[0].rstrip(":"))}
    if target.name and target.name not in names and target.name[:15] != called:
        return ProbeAnswer(False, f"process {text} is {called}, not {target.name}")
    return ProbeAnswer(True, f"process {text} runs as {called}")
