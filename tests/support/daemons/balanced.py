"""
nginx over two Apache backends that register themselves, as the recipes say: each node with its
pyconfd. For the recipes nginx-balancer and content-sync.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.daemons.apache import PrivateApache
from tests.support.daemons.etcd import PrivateEtcd
from tests.support.daemons.live_nginx import LiveNginx
from tests.support.daemons.nginx_sites import for_nginx
from tests.support.pyconfd import Daemon
from tests.support.recipes import laid_out
from tests.support.register import registered
from tests.support.repository import ROOT
from tests.support.waiting import wait_until

WWW, IMG = "www.site-static.com", "img.site-static.com"
APACHE = """\
LogFormat "%h %a %>s" combined
IncludeOptional @FOLDER@/sites/*.conf
"""


class Node:
    """A backend: Apache, the files of a recipe, and `pyconfd register` on what they render."""

    def __init__(
        self,
        folder: Path,
        name: str,
        etcd: PrivateEtcd,
        recipe: str,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.folder, self.etcd = name, folder / name, etcd
        self.apache = PrivateApache(self.folder / "apache", APACHE, modules=("remoteip",))
        for below in ("sites", "www"):
            (self.apache.folder / below).mkdir(exist_ok=True)
        pid = self.folder / "register.pid"
        self.confdir = laid_out(
            recipe,
            self.folder,
            {
                "/etc/apache2/sites-enabled/": f"{self.apache.folder}/sites/",
                "apachectl graceful": self.apache.graceful_command,
                "http://127.0.0.1/server-status?auto": self.apache.status_url,
                "systemctl try-reload-or-restart pyconfd-register@web": (
                    f"test ! -e {pid} || kill -HUP $(cat {pid})"
                ),
                '":80"': f'"{self.apache.address}"',
                '"/var/www"': f'"{self.apache.folder}/www"',
                "/var/log/apache2": f"{self.apache.folder}/log",
                'min_reload_interval = "2s"': 'min_reload_interval = "50ms"',
                'hold_min = "200ms"': 'hold_min = "20ms"',
                "check_interval = 1\n": "check_interval = 0.4\n",
                **(changes or {}),
            },
            *("--node", etcd.endpoint, "--node-name", name),
            templates=True,
        )
        self._pid = pid
        self._stack = contextlib.ExitStack()

    @property
    def www(self) -> Path:
        """Where its content is."""
        return self.apache.folder / "www"

    def content(self, site: str, **files: str) -> None:
        """
        Write files of a site, as rsync does; `index` becomes index.html. Apache, which has told
        the length of a file that is empty when it comes to read it, ends the connection.
        """
        folder = self.www / site
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            new = self.www / f".{name}.new"
            new.write_text(text)
            new.replace(folder / f"{name}.html")

    def resources(self, *names: str) -> list[str]:
        """Words that make pyconfd do these only."""
        return [word for name in names for word in ("--resource", name)]

    def register(self) -> Daemon:
        """Start `pyconfd register` on the rendered file."""
        path = str(self.confdir.folder / "register" / "web.toml")
        environ = {"PATH": f"{command_folder(self.folder)}:{os.environ['PATH']}"}
        daemon = self._stack.enter_context(
            registered(self.folder, self.etcd, ["--file", path], environ=environ)
        )
        self._pid.write_text(str(daemon.process.pid))
        return daemon

    def in_rotation(self, site: str = WWW) -> bool:
        """Whether it is published for a site."""
        return self.etcd.get(f"/nginx/{site}/upstream/{self.name}") is not None

    def close(self) -> None:
        self._stack.close()
        self.apache.stop()


class Balancer:
    """nginx and its pyconfd."""

    def __init__(self, folder: Path, etcd: PrivateEtcd) -> None:
        self.nginx = LiveNginx(folder / "nginx")
        self.confdir = laid_out(
            "nginx-balancer",
            folder,
            {**for_nginx(self.nginx), '"/var/log/apache2"': f'"{folder}"'},
            *("--node", etcd.endpoint, "--resource", "sites"),
            folder="balancer",
        )

    def file(self, site: str = WWW) -> Path:
        """What is rendered for a site."""
        return self.nginx.sites / f"{site}.conf"

    def has(self, node: Node, site: str = WWW) -> bool:
        """Whether a node is in the upstream that was rendered."""
        file = self.file(site)
        return file.exists() and f"server {node.apache.address};" in file.read_text()


def command_folder(folder: Path) -> Path:
    """A folder for PATH with `pyconfd` in it, as hooks call it."""
    made = folder / "bin"
    made.mkdir(exist_ok=True)
    command = f'PYTHONPATH={ROOT}:$PYTHONPATH exec {sys.executable} -m pyconfd "$@"'
    (made / "pyconfd").write_text(f"#!/bin/sh\n{command}\n")
    (made / "pyconfd").chmod(0o755)
    return made


@contextlib.contextmanager
def started(nodes: Sequence[Node]) -> Iterator[None]:
    """Their Apaches running, ended with all that belongs to them."""
    with contextlib.ExitStack() as stack:
        for node in nodes:
            stack.callback(node.close)
            node.apache.launch()
        for node in nodes:
            wait_until(lambda node=node: node.apache.generation(), what=f"Apache of {node.name}")
        yield
