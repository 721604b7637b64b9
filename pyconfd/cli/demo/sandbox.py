"""
The place of the demo: a folder, free ports, and processes that are ended by their own id.

It writes only in the folder, connects only to 127.0.0.1, and uses no running server.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from pyconfd.model.keys import Changed, SourceMessage
from pyconfd.model.source import SourceOptions

if TYPE_CHECKING:
    from pyconfd.backends.base import LeaseRegistry, Source, Watch

SITE = "www.example.com"
# nginx lives where only root's PATH looks.
_MORE_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
_GRACE_S = 15.0


class Missing(Exception):
    """A program that the demo needs is not installed."""


class Sandbox:
    """
    The folder, the ports, the programs, and every process that was started; a context manager.

    site: the one site that is served.
    changed_s: key -> when a watch of our own saw its last change, monotonic.
    asked_to_stop: whether a signal has asked for the end.
    """

    site = SITE

    def __init__(
        self, folder: str, environ: Mapping[str, str], asked_to_stop: Callable[[], bool]
    ) -> None:
        self.folder = folder
        self.asked_to_stop = asked_to_stop
        self.etcd = _program("etcd", "etcd-server", environ)
        self.nginx = _program("nginx", "nginx", environ)
        self.etcd_port, self._peer_port, self.nginx_port, *self.backend_ports = free_ports(8)
        self._environ = _own_environ(folder, environ)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._registry: LeaseRegistry | None = None
        self._source: Source | None = None
        self._watch: Watch | None = None
        self.changed_s: dict[str, float] = {}
        self._write_confdir()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watch is not None:
            self._watch.stop()
        for each in (self._registry, self._source):
            if each is not None:
                each.close()
        for name in reversed(tuple(self._processes)):
            self.end(name)

    @property
    def options(self) -> SourceOptions:
        """How to reach the private etcd."""
        return SourceOptions(nodes=(f"127.0.0.1:{self.etcd_port}",), environ={})

    # Keys

    def key(self, name: str) -> str:
        """A key of the site."""
        return f"/nginx/{self.site}/{name}"

    def put(self, name: str, value: str) -> float:
        """Put a key of the site. Returns when it was sent, monotonic."""
        if self._registry is None:
            from pyconfd.backends.registry import open_leases

            self._registry = open_leases("etcd", self.options, lambda _lease, _left: None)
        sent_s = time.monotonic()
        self._registry.put(self.key(name), value.encode())
        return sent_s

    def listen(self) -> None:
        """Watch every change, to measure times from it."""
        from pyconfd.backends.registry import open_source

        self._source = open_source("etcd", self.options)
        self._watch = self._source.watch(["/nginx"], self._heard)

    def _heard(self, message: SourceMessage) -> None:
        if isinstance(message, Changed):
            now = time.monotonic()
            self.changed_s.update((change.key, now) for change in message.changes)

    # Processes

    def start_etcd(self) -> None:
        """Start a private store on free ports."""
        client = f"http://127.0.0.1:{self.etcd_port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        data = os.path.join(self.folder, "etcd")
        self.start(
            "etcd",
            self.etcd,
            *("--name=demo", f"--data-dir={data}", f"--initial-cluster=demo={peer}"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
        )

    def start_nginx(self) -> None:
        """nginx on the rendered configuration."""
        self.start("nginx", self.nginx, *self._nginx_words("nginx.conf"), "-g", "daemon off;")

    def pyconfd(self, *words: str) -> list[str]:
        """The command line of pyconfd with our confdir and store."""
        return [*_PYCONFD, *words, "--confdir", self.folder, *self._store()]

    def render_once(self) -> None:
        """`pyconfd --onetime`, as at boot: nginx does not run yet and is not reloaded."""
        done = subprocess.run(
            [*self.pyconfd("--onetime", "--sync-only"), *self._state()],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise Missing(f"the first render failed:\n{done.stderr}")

    def follow(self) -> None:
        """`pyconfd --watch`"""
        self.start("pyconfd", *self.pyconfd("--watch"), *self._state())

    def register(self, name: str, port: int) -> None:
        """A backend that publishes itself under a lease of two seconds."""
        self.start(
            name,
            *(*_PYCONFD, "register", self.site, f"127.0.0.1:{port}", "--id", name, "--ttl", "2"),
            *("--check-interval", "0.1", "--rise", "1", "--drain", "0", *self._store(), "--"),
            *self._backend(name, port),
        )

    def backend(self, name: str, port: int) -> None:
        """A backend that is not registered."""
        self.start(name, *self._backend(name, port))

    def start(self, name: str, *argv: str) -> None:
        """Start a process with its output in NAME.log, out of reach of the terminal's Ctrl-C."""
        with open(self.log_path(name), "ab") as log:
            self._processes[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                cwd=self.folder,
                start_new_session=True,
            )

    def kill(self, name: str) -> float:
        """
        SIGKILL a backend and the process that registered it, as if the machine died. Returns when.
        """
        process = self._processes.pop(name)
        killed_s = time.monotonic()
        process.kill()
        self._kill_child(name)
        process.wait()
        return killed_s

    def end(self, name: str) -> None:
        """SIGTERM, and SIGKILL when it does not go."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._kill_child(name)

    def dead(self) -> str:
        """The name of a process that ended by itself, with its last words; empty for none."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                return f"{name} ended with status {process.returncode}:\n{self.log(name)[-2000:]}"
        return ""

    def log(self, name: str) -> str:
        """The output of a process so far."""
        with open(self.log_path(name), encoding="utf-8", errors="replace") as file:
            return file.read()

    def end_of_log(self) -> str:
        """The end of pyconfd's log, with a title; empty before it was started."""
        if not os.path.exists(self.log_path("pyconfd")):
            return ""
        return f"pyconfd's log ends with:\n{self.log('pyconfd')[-2000:]}"

    def log_path(self, name: str) -> str:
        """Where a process's output goes."""
        return os.path.join(self.folder, f"{name}.log")

    def _kill_child(self, name: str) -> None:
        with (
            contextlib.suppress(OSError, ValueError),
            open(self._pidfile(name), encoding="ascii") as file,
        ):
            os.kill(int(file.read()), signal.SIGKILL)

    def _backend(self, name: str, port: int) -> Sequence[str]:
        module = "pyconfd.cli.demo.backend"
        return (sys.executable, "-m", module, name, str(port), self._pidfile(name))

    def _pidfile(self, name: str) -> str:
        return os.path.join(self.folder, f"{name}.pid")

    def _store(self) -> Sequence[str]:
        return ("--node", f"127.0.0.1:{self.etcd_port}")

    def _state(self) -> Sequence[str]:
        return ("--state-dir", os.path.join(self.folder, "state"))

    def _nginx_words(self, conf: str) -> Sequence[str]:
        error_log = os.path.join(self.folder, "nginx-error.log")
        conf = os.path.join(self.folder, conf)
        return ("-p", self.folder, "-e", error_log, "-c", conf)

    def _write_confdir(self) -> None:
        """The shipped templates, with a whole nginx.conf around them and a resource for it."""
        shutil.copytree(shipped("templates"), os.path.join(self.folder, "templates"))
        here = os.path.dirname(__file__)
        shutil.copy(os.path.join(here, "nginx.conf.j2"), os.path.join(self.folder, "templates"))
        nginx = " ".join((self.nginx, *self._nginx_words("nginx.conf")))
        check = " ".join((self.nginx, "-t", "-q", "-p", self.folder, "-e", "stderr"))
        os.mkdir(os.path.join(self.folder, "conf.d"))
        with open(os.path.join(self.folder, "conf.d", "nginx.toml"), "w", encoding="utf-8") as file:
            file.write(
                "[template]\n"
                'src = "nginx.conf.j2"\n'
                f'dest = "{self.folder}/nginx.conf"\n'
                f'keys = ["/nginx/{self.site}"]\n'
                f'check_cmd = "{check} -c {{{{ src }}}}"\n'
                f'reload_cmd = "{nginx} -s reload"\n'
            )


_PYCONFD = (sys.executable, "-m", "pyconfd")


def shipped(name: str) -> str:
    """The shipped `conf.d` or `templates`: inside an installed package, or beside a checkout."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for folder in (os.path.join(package, "shipped", name), os.path.join(package, "..", name)):
        if os.path.isdir(folder):
            return os.path.normpath(folder)
    raise Missing(f"the shipped {name} is neither in {package}/shipped nor beside {package}")


def free_ports(count: int) -> list[int]:
    """Free ports of 127.0.0.1; all are held until the last is found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _program(name: str, package: str, environ: Mapping[str, str]) -> str:
    found = shutil.which(name, path=f"{environ.get('PATH', os.defpath)}:{_MORE_FOLDERS}")
    if found is None:
        raise Missing(f"{name} is not installed (on Debian: apt-get install {package})")
    return found


def _own_environ(folder: str, environ: Mapping[str, str]) -> dict[str, str]:
    """
    This process's environment, without settings of pyconfd, and with the package on Python's path.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("PYCONFD_", "ETCD_", "ETCDCTL_", "NOTIFY_", "WATCHDOG_"))
    }
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = [os.path.dirname(package), *filter(None, [kept.get("PYTHONPATH", "")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path), "DEMO_FOLDER": folder}
