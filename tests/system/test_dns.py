"""SRV look-ups against a name server of our own."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from pyconfd.system import dns

RECORDS = ((20, 1, 80, b"\x01b\xc0\x0c"), (10, 1, 81, b"\x01a\x04test\x00"), (10, 9, 82, b"\x00"))


def answer(
    question: bytes, *, truncated: bool = False, code: int = 0, records: tuple = RECORDS
) -> bytes:
    flags = 0x8180 | (0x0200 if truncated else 0) | code
    body = b""
    for priority, weight, port, target in () if truncated else records:
        data = struct.pack(">HHH", priority, weight, port) + target
        body += b"\xc0\x0c" + struct.pack(">HHIH", 33, 1, 60, len(data)) + data
    count = 0 if truncated else len(records)
    return question[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + question[12:] + body


class NameServer:
    """Answers one name in each way a server can."""

    def __init__(self) -> None:
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.bind(("127.0.0.1", 0))
        self.tcp.listen()
        self.udp.bind(self.tcp.getsockname())
        self.threads = [threading.Thread(target=run) for run in (self.serve_udp, self.serve_tcp)]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.udp.getsockname()[1]}"

    def serve_udp(self) -> None:
        while (packet := self.udp.recvfrom(4096))[0] != b"stop":
            question, peer = packet
            if b"silent" in question:
                continue
            reply = answer(question, truncated=b"long" in question)
            if b"absent" in question:
                reply = answer(question, code=3, records=())
            if b"broken" in question:
                reply = answer(question, code=2, records=())
            if b"cut" in question:
                reply = reply[:-4]
            self.udp.sendto(reply, peer)

    def serve_tcp(self) -> None:
        while True:
            stream, _ = self.tcp.accept()
            with stream:
                size = stream.recv(2)
                if not size:
                    return
                reply = answer(stream.recv(4096))
                stream.sendall(struct.pack(">H", len(reply)) + reply)

    def stop(self) -> None:
        host, port = self.udp.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as poke:
            poke.sendto(b"stop", (host, port))
        socket.create_connection((host, port)).close()
        for thread in self.threads:
            thread.join(5)
        self.udp.close()
        self.tcp.close()


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    for thread in server.threads:
        thread.start()
    yield server
    server.stop()


@pytest.mark.parametrize("name", ["_web._tcp.example.test", "_web._tcp.long.test."])
def test_records_come_by_priority_and_weight(server: NameServer, name: str) -> None:
    """Over TCP too, where the answer does not fit a datagram."""
    found = dns.srv(name, (server.address,))
    assert [record.port for record in found] == [82, 81, 80]
    assert found[1].target == "a.test."
    assert found[2].target == "b." + name.rstrip(".") + "."


def test_absent_name_has_no_records(server: NameServer) -> None:
    """That is an answer."""
    assert dns.srv("absent.test", (server.address,)) == []


@pytest.mark.parametrize("name", ["broken.test", "cut.test", "no..name", "a" * 64 + ".test"])
def test_no_usable_answer_is_an_error(server: NameServer, name: str) -> None:
    """It says which name."""
    with pytest.raises(OSError, match=name):
        dns.srv(name, (server.address,))


def test_next_server_is_asked(server: NameServer) -> None:
    """When the first is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{free.getsockname()[1]}"
    assert dns.srv("x.test", (closed, server.address))
