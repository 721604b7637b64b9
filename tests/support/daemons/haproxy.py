"""
A running HAProxy of the test's own: master and workers, free ports of 127.0.0.1, ended by its pid.

    haproxy = Haproxy(tmp_path); confdir = laid_out("haproxy", tmp_path, haproxy.places)
    with haproxy.running(): haproxy.process(); haproxy.servers(); haproxy.ask()
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemons.etcd import free_ports
from tests.support.http import ask
from tests.support.waiting import wait_until

PASSWORD = "only-haproxy-knows-this"
CREDENTIALS = {"STATS_USER": "admin", "STATS_PASSWORD": PASSWORD}


def haproxy_program() -> str:
    """haproxy as installed; Debian keeps it out of a user's PATH."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found, "the Debian package haproxy is needed; make test installs it"
    return found


@dataclass(frozen=True)
class Processes:
    """
    `show proc`. reloads: since the start; failed: in a row; workers: pids, current ones only;
    leaving: how many old ones there are.
    """

    master: int
    reloads: int
    failed: int
    workers: tuple[int, ...]
    leaving: int = 0


class Haproxy:
    """HAProxy in master-worker mode, with the sockets and files that the recipe gives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "haproxy"
        self.folder.mkdir(parents=True)
        self.conf = self.folder / "haproxy.cfg"
        self.environ_file = self.folder / "environ"
        self.users = self.folder / "users.cfg"
        self.log = self.folder / "log"
        self.port, self.stats_port = free_ports(2)
        # The path of a socket is short by law of the kernel, and TMPDIR may be long. The folder is
        # there while it runs.
        self._sockets = Path("/tmp") / f"haproxy-{secrets.token_hex(4)}"
        self.master = self._sockets / "master.sock"
        self.admin = self._sockets / "admin.sock"
        self.state = self.folder / "server-state"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def places(self) -> dict[str, str]:
        """What is on another place here than the recipe says."""
        return {
            "/etc/haproxy/haproxy.cfg": str(self.conf),
            "/etc/haproxy/users.cfg": str(self.users),
            "/etc/default/haproxy": str(self.environ_file),
            "/run/haproxy-master.sock": str(self.master),
            "/run/haproxy/admin.sock": str(self.admin),
            "/run/haproxy/server-state": str(self.state),
            "/dev/log local0": "stdout format raw local0 info",
            'user = "haproxy"': 'user = ""',
            'group = "haproxy"': 'group = ""',
            'chroot = "/var/lib/haproxy"': 'chroot = ""',
            'min_reload_interval = "1s"': 'min_reload_interval = "100ms"',
        }

    @contextlib.contextmanager
    def running(self, environ: Mapping[str, str] = CREDENTIALS) -> Iterator[Haproxy]:
        """Started with the file that is there; ended with everything it has started."""
        argv = [haproxy_program(), "-W", "-S", str(self.master), "-f", str(self.conf)]
        if self.users.exists():
            argv += ["-f", str(self.users)]
        clean = {name: text for name, text in os.environ.items() if not name.startswith("STATS_")}
        self._sockets.mkdir(mode=0o700)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**clean, **environ},
                start_new_session=True,
            )
        try:
            wait_until(self._ready, what="haproxy with a worker")
            yield self
        finally:
            self._process.terminate()
            try:
                self._process.wait(60)
            finally:
                shutil.rmtree(self._sockets)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError):
            return bool(self.process().workers) and self.admin.exists()
        return False

    def tell(self, path: Path, command: str) -> str:
        """The answer to a command on one of its sockets; "" while a reload is going on."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(60)
            with contextlib.suppress(ConnectionError):
                asked.connect(str(path))
                asked.sendall(f"{command}\n".encode())
                asked.shutdown(socket.SHUT_WR)  # the master waits for more otherwise
                return b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        return ""

    def process(self) -> Processes:
        """Master and workers as the master tells; zeros while a reload is going on."""
        now, _, old = self.tell(self.master, "show proc").partition("# old workers")
        cells, olds = _table(now), _table(old.partition("# programs")[0])
        first = next((row for row in cells if row[1] == "master"), ["0", "", "0", "", "0"])
        workers = tuple(int(row[0]) for row in cells if row[1] == "worker")
        return Processes(int(first[0]), int(first[2]), int(first[4].strip("]")), workers, len(olds))

    def servers(self, backend: str = "web") -> dict[str, str]:
        """Each server with its state: UP, DOWN, MAINT, DRAIN, or `no` when it has no check."""
        head, _, table = self.tell(self.master, "@1 show stat").partition("\n")
        names = head.lstrip("# ").split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in table.splitlines()]
        return {
            row["svname"]: _state(row)
            for row in rows
            if row.get("pxname") == backend and row["svname"] not in ("BACKEND", "FRONTEND")
        }

    def ask(
        self, path: str = "/", port: int = 0, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Status, body and cookie of one request on a connection of its own."""
        answer = ask(port or self.port, path, headers=headers)
        cookie = answer.headers.get("set-cookie", "").split(";")[0]
        return answer.status, answer.body, cookie

    def names(self, count: int = 8, **more: Mapping[str, str]) -> set[str]:
        """Which members answered so many requests."""
        return {self.ask(**more)[1] for _ in range(count)}  # type: ignore[arg-type]


def _table(text: str) -> list[list[str]]:
    """The rows that begin with a process id."""
    return [row.split() for row in text.splitlines() if row and row[0].isdigit()]


def _state(row: Mapping[str, str]) -> str:
    """The first word of its status; HAProxy says UP of a server that has no weight either."""
    status = row["status"].split()[0]
    return "DRAIN" if status == "UP" and row["weight"] == "0" else status


class Member:
    """A backend in this process that answers with its name, and 503 to checks while `sick`."""

    def __init__(self, name: str) -> None:
        member = self
        self.name = name
        self.sick = False

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # the answer in one piece

            def do_GET(self) -> None:
                body = member.name.encode()
                self.send_response(503 if member.sick and self.path == "/health" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass  # who asks may hang up at any time: checks do

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Member:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
