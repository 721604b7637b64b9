"""`pyconfd register` and the backends it publishes, as child processes of a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.pyconfd import Daemon

# A backend: answers with its name; /health says 503 while the file named in argv[3] is there.
BACKEND = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out whole: one that is stopped has begun no answer
    def do_GET(self):
        sick = self.path == "/health" and len(sys.argv) > 3 and os.path.exists(sys.argv[3])
        body = sys.argv[2].encode()
        self.send_response(503 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
server.serve_forever()
"""


def backend(port: int, name: str = "b", sick: Path | None = None) -> list[str]:
    """The command line of a backend. It leaves with status 7 on SIGTERM."""
    return [sys.executable, "-c", BACKEND, str(port), name, *([str(sick)] if sick else [])]


@contextlib.contextmanager
def registered(
    folder: Path,
    etcd: PrivateEtcd | str,
    words: Sequence[str],
    command: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Daemon]:
    """A running `pyconfd register WORDS [-- COMMAND]`, ended with SIGTERM."""
    node = etcd if isinstance(etcd, str) else etcd.endpoint
    log = folder / f"register-{len(list(folder.glob('register-*')))}.log"
    argv = [sys.executable, "-m", "pyconfd", "register", *words, "--node", node]
    argv += ["--", *command] if command else []
    with log.open("wb") as stream:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
        )
    daemon = Daemon(process, log)
    try:
        yield daemon
    finally:
        daemon.end()
