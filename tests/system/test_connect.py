"""Requests to peers that send a byte now and then, or what is not HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pyconfd.system.connect import Address, connect, http_get

#: More than a busy machine needs.
SLACK_S = 3.0


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does this with each client; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client = server.accept()[0]
                    threading.Thread(target=one, args=(client,), daemon=True).start()

        def one(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                serve(client)

        threading.Thread(target=run, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def drip(text: bytes = b"HTTP/1.1 200 OK\r\nX: ") -> Callable[[socket.socket], None]:
    """Sends this, then a byte each tenth of a second for a minute."""

    def serve(client: socket.socket) -> None:
        client.sendall(text)
        for _ in range(600):
            client.sendall(b"x")
            time.sleep(0.1)

    return serve


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK"]
)
def test_a_peer_that_drips_is_given_up_at_the_deadline(begun: bytes) -> None:
    """Wherever in its answer it does that."""
    with serving(drip(begun)) as port:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            ask(port, started + 0.5)
        assert time.monotonic() - started < 0.5 + SLACK_S


def test_a_handshake_that_drips_is_given_up_at_the_deadline() -> None:
    """TLS has a deadline of its own in Python, of each read."""
    with serving(drip(b"\x16\x03\x03\x40\x00")) as port:
        started = time.monotonic()
        with pytest.raises(OSError):
            connect(Address("127.0.0.1", port, tls="x"), started + 0.5)
        assert time.monotonic() - started < 0.5 + SLACK_S


@pytest.mark.parametrize("size", [b"-2", b"-1", b"+5", b"0x5", b"f" * 5000, b"1_0", b"\xb2", b""])
def test_sizes_of_chunks_are_digits(size: bytes) -> None:
    """And nothing else that Python takes for a number."""

    def serve(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"2\r\nok\r\n" + (size + b"\r\n") * 10_000)

    with serving(serve) as port:
        started = time.monotonic()
        assert ask(port, started + 30) == b"ok"
        assert time.monotonic() - started < SLACK_S


def test_a_name_that_is_looked_up_for_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library asks each name server for as long as it likes."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1) or [])
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        connect(Address("slow.example", 80), started + 0.3)
    assert time.monotonic() - started < SLACK_S


def ask(port: int, deadline: float) -> bytes:
    """The body of an answer."""
    with connect(Address("127.0.0.1", port), deadline) as stream:
        return http_get(stream, "/", "x", deadline, most_body=65536).body
