"""
Looks up SRV records at the system's name servers; Python's library cannot.

One query over UDP, and over TCP when the answer is too long (RFC 1035, 2782). Shell.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass

from pyconfd.system.connect import left_s, receive

TIMEOUT_S = 2.0
#: As many as the C library asks.
MOST_SERVERS = 3
_SRV, _IN, _NO_SUCH_NAME = 33, 1, 3
_QUESTION_END = struct.pack(">HH", _SRV, _IN)


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """
    One server of a service.

    target: host name with its final dot, as in the DNS.
    port: of the service there.
    priority: the lowest is to be used first.
    weight: the share of the load among records of one priority.
    """

    target: str
    port: int
    priority: int
    weight: int


def srv(
    name: str, servers: tuple[str, ...] = (), timeout_s: float = TIMEOUT_S * MOST_SERVERS
) -> list[SrvRecord]:
    """
    The records of `name`, lowest priority first, then highest weight; empty when there are none.

    servers: `address` or `address:port` (IPv6 without port), default those of /etc/resolv.conf.
    timeout_s: for all of them together; each has at most TIMEOUT_S.
    Raises OSError with the reason when no server answers or the name is not valid.
    """
    try:
        question = _question(name)
    except UnicodeError as error:
        raise OSError(f"{name} is not a host name: {error}") from error
    problem = "there is no name server in /etc/resolv.conf"
    end = time.monotonic() + timeout_s
    for server in (servers or _system_servers())[:MOST_SERVERS]:
        deadline = min(end, time.monotonic() + TIMEOUT_S)
        try:
            records = _parse(_query(server, question, deadline), question)
        except (OSError, struct.error, IndexError, ValueError) as error:
            problem = (
                f"{server}: {getattr(error, 'strerror', None) or str(error) or 'no answer in time'}"
            )
            continue
        return sorted(records, key=lambda each: (each.priority, -each.weight))
    raise OSError(f"the DNS look-up of {name} failed: {problem}")


def _system_servers(path: str = "/etc/resolv.conf") -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return ()
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")


def _question(name: str) -> bytes:
    labels = b""
    for part in name.rstrip(".").split("."):
        label = part.encode("ascii") if part.startswith("_") else part.encode("idna")
        if not label:
            raise UnicodeError("it has an empty label")
        labels += bytes([len(label)]) + label
    # A fresh number, recursion desired, one question.
    header = os.urandom(2) + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0)
    return header + labels + b"\0" + _QUESTION_END


def _query(server: str, question: bytes, deadline: float) -> bytes:
    host, separator, port = server.partition(":") if server.count(":") == 1 else (server, "", "")
    address = (host, int(port) if separator else 53)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(left_s(deadline))
        udp.connect(address)
        udp.send(question)
        answer = udp.recv(65535)
    if not answer[2] & 0x02:
        return answer
    with socket.create_connection(address, left_s(deadline)) as tcp:
        tcp.sendall(struct.pack(">H", len(question)) + question)
        read = receive(tcp, deadline, lambda read: len(read) >= 2)
        (size,) = struct.unpack_from(">H", read)
        return receive(tcp, deadline, lambda read: len(read) >= 2 + size, read)[2 : 2 + size]


def _parse(answer: bytes, question: bytes) -> list[SrvRecord]:
    _, flags, _, count = struct.unpack_from(">HHHH", answer)
    if answer[:2] != question[:2] or not flags & 0x8000:
        raise ValueError("the answer to another query")
    if flags & 0x0F == _NO_SUCH_NAME:
        return []
    if flags & 0x0F:
        raise ValueError(f"the name server failed (code {flags & 0x0F})")
    offset = len(question)
    records = []
    for _ in range(count):
        _, offset = _name(answer, offset)
        kind, _, _, size = struct.unpack_from(">HHIH", answer, offset)
        offset += 10
        if kind == _SRV:
            priority, weight, port = struct.unpack_from(">HHH", answer, offset)
            target, _ = _name(answer, offset + 6)
            records.append(SrvRecord(target + ".", port, priority, weight))
        offset += size
    return records


def _name(answer: bytes, offset: int) -> tuple[str, int]:
    """
    The name at an offset, and the offset after it; with compression, parts of it are elsewhere.
    """
    labels: list[str] = []
    after = 0
    for _ in range(128):
        size = answer[offset]
        if size >= 0xC0:
            after = after or offset + 2
            offset = struct.unpack_from(">H", answer, offset)[0] & 0x3FFF
        elif size:
            labels.append(answer[offset + 1 : offset + 1 + size].decode("ascii", "replace"))
            offset += 1 + size
        else:
            return ".".join(labels), after or offset + 1
    raise ValueError("a name that never ends")
