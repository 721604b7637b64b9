"""A running nginx of the test's own: private prefix, free ports of 127.0.0.1, ended by its pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.daemons.etcd import free_ports
from tests.support.daemons.nginx_trees import nginx_binary
from tests.support.http import ask
from tests.support.waiting import PATIENCE_S, wait_until

# Short times, so that a member that hangs costs a request a second and not a minute.
MAIN = """\
daemon off;
pid run/nginx.pid;
error_log log/error.log notice;
worker_processes 2;
worker_shutdown_timeout 10s;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path run/body;
    proxy_temp_path run/proxy;
    fastcgi_temp_path run/fastcgi;
    uwsgi_temp_path run/uwsgi;
    scgi_temp_path run/scgi;
    proxy_connect_timeout 1s;
    proxy_read_timeout 2s;
    @HTTP@
}
"""
#: Every server of a test listens here; requests choose by host name.
INCLUDES = "include sites/*.conf;"


class LiveNginx:
    """nginx with `sites/*.conf` in its http block, in a folder of its own."""

    def __init__(self, folder: Path, http: str = INCLUDES) -> None:
        self.folder = folder
        for name in ("run", "log", "sites"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.sites = folder / "sites"
        self.conf = folder / "nginx.conf"
        self.conf.write_text(MAIN.replace("@HTTP@", http))
        self.port = free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None

    def argv(self, *more: str) -> list[str]:
        """Its command line."""
        log = str(self.folder / "log" / "error.log")
        return [nginx_binary(), "-p", str(self.folder), "-c", str(self.conf), "-e", log, *more]

    @property
    def toml(self) -> str:
        """The keys of a resource or group that is judged by this nginx and reloads it."""
        return (
            f'check = "nginx"\nnginx_conf = "{self.conf}"\nnginx_prefix = "{self.folder}"\n'
            f'nginx_bin = "{nginx_binary()}"\nreload_cmd = "{self.reload_command}"\n'
        )

    @property
    def reload_command(self) -> str:
        """As an operator would write it."""
        return " ".join(self.argv("-s", "reload"))

    @contextlib.contextmanager
    def running(self) -> Iterator[LiveNginx]:
        """Start it, and end it with everything it has started."""
        with (self.folder / "log" / "stderr").open("wb") as log:
            self.process = subprocess.Popen(
                self.argv(), stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        try:
            wait_until(lambda: self.workers(), what="workers of nginx")
            yield self
        finally:
            self._end(self.process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def workers(self) -> frozenset[int]:
        """The pids of those that are not on their way out."""
        assert self.process is not None
        found = set()
        with contextlib.suppress(psutil.NoSuchProcess):
            for each in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    title = " ".join(each.cmdline())
                    if "worker process" in title and "shutting down" not in title:
                        found.add(each.pid)
        return frozenset(found)

    def test(self) -> str:
        """What `nginx -t` says against the live files; "" when it takes them."""
        done = subprocess.run(self.argv("-t"), capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr

    def ask(self, host: str, port: int = 0) -> str:
        """One request on a connection of its own: the body, or what went wrong."""
        return ask(port or self.port, host=host).text

    def wait_answer(self, host: str, body: str, timeout_s: float = PATIENCE_S) -> None:
        """Until a request is answered so; old workers may answer for some milliseconds more."""
        wait_until(
            lambda: self.ask(host) == body,
            timeout_s,
            lambda: f"{host} says {self.ask(host)!r}, not {body!r}",
        )
