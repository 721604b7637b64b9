"""A backend of the demo: answers every request with its name. `backend.py NAME PORT PIDFILE`."""

from __future__ import annotations

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType


class BackendHandler(BaseHTTPRequestHandler):
    """The name of the backend as text."""

    name = ""
    # An answer goes out whole: a backend that is killed has not begun one.
    wbufsize = -1

    def do_GET(self) -> None:
        """Any path."""
        body = f"{self.name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nothing: the timeline is what people read."""


def main() -> None:
    """Serve until SIGTERM."""
    name, port, pidfile = sys.argv[1:]
    BackendHandler.name = name
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), BackendHandler)
    with open(pidfile, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    signal.signal(signal.SIGTERM, _leave)
    server.serve_forever(poll_interval=60)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
