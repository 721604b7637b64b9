"""
Asking whether something answers: http, https, tcp, a unix socket, the process of a pid file. Shell.

For `pyconfd probe`, which keepalived and Nagios start every second or two: only `socket` is
imported, and `ssl` for https. The checks of registered members are in
registration/registrar/probes.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any, NamedTuple

KINDS = ("http", "https", "tcp", "unix", "pid")
#: Of an answer no more than this is looked at.
_MOST_BYTES = 1024 * 1024
_HEAD_BYTES = 64 * 1024
_REDIRECTS = 5


class Target(NamedTuple):
    """
    What is asked. host, port: of http, https and tcp. path: of the URL with its query, of the unix
    socket, of the pid file. name: what the process of a pid file must be called, "" for anything.
    """

    kind: str
    text: str
    host: str = ""
    port: int = 0
    path: str = ""
    name: str = ""


class Expected(NamedTuple):
    """
    What a good answer is. statuses: ranges of HTTP status, both ends included. expect: text that
    the answer holds. host: sent as the Host header. follow: go where a redirect leads. verify: the
    certificate must be good for the host.
    """

    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
    expect: str = ""
    host: str = ""
    follow: bool = False
    verify: bool = False


class ProbeAnswer(NamedTuple):
    """good: whether it is as wanted. what: what was seen, in a few words."""

    good: bool
    what: str


def parse_target(text: str) -> Target:
    """A target from an operator's words. Raises ValueError with what is wrong."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        raise ValueError(f"is none of {', '.join(f'{each}:' for each in KINDS)}")
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
        raise ValueError(f"is no absolute path: write {kind}:/path")
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


def ask(target: Target, wanted: Expected, timeout_s: float) -> ProbeAnswer:
    """
    Ask once. Looking up a name is not bounded by the timeout; whoever needs that waits for the
    answer of a thread. Does not raise.
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


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _connect(target: Target, deadline: float) -> socket.socket:
    if target.kind != "unix":
        # as bytes: the codec for international names takes 2 ms to import
        host: Any = target.host.encode() if target.host.isascii() else target.host
        return socket.create_connection((host, target.port), timeout=_left_s(deadline))
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(_left_s(deadline))
        stream.connect(target.path)
    except OSError:
        stream.close()
        raise
    return stream


def _ask_stream(target: Target, wanted: Expected, deadline: float) -> ProbeAnswer:
    """Connecting is the answer, or what the other side says first when a text is expected."""
    with _connect(target, deadline) as stream:
        if not wanted.expect:
            return ProbeAnswer(True, "accepts connections")
        read, expect = b"", wanted.expect.encode()
        while expect not in read and len(read) < _HEAD_BYTES:
            stream.settimeout(_left_s(deadline))
            part = stream.recv(4096)
            if not part:
                return ProbeAnswer(False, f"did not say {wanted.expect!r}")
            read += part
    return ProbeAnswer(expect in read, f"says {wanted.expect!r}")


def _ask_http(target: Target, wanted: Expected, deadline: float) -> ProbeAnswer:
    """Redirects are an answer like any other, unless they are to be followed."""
    for _ in range(_REDIRECTS):
        status, head, body = _fetch(target, wanted, deadline)
        place = _header(head, b"location")
        if not (wanted.follow and 300 <= status < 400 and place):
            break
        target = _redirected(target, place)
        wanted = wanted._replace(host="" if "://" in place else wanted.host)
    else:
        return ProbeAnswer(False, f"redirects more than {_REDIRECTS} times")
    good = any(first <= status <= last for first, last in wanted.statuses)
    what = f"answered {status}"
    if good and wanted.expect:
        good = wanted.expect.encode() in body
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


def _fetch(target: Target, wanted: Expected, deadline: float) -> tuple[int, bytes, bytes]:
    """Status, head and body; the body only where a text is expected in it."""
    name = f"[{target.host}]" if ":" in target.host else target.host
    usual = {"http": 80, "https": 443}[target.kind]
    host = wanted.host or (name if target.port == usual else f"{name}:{target.port}")
    request = (
        f"GET {target.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pyconfd-probe\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        stream: Any = stack.enter_context(_connect(target, deadline))
        if target.kind == "https":
            stream = stack.enter_context(_tls(stream, wanted, target.host))
        stream.settimeout(_left_s(deadline))
        stream.sendall(request.encode())
        head, rest = _until(stream, b"\r\n\r\n", _HEAD_BYTES, deadline)
        words = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if not head.startswith(b"HTTP/") or len(words) < 2 or not words[1].isdigit():
            raise ValueError("did not answer in HTTP")
        body = _body(stream, head, rest, deadline) if wanted.expect else b""
    return int(words[1]), head, body


def _until(stream: Any, mark: bytes, most: int, deadline: float) -> tuple[bytes, bytes]:
    """What comes before the mark and what was read behind it."""
    read = b""
    while mark not in read and len(read) < most:
        stream.settimeout(_left_s(deadline))
        part = stream.recv(16384)
        if not part:
            break
        read += part
    before, _, behind = read.partition(mark)
    return before, behind


def _body(stream: Any, head: bytes, read: bytes, deadline: float) -> bytes:
    length = _header(head, b"content-length")
    most = min(int(length), _MOST_BYTES) if length.isdigit() else _MOST_BYTES
    chunked = "chunked" in _header(head, b"transfer-encoding").lower()
    while len(read) < most and not (chunked and read.endswith(b"0\r\n\r\n")):
        stream.settimeout(_left_s(deadline))
        part = stream.recv(65536)
        if not part:
            break
        read += part
    return _joined(read) if chunked else read


def _joined(chunks: bytes) -> bytes:
    """A chunked body (RFC 9112, 7.1) without its sizes, as far as it is whole."""
    body = b""
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        body += chunks[:length]
        chunks = chunks[length + 2 :]
    return body


def _header(head: bytes, name: bytes) -> str:
    """The value of a header; name in lower case."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return ""


def _tls(stream: socket.socket, wanted: Expected, host: str) -> Any:
    import ssl

    from pyconfd.system.tls import verifying

    context = verifying()
    if not wanted.verify:  # whether it answers is asked, not who it is
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(stream, server_hostname=wanted.host or host)


def _ask_pid(target: Target) -> ProbeAnswer:
    """An empty file is bad; so is a process of another name: pids are used again."""
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
