"""
Who is measured: pyconfd, and any confd given with --peer.

All get the same keys and the same work: resource N reads the keys below /bench/N, prints each as
`key=value`, and writes out/N.conf.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

import psutil

from bench.installed import PROGRAM

PREFIX = "/bench"
_JINJA = '{% for key, value in gets("/*") %}\n{{ key }}={{ value }}\n{% endfor %}\n'
_GO = '{{range gets "/*"}}{{.Key}}={{.Value}}\n{{end}}'


@dataclass(frozen=True, slots=True)
class Subject:
    """
    One program. path: of the binary, empty for pyconfd. fork: whether it wants the backend as its
    first word. settings: further lines of each [[template]], for pyconfd.
    """

    name: str
    path: str = ""
    fork: bool = False
    settings: str = ""

    def once(self, confdir: str, node: str) -> list[str]:
        """The command line of a one-shot run."""
        return self._argv("onetime", confdir, node)

    def watch(self, confdir: str, node: str) -> list[str]:
        """The command line of the daemon."""
        return self._argv("watch", confdir, node)

    def _argv(self, mode: str, confdir: str, node: str) -> list[str]:
        if not self.path:
            state = ["--state-dir", os.path.join(confdir, "state"), "--log-level", "error"]
            base = [PROGRAM, f"--{mode}"]
            return [*base, "--confdir", confdir, "--node", node, *state]
        if self.fork:
            words = ["etcd", f"--{mode}", "--confdir", confdir, "--node", f"http://{node}"]
            return [self.path, *words, "--log-level", "error"]
        words = [f"-{mode}", "-backend", "etcdv3", "-confdir", confdir, "-node", node]
        return [self.path, *words, "-log-level", "error"]

    def prepare(self, confdir: str, resources: int, *, reload_cmd: str = "") -> None:
        """An empty output folder, and so many resources."""
        shutil.rmtree(confdir, ignore_errors=True)
        for folder in ("conf.d", "templates", "out"):
            os.makedirs(os.path.join(confdir, folder))
        with open(os.path.join(confdir, "templates", "keys"), "w", encoding="utf-8") as file:
            file.write(_GO if self.path else _JINJA)
        for number in range(resources):
            table = (
                '[template]\nsrc = "keys"\n'
                f'dest = "{confdir}/out/{number}.conf"\n'
                f'prefix = "{PREFIX}/{number}"\nkeys = ["/"]\n'
            )
            if reload_cmd:
                table += f"reload_cmd = '{reload_cmd}'\n"
            table += self.settings
            with open(os.path.join(confdir, "conf.d", f"{number}.toml"), "w") as file:
                file.write(table)


def peer(argument: str) -> Subject:
    """`NAME=PATH` as a subject; ValueError when it is not that or cannot be run."""
    name, _, path = argument.partition("=")
    if not name or not os.access(path, os.X_OK):
        raise ValueError(f"--peer wants NAME=PATH of a program: {argument}")
    helped = subprocess.run(
        [path, "--help"], capture_output=True, text=True, timeout=20, check=False
    )
    return Subject(name, os.path.abspath(path), "--check-config" in helped.stdout + helped.stderr)


class Daemon:
    """A subject in watch mode, up and calm; a context manager."""

    def __init__(self, subject: Subject, confdir: str, node: str, resources: int) -> None:
        self._argv = subject.watch(confdir, node)
        self._confdir, self._resources = confdir, resources

    def __enter__(self) -> psutil.Process:
        with open(os.path.join(self._confdir, "daemon.log"), "wb") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=log)
        out = os.path.join(self._confdir, "out")
        end_s = time.monotonic() + 180
        while sum(1 for name in os.listdir(out) if name.endswith(".conf")) < self._resources:
            if self._process.poll() is not None or time.monotonic() > end_s:
                self.__exit__()
                with open(os.path.join(self._confdir, "daemon.log"), errors="replace") as log_text:
                    raise RuntimeError(f"{self._argv}: {log_text.read()[-1000:]}")
            time.sleep(0.02)
        seen = psutil.Process(self._process.pid)
        _calm(seen)
        return seen

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _calm(process: psutil.Process) -> None:
    """Wait until it has used next to no CPU for a second."""
    for _ in range(60):
        before = process.cpu_times()
        time.sleep(1.0)
        after = process.cpu_times()
        if after.user + after.system - before.user - before.system < 0.03:
            return
