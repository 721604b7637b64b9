"""
A small HTTP listener for metrics and health, on threads of its own. Shell.

It has no state and computes nothing: each page is a function that is called for each request. A
daemon that cannot listen can still do its work, so that is only logged, and listening is tried
again.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from types import MappingProxyType
from typing import Any, NamedTuple

from pyconfd.observe import log

#: So many clients at once; one more takes the place of the one that has been there longest.
MOST_CLIENTS = 32
#: What a client has for sending its request, and then for taking the answer, seconds.
REQUEST_S = 5.0
#: Between two tries to listen on an address that is taken, or not there yet.
RETRY_S = 5.0


class HttpResponse(NamedTuple):
    """
    An answer.

    kind: the content type.
    headers: further ones.
    """

    status: int
    kind: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class Listener:
    """pages: path -> the function that makes the page; called on any thread, may take a while."""

    def __init__(
        self,
        host: str,
        port: int,
        pages: Mapping[str, Callable[[], HttpResponse]],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._address = (host, port)
        self._pages = pages
        self._retry_s = retry_s
        self._server: HTTPServer | None = None
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        """The port on which it listens; 0 when it does not."""
        return int(self._server.server_address[1]) if self._server else 0

    def __enter__(self) -> Listener:
        if trouble := self._listen():
            address = ":".join(map(str, self._address))
            log.error(f"no metrics: cannot listen on {address}: {trouble}; trying again")
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        if self._server:
            with suppress(OSError):
                self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._thread.join(1.0)
        if self._server:
            self._server.server_close()

    def _listen(self) -> str:
        """Try to listen. Returns why that failed; "" when it worked."""
        try:
            self._server = _Server(self._address, _handler(self._pages))
        except OSError as error:
            return error.strerror or str(error)
        log.info("metrics and health are served", port=self.port)
        return ""

    def _serve(self) -> None:
        """
        Serve requests. serve_forever is not used: it wakes up twice a second to see whether to end.
        """
        while not self._server and not self._stopped.wait(self._retry_s):
            self._listen()
        while self._server and not self._stopped.is_set():
            self._server.handle_request()


class _UntilDeadline(io.RawIOBase):
    """Reads what a client sends until its deadline, however few bytes come at a time."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._deadline = time.monotonic() + REQUEST_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._client.settimeout(left_s)
        try:
            return self._client.recv_into(buffer)
        finally:
            self._client.settimeout(REQUEST_S)


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 4 * MOST_CLIENTS
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._clients: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without the base class's look-up of the own host name, which is never used."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a request on a thread of its own; their number is limited."""
        with self._lock:
            full = len(self._clients) >= 2 * MOST_CLIENTS  # they wait for pages, not for clients
            if not full:
                self._clients[request] = None
            late = list(self._clients)[:-MOST_CLIENTS]
        for client in late:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The top of that thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._clients.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log errors, unless a client has just gone away."""
        import sys

        if not isinstance(sys.exception(), OSError):
            log.LOG.exception("an HTTP request failed because of a fault in pyconfd")


def _handler(pages: Mapping[str, Callable[[], HttpResponse]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_S
        server_version, sys_version = "pyconfd", ""

        def setup(self) -> None:
            super().setup()
            self.rfile.close()
            self.rfile = io.BufferedReader(_UntilDeadline(self.connection))

        def do_GET(self) -> None:
            page = pages.get(self.path.split("?")[0])
            if page is None:
                names = "\n".join(pages)
                self._respond(HttpResponse(404, "text/plain", f"there are\n{names}\n".encode()))
            else:
                self._respond(page())

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def _respond(self, page: HttpResponse) -> None:
            self.send_response(page.status)
            self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(page.body)))
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(page.body)

        def log_message(self, *words: object) -> None:
            """Requests are not logged: there is one every few seconds."""

    return Handler
