"""A whole edge for the tests: etcd, nginx, pyconfd between them, backends that register, load."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.support.daemons.etcd import PrivateEtcd, free_ports
from tests.support.daemons.nginx_trees import nginx_binary
from tests.support.http import ask
from tests.support.load import SteadyLoad
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
            wait_until(
                lambda: {ask(self.port, host=HOST).text for _ in range(6)} == {"b0", "b1", "b2"}
            )
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

    def load(self) -> SteadyLoad:
        """Requests to begin now."""
        return SteadyLoad(self.port, HOST)


@contextlib.contextmanager
def loaded(folder: Path) -> Iterator[tuple[Edge, SteadyLoad]]:
    """An edge under load."""
    with Edge(folder) as edge, edge.load() as load:
        yield edge, load
