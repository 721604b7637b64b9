"""
One connection and one request, with a deadline: TCP, a unix socket, TLS, HTTP. Shell.

For `pyconfd probe`, the checks of registered members and the daemons that confirm a reload.
keepalived starts `pyconfd probe` every second or two, so little is imported, and `ssl` only for
TLS. A deadline is a time of time.monotonic(); after it TimeoutError is raised.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

_HEAD_BYTES = 64 * 1024
_LINE_BYTES = 4096
_LONGEST_SIZE, _DIGITS = 16, b"0123456789abcdefABCDEF"


class Address(NamedTuple):
    """
    Where to connect: to the unix socket when there is one.

    host: a name or an address, without brackets.
    unix: path of a socket.
    tls: name of the server, for SNI and its certificate; "" for no TLS.
    verify: whether the certificate must be good for that name.
    """

    host: str = ""
    port: int = 0
    unix: str = ""
    tls: str = ""
    verify: bool = True


class Response(NamedTuple):
    """
    What a server answered.

    status: of HTTP.
    reason: the text after the status.
    head: the status line and the headers, as far as they were read.
    body: its beginning; empty unless requested.
    """

    status: int
    reason: str
    head: bytes
    body: bytes

    def header(self, name: bytes) -> str:
        """The value of a header, "" when it is not there; name in lower case."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name:
                return value.strip().decode("latin-1")
        return ""


def left_s(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def connect(address: Address, deadline: float) -> Any:
    """A connected socket. Raises OSError."""
    stream = _plain(address, deadline)
    try:
        return _encrypted(stream, address, deadline) if address.tls else stream
    except BaseException:
        stream.close()
        raise


def _plain(address: Address, deadline: float) -> socket.socket:
    if address.unix:
        return _connected(socket.AF_UNIX, address.unix, deadline)
    problem = OSError("getaddrinfo returns an empty list")
    for family, at in _looked_up(address.host, address.port, deadline):
        try:
            return _connected(family, at, deadline)
        except OSError as error:
            problem = error
    raise problem


def _connected(family: int, at: Any, deadline: float) -> socket.socket:
    stream = socket.socket(family)
    try:
        stream.settimeout(left_s(deadline))
        stream.connect(at)
    except OSError:
        stream.close()
        raise
    return stream


def _looked_up(host: str, port: int, deadline: float) -> list[tuple[int, Any]]:
    """Family and address of each of a host's addresses. The C library has no deadline."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, (host, port))]
    answers: list[Any] = []

    def look_up() -> None:
        # as bytes: the codec for international names takes 2 ms to import
        name: Any = host.encode() if host.isascii() else host
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
            answers.append([(family, at) for family, *_, at in found])
        except (OSError, UnicodeError) as error:
            answers.append(error)

    thread = threading.Thread(target=look_up, name="look-up", daemon=True)
    thread.start()
    thread.join(left_s(deadline))
    if not answers:
        raise TimeoutError("timed out")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return list(answers[0])


def _encrypted(stream: socket.socket, address: Address, deadline: float) -> Any:
    import ssl

    from pyconfd.system.tls import verifying

    context = verifying()
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    stream.settimeout(left_s(deadline))  # of the whole handshake
    return context.wrap_socket(stream, server_hostname=address.tls)


def receive(
    stream: Any, deadline: float, enough: Callable[[bytearray], bool], begun: bytes = b""
) -> bytes:
    """Read from the other side, after what was already read, until it is `enough` or it closes."""
    read = bytearray(begun)
    while not enough(read):
        stream.settimeout(left_s(deadline))
        part = stream.recv(65536)
        if not part:
            break
        read += part
    return bytes(read)


def http_get(
    stream: Any,
    path: str,
    host: str,
    deadline: float,
    *,
    agent: str = "pyconfd",
    referer: str = "",
    most_body: int = 0,
    status_only: bool = False,
) -> Response:
    """
    Request a page; redirects are not followed.

    host: the Host header. most_body: how many bytes of the body are of interest. status_only: wait
    for the status line and no more. Raises OSError, and ValueError when the answer is not HTTP.
    """
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n"
    head += f"Referer: {referer}\r\n" if referer else ""
    _send(stream, head, b"", deadline)
    return _response(stream, deadline, most_body, status_only=status_only)


def http_post(
    stream: Any, path: str, host: str, deadline: float, *, form: str, referer: str
) -> Response:
    """Send an encoded form. Returns the answer without its body. Raises like `http_get`."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pyconfd\r\nReferer: {referer}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(form.encode())}\r\n"
    )
    _send(stream, head, form.encode(), deadline)
    return _response(stream, deadline, 0, status_only=False)


def _send(stream: Any, head: str, body: bytes, deadline: float) -> None:
    stream.settimeout(left_s(deadline))
    stream.sendall(f"{head}Accept: */*\r\nConnection: close\r\n\r\n".encode() + body)


def _response(stream: Any, deadline: float, most_body: int, *, status_only: bool) -> Response:
    mark, most = (b"\n", _LINE_BYTES) if status_only else (b"\r\n\r\n", _HEAD_BYTES)
    read = receive(stream, deadline, lambda read: mark in read or len(read) >= most)
    head, _, rest = read.partition(mark)
    line = head.partition(b"\n")[0].strip()
    version, status, reason = (*line.split(b" ", 2), b"", b"")[:3]
    if not version.startswith(b"HTTP/") or not status.isdigit():
        raise ValueError("did not answer in HTTP")
    response = Response(int(status), reason.decode("latin-1"), head, b"")
    if not most_body:
        return response
    return response._replace(body=_body(stream, response, rest, most_body, deadline))


def _body(stream: Any, response: Response, begun: bytes, most: int, deadline: float) -> bytes:
    length = response.header(b"content-length")
    wanted = min(int(length), most) if length.isdigit() else most
    chunked = "chunked" in response.header(b"transfer-encoding").lower()

    def enough(read: bytearray) -> bool:
        return len(read) >= wanted or (chunked and read.endswith(b"0\r\n\r\n"))

    body = receive(stream, deadline, enough, begun)
    return _joined(body) if chunked else body


def _joined(chunks: bytes) -> bytes:
    """A chunked body (RFC 9112, 7.1) without the chunk sizes, as far as it is complete."""
    parts: list[bytes] = []
    at = 0
    while (end := chunks.find(b"\r\n", at, at + _LINE_BYTES)) >= 0:
        size = chunks[at:end].split(b";")[0].strip()
        if not size or size.strip(_DIGITS) or len(size) > _LONGEST_SIZE:
            break
        length = int(size, 16)
        parts.append(chunks[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return b"".join(parts)
