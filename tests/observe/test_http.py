"""The listener for metrics and health: real sockets on 127.0.0.1."""

from __future__ import annotations

import contextlib
import queue
import socket
import time
from collections.abc import Iterator

import pytest

from pyconfd.daemon.control_socket import ControlRequest
from pyconfd.daemon.http_endpoints import listener
from pyconfd.observe.http import MOST_CLIENTS, REQUEST_S, HttpResponse, Listener
from tests.support.http import ask
from tests.support.waiting import wait_until


@pytest.fixture
def served() -> Iterator[Listener]:
    pages = {
        "/a": lambda: HttpResponse(200, "text/plain", b"hello"),
        "/b": lambda: HttpResponse(503, "x/y", b""),
    }
    with Listener("127.0.0.1", 0, pages) as found:
        yield found


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    answer = ask(port, path, method=method)
    return answer.status, answer.headers["content-type"], answer.body.encode()


def test_a_page_is_what_its_function_makes(served: Listener) -> None:
    """Status, type and body; HEAD without the body; a question mark changes nothing."""
    assert get(served.port, "/a") == (200, "text/plain", b"hello")
    assert get(served.port, "/a?x=1") == (200, "text/plain", b"hello")
    assert get(served.port, "/a", "HEAD") == (200, "text/plain", b"")
    assert get(served.port, "/b")[0] == 503


def test_what_is_not_there_is_said(served: Listener) -> None:
    """With what there is; other methods are refused."""
    assert get(served.port, "/") == (404, "text/plain", b"there are\n/a\n/b\n")
    assert get(served.port, "/a", "POST")[0] == 501


@contextlib.contextmanager
def clients(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections."""
    opened = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


def test_clients_that_say_nothing_keep_nobody_out(served: Listener) -> None:
    """One more takes the place of the one that has been there longest."""
    with clients(served.port, 3 * MOST_CLIENTS) as idle:
        assert get(served.port, "/a")[0] == 200
        assert idle[0].recv(1) == b""


def test_clients_that_send_a_byte_now_and_then_have_little_time(served: Listener) -> None:
    """It is the whole request that counts, and others are answered meanwhile."""
    begun = time.monotonic()
    with clients(served.port, MOST_CLIENTS) as dripping:
        while dripping:
            assert get(served.port, "/a")[0] == 200
            for client in list(dripping):
                try:
                    client.sendall(b"G")
                except OSError:
                    client.close()
                    dripping.remove(client)
            assert time.monotonic() - begun < REQUEST_S + 20
            time.sleep(0.2)
    assert time.monotonic() - begun > REQUEST_S - 1


def test_an_address_that_is_taken_is_said_and_the_daemon_goes_on(
    served: Listener,
) -> None:
    """Metrics are not worth a daemon that does not start."""
    with Listener("127.0.0.1", served.port, {}) as second:
        assert second.port == 0


def test_an_address_that_becomes_free_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    """Reported once, tried again, and reported when it is had; leaving does not wait for it."""
    pages = {"/a": lambda: HttpResponse(200, "text/plain", b"hello")}
    with contextlib.ExitStack() as stack, caplog.at_level("INFO", logger="pyconfd"):
        first = socket.create_server(("127.0.0.1", 0))
        port = first.getsockname()[1]
        stack.callback(first.close)
        second = stack.enter_context(Listener("127.0.0.1", port, pages, retry_s=0.05))
        third = stack.enter_context(Listener("127.0.0.1", port, pages))
        assert (second.port, third.port) == (0, 0)
        first.close()
        assert wait_until(lambda: second.port) == port
        assert get(port, "/a")[0] == 200
    said = [record.getMessage() for record in caplog.records]
    assert sum("cannot listen" in line and "trying again" in line for line in said) == 2
    assert said.count("metrics and health are served") == 1


def test_a_loop_that_is_stuck_is_reported_in_time() -> None:
    """The page does not wait longer than it was told."""
    inbox: queue.SimpleQueue[ControlRequest] = queue.SimpleQueue()
    with listener("127.0.0.1", 0, inbox.put, answer_s=0.05) as found:
        assert get(found.port, "/health")[0] == 503
        assert get(found.port, "/metrics")[2].startswith(b"pyconfd does not answer")
    assert inbox.get_nowait().question == {"do": "measure"}
