"""A whole edge for the tests: etcd, nginx, pyconfd between them, backends that register, load."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.nginx_trees import nginx_binary
from tests.support.pyconfd import Confdir, Daemon
from tests.support.register import backend, registered
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

HOST = "www.example.com"

# Short times, so that a member that hangs costs a request some seconds and not a minute.
NGINX = """
daemon off;
error_log {folder}/error.log info;
pid {folder}/pid;
worker_processes 2;
worker_shutdown_timeout 10s;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_connect_timeout 1s;
    proxy_read_timeout 3s;
    include {sites};
}}
"""


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent (monotonic), what came, how long it took."""

    at: float
    said: str
    took_s: float


class Load:
    """Requests without a pause from a few threads until it is ended."""

    def __init__(self, port: int, threads: int = 3) -> None:
        self.port = port
        self.answers: list[Answer] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(10)

    def _send(self) -> None:
        while not self._over.is_set():
            at = time.monotonic()
            self.answers.append(Answer(at, ask(self.port), time.monotonic() - at))
            time.sleep(0.004)  # about 500 requests a second leave room for what is tested

    @property
    def failures(self) -> list[Answer]:
        """Everything but a backend's own answer."""
        return [each for each in self.answers if not each.said.startswith("b")]

    def names_since(self, at: float) -> set[str]:
        """Which backends answered requests sent since then."""
        return {each.said for each in list(self.answers) if each.at >= at}


def ask(port: int) -> str:
    """One request through nginx on a connection of its own: the body, or what went wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/", headers={"Host": HOST, "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        return body if answer.status == 200 else f"status {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()


class Backend:
    """One backend under `pyconfd register`, that can be stopped and started again."""

    def __init__(self, edge: Edge, name: str, port: int, *words: str) -> None:
        self.edge, self.name, self.port = edge, name, port
        self.sick = edge.folder / f"sick-{name}"
        self.words = words
        self._stack = contextlib.ExitStack()
        self.run: Daemon | None = None

    @property
    def key(self) -> str:
        return f"/nginx/{HOST}/upstream/127.0.0.1:{self.port}"

    def start(self, ready: Callable[[], bool] | None = None) -> None:
        """Start it and wait until it is in nginx's configuration, or for something else."""
        words = [HOST, f"127.0.0.1:{self.port}", "--ttl", "3", "--interval", "0.2", "--timeout"]
        words += ["2", "--rise", "1", "--fall", "2", "--check", "http:/health", "--drain", "0.5"]
        command = backend(self.port, self.name, self.sick)
        self.run = self._stack.enter_context(
            registered(self.edge.folder, self.edge.etcd, [*words, *self.words], command)
        )
        self.run.wait(ready or self.rendered, f"{self.name} in the upstream")

    def stop(self) -> int:
        """SIGTERM as a deployment does, to its end."""
        assert self.run is not None
        status = self.run.end()
        self._stack.close()
        return status

    @property
    def process(self) -> psutil.Process:
        """The backend itself."""
        assert self.run is not None
        return psutil.Process(self.run.process.pid).children()[0]

    def rendered(self) -> bool:
        """Whether it is in the configuration that nginx was given."""
        return f"127.0.0.1:{self.port};" in self.edge.sites.read_text()

    def close(self) -> None:
        self._stack.close()


class Edge:
    """etcd, nginx and `pyconfd --watch` on the shipped templates, with three backends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etcd = PrivateEtcd(folder)
        self.port, *ports = free_ports(4)
        self.backends = [Backend(self, f"b{n}", port) for n, port in enumerate(ports)]
        self.confdir = Confdir(folder / "confdir", "--node", self.etcd.endpoint)
        self.sites = self.confdir.out / "sites.conf"
        self._stack = contextlib.ExitStack()
        self.daemon: Daemon

    def __enter__(self) -> Edge:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.etcd)
            self.etcd.put(f"/nginx/{HOST}/listen", f"127.0.0.1:{self.port}")
            self.etcd.put(f"/nginx/{HOST}/server_name", HOST)
            stack.callback(self._stop_nginx, self._start_nginx())
            self._resource()
            self.daemon = stack.enter_context(self.confdir.daemon())
            for each in self.backends:
                stack.callback(each.close)
                each.start()
            wait_until(lambda: {ask(self.port) for _ in range(6)} == {"b0", "b1", "b2"})
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _resource(self) -> None:
        for each in (ROOT / "templates").glob("nginx*"):
            shutil.copy(each, self.confdir.folder / "templates" / each.name)
        self.confdir.resource(
            "nginx",
            f"""\
            [template]
            src = "nginx-sites.conf.j2"
            dest = "@OUT@/sites.conf"
            keys = ["/nginx"]
            reload_cmd = "kill -HUP $(cat {self.folder}/pid)"
            """,
        )

    def _start_nginx(self) -> subprocess.Popen[bytes]:
        self.sites.write_text("")
        conf = self.folder / "nginx.conf"
        conf.write_text(NGINX.format(folder=self.folder, sites=self.sites))
        argv = [nginx_binary(), "-p", str(self.folder), "-c", str(conf)]
        argv += ["-e", str(self.folder / "error.log")]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_until((self.folder / "pid").exists)
        return process

    def _stop_nginx(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def load(self) -> Load:
        """Requests to begin now."""
        return Load(self.port)


@contextlib.contextmanager
def loaded(folder: Path) -> Iterator[tuple[Edge, Load]]:
    """An edge under load."""
    with Edge(folder) as edge, edge.load() as load:
        yield edge, load
