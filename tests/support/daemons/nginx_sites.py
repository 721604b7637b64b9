"""Recipes that are read by nginx, as an operator runs them: their files, etcd, nginx, pyconfd."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_trees import nginx_binary
from tests.support.pyconfd import Confdir
from tests.support.waiting import wait_until


def for_nginx(nginx: LiveNginx) -> dict[str, str]:
    """What is changed in a recipe so that it serves this nginx: main file, folder, reload."""
    return {
        "/etc/nginx/conf.d/": f"{nginx.sites}/",
        'nginx_conf = "/etc/nginx/nginx.conf"': (
            f'nginx_conf = "{nginx.conf}"\nnginx_prefix = "{nginx.folder}"\n'
            f'nginx_bin = "{nginx_binary()}"\nmin_reload_interval = "50ms"'
        ),
        '"nginx -s reload"': f'"{nginx.reload_command}"',
        'hold_min = "200ms"': 'hold_min = "20ms"',
    }


@dataclass
class Backend:
    """An HTTP server of the test itself; remembers what it was sent."""

    name: str
    server: http.server.ThreadingHTTPServer
    requests: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.server.server_address[1]}"


@contextlib.contextmanager
def backends(count: int) -> Iterator[list[Backend]]:
    """Servers that answer with their names, b0, b1, ..."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_backend(f"b{number}")) for number in range(count)]


@contextlib.contextmanager
def _backend(name: str) -> Iterator[Backend]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            backend.connections += 1

        def do_GET(self) -> None:
            backend.requests.append({**dict(self.headers.items()), "path": self.path})
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    backend = Backend(name, server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield backend
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def put_all(etcd: PrivateEtcd, keys: Mapping[str, str]) -> None:
    """These keys in one go."""
    etcd.put_many(list(keys.items()))


def settled(nginx: LiveNginx, confdir: Confdir) -> None:
    """Wait until every reload is confirmed and no worker of a former configuration is left."""
    assert nginx.process is not None
    master = psutil.Process(nginx.process.pid)
    wait_until(lambda: not owed(confdir), what="the reload to be confirmed")
    wait_until(lambda: len(master.children()) == 2 == len(nginx.workers()), what="old workers gone")


def owed(confdir: Confdir) -> bool:
    """Whether a swap is on record that the service has not confirmed."""
    journals = (confdir.folder / "state").glob("*/journal")
    return any(path.stat().st_size for path in journals)
